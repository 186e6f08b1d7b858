"""Streams and events: their lives, the order they make, and the host's waiting for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import (
    DEFAULT_STREAM,
    Event,
    EventCreated,
    EventDestroyed,
    EventId,
    EventRecorded,
    EventTimed,
    StreamCreated,
    StreamDestroyed,
    StreamId,
    StreamWaited,
    Synchronized,
)
from pycuda_guard.hooks.tap import Tap, ThreadState, announced, finalizing, reported

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site


#: flag of an event that another process made, and may record
INTERPROCESS = 4


def stream_id(stream: Any) -> StreamId:
    """Return the handle of a stream argument; None is the legacy default stream."""
    return DEFAULT_STREAM if stream is None else int(stream.handle)


def event_id(tap: Tap, event: Any) -> EventId:
    """Return the number of an event; one made before the guard gets its number now."""
    number = tap.events.get(id(event))
    if number is None:
        number = tap.events[id(event)] = next(tap.numbers)
    return number


def _stream_created(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, stream: Any, flags: int = 0, *rest: Any
) -> Event:
    return StreamCreated(site, state.thread, state.context, int(stream.handle), int(flags))


def _stream_collected(tap: Tap, site: Site | None, state: ThreadState, stream: Any, /) -> Event:
    return StreamDestroyed(site, state.thread, state.context, int(stream.handle))


def _stream_synchronized(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, stream: Any
) -> Event:
    return Synchronized(site, state.thread, state.context, "stream", stream.handle)


def _stream_polled(
    tap: Tap, site: Site | None, state: ThreadState, done: bool, /, stream: Any
) -> Event | None:
    if not done:
        return None
    return Synchronized(site, state.thread, state.context, "stream", stream.handle, polled=True)


def _stream_waits(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, stream: Any, event: Any
) -> Event:
    return StreamWaited(site, state.thread, state.context, int(stream.handle), event_id(tap, event))


def _event_created(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, event: Any, flags: int = 0
) -> Event:
    number = tap.events[id(event)] = next(tap.numbers)
    return EventCreated(site, state.thread, state.context, number, int(flags))


def _event_opened(
    tap: Tap, site: Site | None, state: ThreadState, event: Any, /, *args: Any, **kwargs: Any
) -> Event:
    return _event_created(tap, site, state, None, event, INTERPROCESS)


def _event_collected(tap: Tap, site: Site | None, state: ThreadState, event: Any, /) -> Event | None:
    number = tap.events.pop(id(event), None)
    return None if number is None else EventDestroyed(site, state.thread, state.context, number)


def _event_recorded(
    tap: Tap, site: Site | None, state: ThreadState, /, event: Any, stream: Any = None
) -> Event:
    return EventRecorded(site, state.thread, state.context, event_id(tap, event), stream_id(stream))


def _event_synchronized(tap: Tap, site: Site | None, state: ThreadState, result: Any, /, event: Any) -> Event:
    return Synchronized(site, state.thread, state.context, "event", event_id(tap, event))


def _event_polled(tap: Tap, site: Site | None, state: ThreadState, done: bool, /, event: Any) -> Event | None:
    if not done:
        return None
    return Synchronized(site, state.thread, state.context, "event", event_id(tap, event), polled=True)


def _time_since(tap: Tap, site: Site | None, state: ThreadState, /, end: Any, start: Any) -> Event:
    return EventTimed(site, state.thread, state.context, event_id(tap, start), event_id(tap, end))


def _time_till(tap: Tap, site: Site | None, state: ThreadState, /, start: Any, end: Any) -> Event:
    return EventTimed(site, state.thread, state.context, event_id(tap, start), event_id(tap, end))


create_stream = reported("Stream", _stream_created)
collect_stream = finalizing("Stream.__del__", _stream_collected)
synchronize_stream = reported("Stream.synchronize", _stream_synchronized)
poll_stream = reported("Stream.is_done", _stream_polled)
wait_for_event = reported("Stream.wait_for_event", _stream_waits)

create_event = reported("Event", _event_created)
open_event = reported("Event.from_ipc_handle", _event_opened)
collect_event = finalizing("Event.__del__", _event_collected)
record_event = announced("Event.record", _event_recorded)
synchronize_event = reported("Event.synchronize", _event_synchronized)
poll_event = reported("Event.query", _event_polled)
time_since = announced("Event.time_since", _time_since)
time_till = announced("Event.time_till", _time_till)
