"""Where the events of a run are kept: the last ones in memory, all of them in a recording if wanted."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from pycuda_guard import __version__
from pycuda_guard.errors import GuardError, StartError
from pycuda_guard.events import recorder
from pycuda_guard.events.model import Launch
from pycuda_guard.events.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.config import Config
    from pycuda_guard.events.codec import Start
    from pycuda_guard.events.model import Event
    from pycuda_guard.events.patterns import Pattern

#: the events that are kept in memory, for :func:`pycuda_guard.dump`
KEPT = 16_384


class Timeline:
    """The events of one run. Not thread-safe: the session adds them one at a time.

    ``complain(where, error)`` is told when events can't be recorded any more.
    """

    def __init__(self, config: Config, complain: Callable[[str, BaseException], None]) -> None:
        self._config = config
        self._complain = complain
        self._device = ""
        self._parent = 0
        self._last: deque[Event] = deque(maxlen=KEPT)
        self._recorder: Recorder | None = None
        self._is_waiting = False  # a forked child, whose file is made for its first event
        self._template = ""

    def start(self, device: str, *, is_worker: bool) -> None:
        """Make the recording, if one is wanted, of a run on ``device``.

        ``is_worker`` is true in a process of multiprocessing, whose file must not be its parent's.
        Raises :class:`StartError` where the file can't be made.
        """
        self._device = device
        if self._config.record:
            # absolute: the program may change its folder before it forks
            self._template = recorder.template_of(self._config.record)
            self._recorder = self._record(is_child=is_worker)

    def add(self, event: Event, pattern: Pattern | None = None) -> None:
        """Keep ``event``. When this returns, it is in the recording. Never raises."""
        self._last.append(event)
        if self._is_waiting:
            self._is_waiting = False
            try:
                self._recorder = self._record(is_child=True)
            except StartError as error:
                self._complain(recorder.NAME, error)
        if self._recorder is not None:
            self._recorder.write(event, pattern)

    @property
    def last_number(self) -> int:
        """The number of the last event; 0 where there was none."""
        return self._last[-1].sequence if self._last else 0

    @property
    def kernels(self) -> set[str]:
        """The names of the kernels that the last :data:`KEPT` events launched."""
        return {event.function for event in tuple(self._last) if isinstance(event, Launch)}

    def after(self, number: int) -> list[Event]:
        """Return those of the last :data:`KEPT` events that come behind the one of this number."""
        return [event for event in tuple(self._last) if event.sequence > number]

    def leave_child(self) -> None:
        """Let go of the parent's recording, in a forked child: the first event makes its own file."""
        self._parent = os.getppid()
        self._last.clear()
        if self._recorder is not None:
            self._recorder.abandon()
            self._recorder = None
        self._is_waiting = bool(self._template)

    def close(self, blind: Sequence[str]) -> None:
        """End the recording. ``blind`` is what the run did not look at."""
        if self._recorder is not None:
            self._recorder.close(blind)

    def dump(self, path: str, blind: Sequence[str]) -> None:
        """Write the last :data:`KEPT` events to ``path``, as a recording.

        Raises :class:`GuardError` where the file can't be written.
        """
        place = recorder.path_of(path)
        if self._recorder is not None and place == self._recorder.path:
            raise GuardError(f"{path} is the file that the run is being recorded to")
        problems: list[BaseException] = []
        copy = Recorder(place, self._start_record(), lambda where, error: problems.append(error))
        for event in tuple(self._last):
            copy.write(event)
        copy.close(blind)
        if problems:
            raise GuardError(f"the timeline can't be written to {path}: {problems[0]}") from problems[0]

    def _record(self, *, is_child: bool) -> Recorder:
        path = recorder.path_of(self._template, is_child=is_child)
        return Recorder(path, self._start_record(), self._complain, self._config.record_limit)

    def _start_record(self) -> Start:
        return recorder.describe(
            __version__,
            self._device,
            races=self._config.races,
            kernels=not self._config.no_kernels,
            parent=self._parent,
        )
