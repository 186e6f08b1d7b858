"""The session: takes events from the hooks, has them checked, and reports what is found.

Events are numbered, recorded and checked one at a time, whichever thread they come from. An event
that arrives on a thread that is just busy with another (a garbage collection frees memory) waits
until that one is done.
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

import wrapt

from pycuda_guard import callsite, hooks
from pycuda_guard.checks.engine import Engine
from pycuda_guard.checks.registry import RULES
from pycuda_guard.errors import StartError
from pycuda_guard.events import failures
from pycuda_guard.events.model import Event, GuardFailed, RunEnded
from pycuda_guard.findings import Finding, Severity, fails
from pycuda_guard.hooks.hostfault import HostFaultWatch
from pycuda_guard.reports.json_report import JsonReport
from pycuda_guard.reports.terminal import Screen, Terminal, last_line
from pycuda_guard.session import devices
from pycuda_guard.session.timeline import Timeline
from pycuda_guard.session.uncaught import Uncaught

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.checks.collector import Part
    from pycuda_guard.config import Config

#: modules that pop the context they made when the interpreter exits
CONTEXT_POPPERS = ("pycuda.autoinit", "pycuda.autoprimaryctx")

_active: Session | None = None


def active() -> Session | None:
    """Return the session that is guarding this process, if there is one."""
    return _active


def begin(config: Config, screen: Screen | None = None) -> Session:
    """Start guarding this process and return its session; what is found goes to ``screen``, or stderr.

    Raises :class:`StartError` if a session is active, if there is no such device, or if the JSON
    file can't be written.
    """
    global _active
    if _active is not None:
        raise StartError("pycuda_guard is enabled already")
    session = Session(config, screen or Terminal(sys.stderr, quiet=config.quiet))
    session.start()
    _active = session
    return session


class Session:
    """One guarded run, from :meth:`start` to :meth:`finish` or :meth:`stop`."""

    def __init__(self, config: Config, screen: Screen) -> None:
        self.config = config
        self.device = ""
        self.uncaught = Uncaught()
        self._screen = screen
        self._json: JsonReport | None = None
        self._engine = Engine(self._found)
        self._faults = HostFaultWatch(self)
        self._watched = self._faults.events
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._is_busy = False
        self._waiting: deque[Event] = deque()
        self._timeline = Timeline(config, self.guard_error)
        self._is_over = False
        self._is_json_behind = False
        self._has_forked = False
        self._is_child = False

    # -- the life of a run ----------------------------------------------------------------------

    def start(self) -> None:
        """Choose the device, write the empty report, and wrap PyCUDA's calls."""
        self.device = devices.choose(self.config.device)
        if self.config.json and not _is_worker():
            self._json = JsonReport(self.config.json)
        self._timeline.start(devices.NAMES[self.device], is_worker=_is_worker())
        if self.device == "cpu" and self.config.device == "auto":
            self._screen.announce("no GPU found, using the CPU device")
        hooks.install(self)
        self.uncaught.watch_threads()
        atexit.register(self._at_exit)
        for name in CONTEXT_POPPERS:
            wrapt.register_post_import_hook(self._run_before_pop, name)

    def stop(self) -> None:
        """Stop guarding. The rules for the end of a run are not applied and nothing is printed."""
        global _active
        self._is_over = True
        if _active is self:
            _active = None
        hooks.uninstall()
        self._faults.stop()
        self.uncaught.uninstall()
        atexit.unregister(self._at_exit)
        with self._lock:
            self._timeline.close(self.blind_spots())

    def finish(self) -> list[Finding]:
        """End the run: apply the rules for its end, report, stop guarding; return all findings.

        Failures count as handled unless :attr:`uncaught` noted an exception that stands for them.
        A second call returns the same findings. In a forked child this ends its recording alone.
        """
        if self._is_child and self._timeline.is_recording:
            self.emit(self._run_ended())
            self._timeline.close(self.blind_spots())
        if not self._is_over:
            with self._lock:
                self.emit(self._run_ended())
                self.stop()
            self._write_json()
            self._screen.finish(
                self.findings,
                live=RULES.keys(),
                device=devices.NAMES[self.device],
                races=self.config.races,
                blind=self.blind_spots(),
            )
        return self.findings

    @property
    def findings(self) -> list[Finding]:
        """What has been found so far; final after :meth:`finish`."""
        return self._engine.findings

    @property
    def is_over(self) -> bool:
        """Whether the run was finished or stopped."""
        return self._is_over

    @property
    def is_dying(self) -> bool:
        """Whether the process is about to die of what is being reported."""
        return self._faults.is_dying

    @property
    def has_failed(self) -> bool:
        """Whether there are findings at the level at which the exit status must not be 0."""
        return not self._is_child and any(self.fails(finding) for finding in self.findings)

    def fails(self, finding: Finding) -> bool:
        """Tell whether ``finding`` is at the level at which a run fails."""
        return fails(finding, self.config.fail_on, strict=self.config.strict)

    def summary(self, findings: Sequence[Finding], blind: Sequence[str]) -> str:
        """Return the last line of a report on ``findings``; ``blind`` is what the run did not look at."""
        return last_line(findings, live=RULES.keys(), device=devices.NAMES[self.device], blind=blind)

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write the timeline so far to ``path``; raises :class:`GuardError` where that can't be done."""
        with self._lock:
            self._timeline.dump(os.fspath(path), self.blind_spots())

    # -- parts of a run -------------------------------------------------------------------------

    def open_part(self) -> Part:
        """Begin a part of the run that has findings of its own: a block, a cell, the phase of a test."""
        with self._lock:
            return self._engine.open_part()

    def take(self, part: Part, error: BaseException | None = None) -> list[Finding]:
        """Return what was found in ``part`` since it was opened or last taken.

        ``error`` is what ended it: failures for which neither it nor :attr:`uncaught` stands have been
        handled.
        """
        escaped = self.uncaught.escaped
        if error is not None:
            escaped = escaped | failures.sequences(error)
        with self._lock:
            return part.take(escaped, self.uncaught.expected)

    def peek(self, part: Part) -> list[Finding]:
        """Return what is certain to have been found in ``part`` so far."""
        with self._lock:
            found = part.peek(self.uncaught.escaped, self.uncaught.expected)
        return [finding for finding in found if finding.severity is not Severity.NOTE]

    def close_part(self, part: Part) -> None:
        """Collect nothing for ``part`` any more."""
        with self._lock:
            self._engine.close_part(part)

    # -- what hooks call ------------------------------------------------------------------------

    def emit(self, event: Event) -> int:
        """Number ``event``, have it recorded and checked, and return its number."""
        with self._lock:
            number = event.sequence = next(self._numbers)
            if self._is_busy:
                self._waiting.append(event)
                return number
            self._is_busy = True
            try:
                self._work(event)
                while self._waiting:
                    self._work(self._waiting.popleft())
            finally:
                self._is_busy = False
        return number

    def guard_error(self, where: str, error: BaseException) -> None:
        """Note that the guard failed in ``where``: reported as PG903."""
        text = f"{type(error).__name__}: {error}"
        if self._is_child:
            self._screen.complain(f"{where} failed: {text}")
        self.emit(GuardFailed(callsite.here(), threading.get_ident(), 0, where, text))

    # -- inside ---------------------------------------------------------------------------------

    def _work(self, event: Event) -> None:
        """Record ``event`` before anything else: so it is safe whatever the checks and the driver do."""
        if self._is_over:
            if self._is_child:
                self._timeline.add_in_child(event)
            return
        self._timeline.add(event)
        try:
            if type(event) in self._watched:
                self._faults.see(event)
            self._engine.feed(event)
        except Exception as error:
            self._broken(event, error)

    def _run_ended(self) -> RunEnded:
        return RunEnded(None, threading.get_ident(), 0, tuple(sorted(self.uncaught.escaped)))

    def _broken(self, event: Event, error: Exception) -> None:
        """Report that checking ``event`` itself failed, unless it is the report of such a failure."""
        where = f"the checks of {type(event).__name__}"
        if isinstance(event, GuardFailed):
            self._screen.complain(f"{where} failed: {type(error).__name__}: {error}")
        else:
            self.guard_error(where, error)

    def _found(self, finding: Finding) -> None:
        """Take a new finding: on disk and on the screen before the driver sees the call."""
        self._write_json()
        if finding.failure is None and finding.severity is not Severity.NOTE:
            self._screen.show(finding)

    def _write_json(self) -> None:
        if self._json is None:
            return
        try:
            self._json.write(self.findings)
            self._is_json_behind = False
        except OSError as error:
            if not self._is_json_behind:
                self._is_json_behind = True
                self._screen.complain(f"{self._json.path} can't be written any more: {error.strerror}")
                self.guard_error("the JSON report", error)

    def blind_spots(self) -> list[str]:
        """Return what this run did not look at for reasons of its own."""
        spots = []
        if self._has_forked:
            spots.append("child processes")
        if not self._faults.is_available:
            spots.append("device memory touched by the host (its C extension is missing)")
        return spots

    def _run_before_pop(self, module: object) -> None:
        """Be called at exit just before ``module``, imported now, pops its context (last in, first out)."""
        if not self._is_over:
            atexit.unregister(self._at_exit)
            atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        self.finish()

    def forked(self) -> None:
        """Note that the program has forked: what happens in the child is not seen."""
        self._has_forked = True

    def leave_child(self) -> None:
        """Only record in a forked child: the lock may be another thread's, the report is the parent's."""
        self._lock = threading.RLock()
        self._is_busy = False
        self._waiting.clear()
        self._is_over = self._is_child = True
        self._timeline.leave_child()
        self._faults.stop()


def _is_worker() -> bool:
    """Tell whether this process was started by multiprocessing: the report is its parent's."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    # a spawned process knows its parent only after it has imported the script again
    return process.parent_process() is not None or hasattr(process.current_process(), "_inheriting")


def _after_fork_in_parent() -> None:
    if _active is not None:
        _active.forked()


def _after_fork_in_child() -> None:
    global _active
    if _active is not None:
        _active.leave_child()
        _active = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
