"""Streams and events.

A stream runs what is queued in it at once, in the calling thread. So the order of the host's calls is the
order of execution, which every program that synchronizes correctly allows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import contexts, state
from pycuda_guard.cpu.driver.cells import put_f32, put_i32, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result

if TYPE_CHECKING:
    from collections.abc import Callable

_NON_BLOCKING = 1
_DISABLE_TIMING, _INTERPROCESS = 2, 4
_EVENT_FLAGS = 7
#: handles of the default stream, of the legacy one by name, and of the thread's own default stream
_DEFAULT_HANDLES = (0, 1, 2)


class Stream:
    """A queue of work of one context. ``context`` is None for the default stream, which each has."""

    def __init__(self, context: contexts.Context | None, flags: int = 0, priority: int = 0) -> None:
        self.context = context
        self.flags = flags
        self.priority = priority

    def enqueue(self, work: Callable[[], None]) -> None:
        """Run ``work`` after what was queued before; drop it if the device is broken."""
        if state.status.pending is None:
            work()


class Event:
    """A point in a stream. ``recorded`` is when it was reached, in ns, or None if never recorded."""

    def __init__(self, context: contexts.Context, flags: int) -> None:
        self.context = context
        self.flags = flags
        self.recorded: int | None = None

    def complete(self) -> None:
        """Note that the stream has got here."""
        self.recorded = time.perf_counter_ns()


_streams = state.Handles(0x2000_0000)
_events = state.Handles(0x3000_0000)
_default = Stream(None)


def default() -> Stream:
    """Return the default stream."""
    return _default


def lookup(handle: int, context: contexts.Context) -> Stream:
    """Return the stream of a handle; it must belong to ``context``."""
    if handle in _DEFAULT_HANDLES:
        return _default
    stream: Stream = _streams.get(handle)
    if stream.context is not context:
        raise DriverError(Result.INVALID_HANDLE)
    return stream


def create(out: int, flags: int) -> None:
    """Create a stream."""
    create_with_priority(out, flags, 0)


def create_with_priority(out: int, flags: int, priority: int) -> None:
    """Create a stream; its priority has no effect."""
    context = contexts.current_waiting()
    if flags & ~_NON_BLOCKING:
        raise DriverError(Result.INVALID_VALUE)
    put_u64(out, _streams.add(Stream(context, flags, priority)))


def destroy(handle: int) -> None:
    """Destroy a stream; what is queued in it still runs."""
    if state.status.trouble:
        state.require(True)
    _streams.remove(handle)


def synchronize(handle: int) -> None:
    """Wait for a stream."""
    contexts.current_waiting()
    _known(handle)


def query(handle: int) -> None:
    """Say whether a stream has nothing left to do."""
    contexts.current_waiting()
    _known(handle)


def _known(handle: int) -> Stream:
    stream: Stream = _default if handle in _DEFAULT_HANDLES else _streams.get(handle)
    return stream


def get_flags(handle: int, out: int) -> None:
    """Return the flags that a stream was created with."""
    contexts.current()
    put_i32(out, _known(handle).flags)


def get_priority(handle: int, out: int) -> None:
    """Return the priority that a stream was created with."""
    contexts.current()
    put_i32(out, _known(handle).priority)


def get_context(handle: int, out: int) -> None:
    """Return the context that a stream belongs to."""
    context = contexts.current()
    put_u64(out, (_known(handle).context or context).handle)


def wait_event(handle: int, event: int, flags: int) -> None:
    """Make a stream wait for an event, which may be another context's."""
    context = contexts.current()
    stream = lookup(handle, context)
    if flags & ~1:
        raise DriverError(Result.INVALID_VALUE)
    _events.get(event)
    stream.enqueue(_nothing)


def _nothing() -> None:
    """Stand for work that is over at once, in order."""


def create_event(out: int, flags: int) -> None:
    """Create an event."""
    context = contexts.current_waiting()
    if flags & ~_EVENT_FLAGS or (flags & _INTERPROCESS and not flags & _DISABLE_TIMING):
        raise DriverError(Result.INVALID_VALUE)
    put_u64(out, _events.add(Event(context, flags)))


def destroy_event(handle: int) -> None:
    """Destroy an event."""
    if state.status.trouble:
        state.require(True)
    _events.remove(handle)


def record(handle: int, stream_handle: int) -> None:
    """Put an event at the end of a stream of its own context."""
    context = contexts.current()
    event: Event = _events.get(handle)
    stream = lookup(stream_handle, context)
    if event.context is not context:
        raise DriverError(Result.INVALID_HANDLE)
    stream.enqueue(event.complete)


def query_event(handle: int) -> None:
    """Say whether an event has been reached; one never recorded has."""
    contexts.current_waiting()
    _events.get(handle)


def synchronize_event(handle: int) -> None:
    """Wait for an event."""
    contexts.current_waiting()
    _events.get(handle)


def elapsed_time(out: int, start: int, end: int) -> None:
    """Return the milliseconds between two events that were recorded with timing."""
    contexts.current_waiting()
    first: Event = _events.get(start)
    second: Event = _events.get(end)
    if (
        first.recorded is None
        or second.recorded is None
        or (first.flags | second.flags) & _DISABLE_TIMING
        or first.context is not second.context
    ):
        raise DriverError(Result.INVALID_HANDLE)
    put_f32(out, (second.recorded - first.recorded) / 1e6)
