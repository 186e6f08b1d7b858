"""Streams and events: which streams the legacy default stream waits for, and what events recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.model import DEFAULT_STREAM

if TYPE_CHECKING:
    from pycuda_guard.events.model import (
        EventCreated,
        EventDestroyed,
        EventId,
        EventRecorded,
        StreamCreated,
        StreamDestroyed,
        StreamId,
    )

NON_BLOCKING = 1


class Streams:
    """The flags of live streams, and the last record of each live event."""

    def __init__(self) -> None:
        self.flags: dict[StreamId, int] = {DEFAULT_STREAM: 0}
        #: for each event, the stream and the sequence number of its last record
        self.records: dict[EventId, tuple[StreamId, int]] = {}
        self.created: dict[EventId, EventCreated] = {}

    def create(self, event: StreamCreated) -> None:
        """Enter a stream. The driver reuses handles: the newest stream owns one."""
        self.flags[event.stream] = event.flags

    def destroy(self, event: StreamDestroyed) -> None:
        """Forget a stream."""
        self.flags.pop(event.stream, None)

    def create_event(self, event: EventCreated) -> None:
        """Enter an event."""
        self.created[event.event] = event

    def destroy_event(self, event: EventDestroyed) -> None:
        """Forget an event."""
        self.created.pop(event.event, None)
        self.records.pop(event.event, None)

    def record(self, event: EventRecorded) -> None:
        """Note the record of an event; the latest one counts."""
        self.records[event.event] = (event.stream, event.sequence)

    def is_ordered_with_default(self, stream: StreamId) -> bool:
        """Tell whether the legacy default stream certainly waits for ``stream``."""
        flags = self.flags.get(stream)
        return flags is not None and not flags & NON_BLOCKING
