"""Launches that the host has not waited for."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from pycuda_guard.events.model import DEFAULT_STREAM, CopyKind, HostOperand

if TYPE_CHECKING:
    from pycuda_guard.checks.state.streams import Streams
    from pycuda_guard.events.model import Copy, Launch, LaunchFinished, Synchronized

_MAX_A_STREAM = 1024

_Queues = defaultdict[int, deque["Launch"]]


def _new_queues() -> _Queues:
    return defaultdict(lambda: deque(maxlen=_MAX_A_STREAM))


class Pending:
    """For each context and stream, the launches since the host last waited for it.

    A copy that blocks the host is announced before it is done, so what it waits for is set aside,
    and counts as unfinished again if the copy turns out to have failed.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._contexts: defaultdict[int, _Queues] = defaultdict(_new_queues)
        self._set_aside: dict[int, tuple[int, list[Launch]]] = {}
        self._last: dict[int, Launch] = {}  # by thread

    def launch(self, event: Launch) -> None:
        """Enter a launch."""
        self._last[event.thread] = event
        self._contexts[event.context][event.stream].append(event)

    def last(self, thread: int) -> Launch | None:
        """Return the last launch of a thread, if the host has not waited for it alone."""
        return self._last.get(thread)

    def finish(self, event: LaunchFinished) -> None:
        """Forget the last launch of a thread: the host has waited for it."""
        launch = self._last.pop(event.thread, None)
        if launch is not None:
            queue = self._contexts[launch.context][launch.stream]
            if queue and queue[-1] is launch:
                queue.pop()

    def before_default(self, context: int) -> list[Launch]:
        """Return the unfinished launches that the legacy default stream is ordered after."""
        queues = self._contexts.get(context)
        if not queues:
            return []
        ordered = self._streams.is_ordered_with_default
        return [launch for stream, queue in queues.items() if ordered(stream) for launch in queue]

    def unfinished(self, context: int, announced: int = 0) -> list[Launch]:
        """Return every launch that may be to blame when the call ``announced`` fails, oldest first."""
        launches = [launch for queue in self._contexts[context].values() for launch in queue]
        sequence, aside = self._set_aside.get(context, (0, []))
        if announced and sequence == announced:
            launches += aside
        launches = [launch for launch in launches if launch.sequence != announced]
        return sorted(launches, key=lambda launch: launch.sequence)

    def copy(self, event: Copy) -> None:
        """Set aside what a copy to the host waits for."""
        queues = self._contexts.get(event.context)
        if not queues or event.asynchronous:
            return
        if type(event.destination) is not HostOperand or event.kind is CopyKind.HTOD:
            return
        waited: list[Launch] = []
        for stream in [stream for stream in queues if self._streams.is_ordered_with_default(stream)]:
            waited += queues.pop(stream)
        if waited:
            self._set_aside[event.context] = (event.sequence, waited)

    def synchronize(self, event: Synchronized) -> None:
        """Forget what the host has waited for."""
        queues = self._contexts.get(event.context)
        if not queues:
            return
        if event.scope == "context":
            queues.clear()
        elif event.scope == "stream":
            queues.pop(event.handle, None)
        else:
            self._wait_for_record(queues, event.handle)

    def _wait_for_record(self, queues: _Queues, handle: int) -> None:
        """Forget the launches before the last record of an event."""
        stream, sequence = self._streams.records.get(handle, (DEFAULT_STREAM, 0))
        for name, queue in queues.items():
            covered = name == stream or (
                stream == DEFAULT_STREAM and self._streams.is_ordered_with_default(name)
            )
            while covered and queue and queue[0].sequence < sequence:
                queue.popleft()
