"""Made-up streams and events, 500 and up and 700 and up, and how the host waits for them."""

from __future__ import annotations

from made_up.places import CTX, where

from pycuda_guard.events import model as m

S1, S2 = 501, 502
E1, E2 = 701, 702


def stream(handle: int, flags: int = 0) -> m.StreamCreated:
    """``Stream(flags)``; 1 is ``NON_BLOCKING``."""
    return m.StreamCreated(*where(4), handle, flags)


def event(handle: int, line: int = 5, flags: int = 0) -> m.EventCreated:
    """``Event()``."""
    return m.EventCreated(*where(line), handle, flags)


def record(handle: int, on: int = 0, line: int = 16) -> m.EventRecorded:
    """``event.record(stream)``."""
    return m.EventRecorded(*where(line), handle, on)


def wait(on: int, handle: int, line: int = 17) -> m.StreamWaited:
    """``stream.wait_for_event(event)``."""
    return m.StreamWaited(*where(line), on, handle)


def timed(start: int, end: int, line: int = 18) -> m.EventTimed:
    """``start.time_till(end)``."""
    return m.EventTimed(*where(line), start, end)


def synchronize(scope: str = "context", handle: int = CTX, line: int = 30) -> m.Synchronized:
    """The host waits for the context, a stream or an event."""
    return m.Synchronized(*where(line), scope, handle)


def polled(scope: str, handle: int, line: int = 12) -> m.Synchronized:
    """``is_done()`` or ``query()`` of a stream or an event returned True."""
    return m.Synchronized(*where(line), scope, handle, polled=True)


def destroyed(handle: int, line: int = 12) -> m.StreamDestroyed:
    """A stream is garbage-collected."""
    return m.StreamDestroyed(*where(line), handle)
