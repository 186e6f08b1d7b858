"""An event is waited for or timed, and never recorded in the whole run.

What it does
------------
At the end of the run, reports events that a stream waited for or that a time was taken from, and that
were never recorded.

Why is this bad
---------------
Waiting for an event without a record orders nothing: the wait is over at once. Taking a time from it
raises "invalid resource handle". Mostly the call of `record()` was forgotten, or the wrong event of
two is used.

Example
-------
    import pycuda.autoinit
    import pycuda.driver as cuda

    producer, consumer = cuda.Stream(), cuda.Stream()
    filled = cuda.Event()
    consumer.wait_for_event(filled)

Use instead
-----------
    import pycuda.autoinit
    import pycuda.driver as cuda

    producer, consumer = cuda.Stream(), cuda.Stream()
    filled = cuda.Event()
    filled.record(producer)
    consumer.wait_for_event(filled)

Known limits
------------
An event that is recorded later, as in the first laps of a ring of buffers, is right. The place is the
first time a stream waits for the event or a time is taken; only if there is none, or if the program
caught the failure of taking the time, the first time the host waits for it.

References
----------
CUDA driver API, cuEventRecord, cuStreamWaitEvent, cuEventElapsedTime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.collector import Collector
    from pycuda_guard.checks.state import State
    from pycuda_guard.events.model import (
        CallFailed,
        Event,
        EventCreated,
        EventDestroyed,
        EventId,
        EventRecorded,
        EventTimed,
        RunEnded,
        StreamWaited,
        Synchronized,
    )

#: Another process may record such an event.
_INTERPROCESS = 4


class UnrecordedEvent(Rule):
    """PG107."""

    code: ClassVar[str] = "PG107"
    name: ClassVar[str] = "unrecorded-event"
    severity: ClassVar[Severity] = Severity.WARNING
    source: ClassVar[str] = "exit"

    def __init__(self, state: State, collector: Collector) -> None:
        super().__init__(state, collector)
        self._recorded: set[EventId] = set()
        #: for each event that has no record yet, the first use, whether the host only waited, and its making
        self._used: dict[EventId, tuple[Event, str, bool, EventCreated | None]] = {}
        #: what there was before a time was taken, likewise
        self._waited: dict[EventId, tuple[Event, str, bool, EventCreated | None]] = {}
        #: the failures of the calls that timed such an event, by the number of the announced call
        self._failures: dict[int, int] = {}

    def on_event_recorded(self, event: EventRecorded) -> None:
        """Note that an event has a record."""
        self._recorded.add(event.event)
        self._used.pop(event.event, None)
        self._waited.pop(event.event, None)

    def on_event_destroyed(self, event: EventDestroyed) -> None:
        """Forget an event that had a record."""
        self._recorded.discard(event.event)

    def on_stream_waited(self, event: StreamWaited) -> None:
        """Note that a stream waits for an event."""
        self._use(event.event, event, "a stream waits for an event")

    def on_event_timed(self, event: EventTimed) -> None:
        """Note that a time is taken between two events."""
        self._use(event.start, event, "a time is taken from an event")
        self._use(event.end, event, "a time is taken from an event")

    def on_call_failed(self, event: CallFailed) -> None:
        """Note that a time could not be taken: the program may have counted on that."""
        if event.announced and any(use[0].sequence == event.announced for use in self._used.values()):
            self._failures[event.announced] = event.sequence

    def on_synchronized(self, event: Synchronized) -> None:
        """Note that the host waits for an event."""
        if event.scope == "event" and not event.polled:
            self._use(event.handle, event, "the host waits for an event", host=True)

    def on_run_ended(self, event: RunEnded) -> None:
        """Report the events that never got a record."""
        if self.state.late:
            return  # they may have been recorded before
        for handle, (use, what, _, created) in self._used.items():
            if created is None or created.flags & _INTERPROCESS:
                continue
            failure = self._failures.get(use.sequence)
            if failure is not None and failure not in event.escaped and handle in self._waited:
                # what the program has caught says nothing; that it waited before does
                use, what, _, _ = self._waited[handle]
                failure = None
            if self.again(event, site=use.site, failure=failure):
                continue
            self.report(
                event,
                f"{what} that was never recorded: there is nothing to wait for",
                "record it behind the work that it stands for: event.record(stream)",
                site=use.site,
                related=messages.related("the event is made here", created.site),
                failure=failure,
            )

    def _use(self, handle: EventId, event: Event, what: str, host: bool = False) -> None:
        if handle in self._recorded:
            return
        first = self._used.get(handle)
        if first is None or (first[2] and not host):
            if first is not None:
                self._waited[handle] = first
            self._used[handle] = (event, what, host, self.state.streams.created.get(handle))
