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
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import wrapt

from pycuda_guard import callsite, hooks
from pycuda_guard.checks.engine import Engine
from pycuda_guard.checks.registry import live_codes
from pycuda_guard.config import Config
from pycuda_guard.errors import StartError
from pycuda_guard.events import failures
from pycuda_guard.events.model import CallFailed, Event, Forked, GuardFailed, RunEnded
from pycuda_guard.findings import Severity, fails, merged
from pycuda_guard.hooks import contexts
from pycuda_guard.hooks.foreign import ContextWatch
from pycuda_guard.hooks.hostfault import HostFaultWatch
from pycuda_guard.hooks.touch import TouchWatch
from pycuda_guard.reports.run import Run
from pycuda_guard.reports.terminal import Terminal
from pycuda_guard.session import devices, startup
from pycuda_guard.session.children import Children
from pycuda_guard.session.kernels import kernel_options, unwatched, unwatched_kernels
from pycuda_guard.session.output import Output, to_stderr
from pycuda_guard.session.timeline import Timeline
from pycuda_guard.session.uncaught import Uncaught, trim
from pycuda_guard.shadow.unwatched import Unwatched
from pycuda_guard.suppressions import Suppressions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.checks.collector import Part
    from pycuda_guard.events.patterns import Pattern
    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.terminal import Screen
    from pycuda_guard.session.children import Failure
    from pycuda_guard.suppressions import Outcome, Suppressed

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
    session = Session(config, screen or to_stderr(config))
    session.start()
    _active = session
    return session


def begin_child(config: Config, folder: str) -> None:
    """Guard this process, which its guarded parent has started afresh; ``folder`` is for its findings.

    Raises :class:`StartError` as :func:`begin` does.
    """
    global _active
    session = Session(config, Terminal(None, quiet=True), folder)
    session.start()
    _active = session


class Session:
    """One guarded run, from :meth:`start` to :meth:`finish` or :meth:`stop`.

    With a ``folder`` it is that of a child process, which reports to its parent alone.
    """

    def __init__(self, config: Config, screen: Screen, folder: str = "") -> None:
        self.config = config
        self.device = ""
        self.uncaught = Uncaught()
        # a child process tells its parent everything
        self.suppressions = Suppressions(Config() if folder else config, screen.name)
        self._output = Output(config, screen, self.guard_error)
        self._engine = Engine(self._found)
        self._faults = HostFaultWatch(self)
        self._watched = self._faults.events
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._is_busy = False
        self._waiting: deque[Event] = deque()
        self.timeline = Timeline(config, self.guard_error)
        self._is_over = False
        self._children = Children(folder)
        self._contexts = ContextWatch()
        self._is_child = bool(folder)
        self._has_unseen_children = False
        self._unwatched = Unwatched()
        self._next_fork: Forked | None = None
        self._was_forked_late = False
        self._fork: Forked | None = None  # what the first event of a forked child is preceded by

    # -- the life of a run ----------------------------------------------------------------------

    def start(self) -> None:
        """Choose the device, write the empty report, and wrap PyCUDA's calls."""
        self.device = devices.choose(self.config)
        self._output.start(has_json=not self._is_child and not _is_worker())
        self.timeline.start(devices.NAMES[self.device], is_worker=_is_worker())
        if self.device == "cpu" and self.config.device == "auto":
            self._output.screen.announce("no GPU found, using the CPU device")
        if TouchWatch.is_available:
            self._engine.watch(TouchWatch(self, owns_pages=self.device == "cpu"))
        kernels = kernel_options(self.config, self.device)
        hooks.install(self, is_blocking=self.config.blocking, kernels=kernels)
        self._contexts.start()
        self.uncaught.watch_threads()
        if self._is_child:
            startup.watch_end(self, forked=False)
        startup.hook(_start_of_child, _worker_failed)
        atexit.register(self._at_exit)
        for name in CONTEXT_POPPERS:
            wrapt.register_post_import_hook(self._run_before_pop, name)

    def stop(self) -> None:
        """Stop guarding. The rules for the end of a run are not applied and nothing is printed."""
        global _active
        self._is_over = True
        if _active is self:
            _active = None
        self._unwatched = hooks.what_is_unwatched()
        try:
            hooks.uninstall()
        except Exception as error:
            self._output.screen.complain(f"taking the hooks out failed: {type(error).__name__}: {error}")
        with self._lock:
            self._faults.stop()
        self.uncaught.uninstall()
        atexit.unregister(self._at_exit)
        with self._lock:
            self.timeline.close(self.blind_spots())
        if self._children.are_running:
            self._has_unseen_children = True
        self._children.close()

    def finish(self, process: str = "") -> list[Finding]:
        """End the run: apply the rules for its end, report, stop guarding; return all findings.

        Failures count as handled unless :attr:`uncaught` noted an exception that stands for them.
        A second call returns the same findings. ``process`` says what becomes of this process, in the
        words of :class:`RunEnded`. A child process reports to its parent.
        """
        if not self._is_over:
            hooks.finish()
            with self._lock:
                if self._fork is None:  # else nothing has happened since the fork
                    escaped = tuple(sorted(self.uncaught.escaped))
                    self.emit(RunEnded(None, threading.get_ident(), 0, escaped, process))
                self.stop()
            if self._is_child:
                self._report_to_parent(ended=True)
                return self.findings
            self._output.write(lambda: self.outcome)
            outcome = self.outcome
            self._output.conclude(outcome, self.remarks())
            self._output.screen.finish(self.as_run(outcome.kept, outcome.suppressed, self.blind_spots()))
        return self.findings

    @property
    def findings(self) -> list[Finding]:
        """What has been found so far, here and in child processes; final after :meth:`finish`."""
        return self.outcome.kept

    @property
    def outcome(self) -> Outcome:
        """The findings so far, sorted by whether the user wants to hear of them."""
        abroad = self._children.findings(*self._graded_abroad())
        return self.suppressions.sort(merged(self._engine.findings, abroad))

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
        """Tell whether ``finding`` is at the level at which a run fails; none is that goes to a baseline."""
        if self._output.takes_all_as_known:
            return False
        return fails(finding, self.config.fail_on, strict=self.config.strict)

    def as_run(
        self, findings: Sequence[Finding], suppressed: Sequence[Suppressed], blind: Sequence[str]
    ) -> Run:
        """Return the run for a report on ``findings``; ``blind`` is what it did not look at."""
        return Run(
            findings=tuple(findings),
            device=devices.NAMES[self.device],
            live=self.live_codes,
            blind=tuple(blind),
            has_ended=self.is_over,
            suppressed=tuple(suppressed),
            left_out=self.left_out,
        )

    @property
    def live_codes(self) -> frozenset[str]:
        """The codes of the rules that can fire."""
        return live_codes(races=self.config.races, kernels=not self.config.no_kernels)

    @property
    def left_out(self) -> frozenset[str]:
        """The codes of those of them of which the user does not want to hear."""
        return frozenset(filter(self.suppressions.leaves_out, self.live_codes))

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write the timeline so far to ``path``; raises :class:`GuardError` where that can't be done."""
        with self._lock:
            self.timeline.dump(os.fspath(path), self.blind_spots())

    # -- parts of a run -------------------------------------------------------------------------

    def open_part(self) -> Part:
        """Begin a part of the run that has findings of its own: a block, a cell, the phase of a test."""
        with self._lock:
            part = self._engine.open_part()
        self._children.open_part(part, *self._graded_abroad())
        return part

    def take(self, part: Part, error: BaseException | None = None) -> Outcome:
        """Return what was found in ``part`` since it was opened or last taken.

        ``error`` is what ended it: failures for which neither it nor :attr:`uncaught` stands have been
        handled.
        """
        escaped = self.uncaught.escaped
        if error is not None:
            escaped = escaped | failures.sequences(error)
        hooks.collect()
        with self._lock:
            found = part.take(escaped, self.uncaught.expected)
        return self.suppressions.sort(merged(found, self._children.take(part, *self._graded_abroad(error))))

    def peek(self, part: Part) -> Outcome:
        """Return what is certain to have been found in ``part`` so far."""
        with self._lock:
            found = part.peek(self.uncaught.escaped, self.uncaught.expected)
        return self.suppressions.sort([finding for finding in found if finding.severity is not Severity.NOTE])

    def watch_races(self, *, on: bool) -> None:
        """Look for races, or not, in the kernels of modules that are loaded from now on."""
        hooks.watch_races(on=on or self.config.races)

    def close_part(self, part: Part) -> None:
        """Collect nothing for ``part`` any more."""
        with self._lock:
            self._engine.close_part(part)
        self._children.close_part(part)

    # -- what hooks call ------------------------------------------------------------------------

    def emit(self, event: Event, pattern: Pattern | None = None) -> int:
        """Number ``event``, have it recorded and checked, and return its number.

        With a ``pattern`` it equals those that were emitted with it.
        """
        if self._fork is not None:
            fork, self._fork = self._fork, None
            self.emit(fork)
            self._report_to_parent(ended=False)
        if self._contexts.is_needed or type(event) is CallFailed:
            replaced = self._contexts.look(event)
            if replaced is not None:
                self.emit(replaced)
        lock = self._lock
        lock.acquire()  # on the way of every call, where a with statement takes twice as long
        try:
            number = event.sequence = next(self._numbers)
            event.time = time.time_ns()
            if self._is_busy:
                self._waiting.append(event)
                return number
            self._is_busy = True
            try:
                while not self._is_over:
                    # recorded before anything else: so it is safe whatever the checks and the driver do
                    self.timeline.add(event, pattern)
                    try:
                        if type(event) in self._watched:
                            self._faults.see(event)
                        self._engine.feed(event, pattern)
                    except Exception as error:
                        self._broken(event, error)
                    if not self._waiting:
                        break
                    event, pattern = self._waiting.popleft(), None
            finally:
                self._is_busy = False
        finally:
            lock.release()
        return number

    def guard_error(self, where: str, error: BaseException) -> None:
        """Note that the guard failed in ``where``: reported as PG903."""
        text = f"{type(error).__name__}: {error}"
        self.emit(GuardFailed(callsite.here(), threading.get_ident(), 0, where, text))

    # -- inside ---------------------------------------------------------------------------------

    def _broken(self, event: Event, error: Exception) -> None:
        """Report that checking ``event`` itself failed, unless it is the report of such a failure."""
        where = f"the checks of {type(event).__name__}"
        if isinstance(event, GuardFailed):
            self._output.screen.complain(f"{where} failed: {type(error).__name__}: {error}")
        else:
            self.guard_error(where, error)

    def _found(self, finding: Finding) -> None:
        """Take a new finding: on disk and on the screen before the driver sees the call."""
        if self._is_child:
            self._report_to_parent(ended=False)
            return
        if not self.suppressions.sort([finding]).kept:
            return
        self._output.write(lambda: self.outcome)
        self._output.show(finding)

    def remarks(self) -> dict[str, bool]:
        """Return what there is to say of the program's ignores, and whether it holds for this run."""
        return self.suppressions.remarks(callsite.files(), self.timeline.kernels, self.live_codes)

    def blind_spots(self) -> list[str]:
        """Return what this run did not look at for reasons of its own."""
        spots = unwatched(self.config)
        spots += unwatched_kernels(self._unwatched if any(self._unwatched) else hooks.what_is_unwatched())
        if self._has_unseen_children:
            spots.append("child processes that had not ended")
        if not self._faults.is_available:
            spots.append("device memory touched by the host (its C extension is missing)")
        if not TouchWatch.is_available:
            spots.append("host memory touched while the device uses it")
        return spots

    def _run_before_pop(self, module: object) -> None:
        """Be called at exit just before ``module``, imported now, pops its context (last in, first out)."""
        if not self._is_over:
            atexit.unregister(self._at_exit)
            atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        self.finish("exits")

    # -- child processes ------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Get ready for a child: it needs a place for its findings, and to know whether CUDA works there."""
        try:
            self._children.prepare()
        except OSError:
            self._has_unseen_children = True
        initialized = contexts.is_initialized() or self._was_forked_late
        self._next_fork = Forked(callsite.here(), threading.get_ident(), 0, os.getpid(), initialized)

    def after_fork(self) -> None:
        """Begin anew in a forked child: the lock may be another thread's, the report is the parent's."""
        self._fork = self._next_fork
        self._was_forked_late = self._next_fork is not None and self._next_fork.initialized
        self._lock = threading.RLock()
        self._is_busy = False
        self._waiting.clear()
        self._is_child = True
        self._numbers = itertools.count(1)
        self._engine = Engine(self._found)
        self._output.leave_child()
        self._watched = frozenset()
        self._contexts.forget()
        hooks.leave_child()
        self.uncaught.forget()
        self._children.enter()
        self.timeline.leave_child()
        self._faults.stop()
        startup.watch_end(self, forked=True)

    def start_of_child(self) -> startup.Start | None:
        """Return what a child that is started afresh needs, if it can be guarded."""
        try:
            self._children.prepare()
        except OSError:
            self._has_unseen_children = True
            return None
        record = os.path.abspath(self.config.record) if self.config.record else None
        config = replace(self.config, device=self.device, json=None, record=record)
        return startup.Start(config, self._children.folder)

    def _report_to_parent(self, *, ended: bool) -> None:
        self._children.write(self._engine.entries, self.uncaught.escaped, ended=ended)

    def _graded_abroad(self, error: BaseException | None = None) -> tuple[set[Failure], set[Failure]]:
        """Return the failures in other processes that escaped here, ``error`` counted, or were expected."""
        escaped = self.uncaught.foreign
        if error is not None:
            escaped = escaped | failures.foreign(error)
        return escaped, self.uncaught.foreign_expected


def _is_worker() -> bool:
    """Tell whether this process was started by multiprocessing: the report is its parent's."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    # a spawned process knows its parent only after it has imported the script again
    return process.parent_process() is not None or hasattr(process.current_process(), "_inheriting")


def _start_of_child() -> startup.Start | None:
    return None if _active is None else _active.start_of_child()


def _worker_failed(error: BaseException) -> None:
    if _active is not None:
        _active.uncaught.note(error)
        trim(error)


def _before_fork() -> None:
    if _active is not None:
        _active.before_fork()


def _after_fork_in_child() -> None:
    if _active is not None:
        _active.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
