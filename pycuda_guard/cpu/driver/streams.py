"""Streams and events. What runs in which order: :mod:`.queues`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import contexts, queues, state
from pycuda_guard.cpu.driver.cells import put_f32, put_i32, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result

if TYPE_CHECKING:
    from pycuda_guard.cpu.driver.queues import Goals, Position, Queue

_NON_BLOCKING = 1
_DISABLE_TIMING, _INTERPROCESS = 2, 4
_EVENT_FLAGS = 7
#: handles of the default stream, of the legacy one by name, and of the thread's own default stream
_DEFAULT_HANDLES = (0, 1, 2)


class Stream:
    """A stream of a context."""

    def __init__(self, context: contexts.Context, flags: int, priority: int) -> None:
        self.context = context
        self.flags = flags
        self.priority = priority
        self.queue = queues.Queue(context.queues, is_blocking=not flags & _NON_BLOCKING)


class Mark:
    """A place in a stream where an event was recorded; ``time`` is when it was reached, in ns."""

    def __init__(self, queue: Queue) -> None:
        self.time: int | None = None
        queue.enqueue(self.reach)
        self.position: Position = (queue, queue.last())

    def reach(self) -> None:
        """Note that the stream has got here."""
        self.time = time.perf_counter_ns()

    def goals(self) -> Goals:
        """Return the goals of one who waits for this place."""
        return dict([self.position]) if self.time is None else {}


class Event:
    """An event; ``mark`` is where it was recorded last, or None if never."""

    def __init__(self, context: contexts.Context, flags: int) -> None:
        self.context = context
        self.flags = flags
        self.mark: Mark | None = None

    def goals(self) -> Goals:
        """Return the goals of one who waits for the event."""
        return {} if self.mark is None else self.mark.goals()


_streams = state.Handles(0x2000_0000)
_events = state.Handles(0x3000_0000)


def lookup(handle: int, context: contexts.Context) -> Queue:
    """Return the queue of a stream's handle; the stream must belong to ``context``."""
    if handle in _DEFAULT_HANDLES:
        return context.queues.legacy
    stream: Stream = _streams.get(handle)
    if stream.context is not context:
        raise DriverError(Result.INVALID_HANDLE)
    return stream.queue


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
    stream: Stream = _streams.remove(handle)
    stream.queue.close()


def _queue(handle: int, context: contexts.Context) -> Queue:
    if handle in _DEFAULT_HANDLES:
        return context.queues.legacy
    stream: Stream = _streams.get(handle)
    return stream.queue


def synchronize(handle: int) -> None:
    """Wait for a stream."""
    queue = _queue(handle, contexts.current_waiting())
    queues.finish(queue.synchronizing())


def query(handle: int) -> None:
    """Say whether a stream has nothing left to do; if it has, one piece of its work runs."""
    queue = _queue(handle, contexts.current_waiting())
    _answer(queue.synchronizing())


def _answer(goals: Goals) -> None:
    if not queues.is_reached(goals):
        queues.advance(goals)
        raise DriverError(Result.NOT_READY)


def get_flags(handle: int, out: int) -> None:
    """Return the flags that a stream was created with."""
    contexts.current()
    put_i32(out, 0 if handle in _DEFAULT_HANDLES else _streams.get(handle).flags)


def get_priority(handle: int, out: int) -> None:
    """Return the priority that a stream was created with."""
    contexts.current()
    put_i32(out, 0 if handle in _DEFAULT_HANDLES else _streams.get(handle).priority)


def get_context(handle: int, out: int) -> None:
    """Return the context that a stream belongs to."""
    context = contexts.current()
    put_u64(out, (context if handle in _DEFAULT_HANDLES else _streams.get(handle).context).handle)


def wait_event(handle: int, event: int, flags: int) -> None:
    """Make a stream wait for an event, which may be another context's."""
    context = contexts.current()
    queue = lookup(handle, context)
    if flags & ~1:
        raise DriverError(Result.INVALID_VALUE)
    recorded: Event = _events.get(event)
    for position in recorded.goals().items():
        queue.enqueue(_nothing, after=position)


def _nothing() -> None:
    """Stand for the work of waiting."""


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
    queue = lookup(stream_handle, context)
    if event.context is not context:
        raise DriverError(Result.INVALID_HANDLE)
    event.mark = Mark(queue)


def query_event(handle: int) -> None:
    """Say whether an event has been reached (one never recorded has); if not, one piece of work runs."""
    contexts.current_waiting()
    event: Event = _events.get(handle)
    _answer(event.goals())


def synchronize_event(handle: int) -> None:
    """Wait for an event."""
    contexts.current_waiting()
    event: Event = _events.get(handle)
    queues.finish(event.goals())


def elapsed_time(out: int, start: int, end: int) -> None:
    """Return the milliseconds between two events that were recorded with timing."""
    contexts.current_waiting()
    first: Event = _events.get(start)
    second: Event = _events.get(end)
    if (
        first.mark is None
        or second.mark is None
        or (first.flags | second.flags) & _DISABLE_TIMING
        or first.context is not second.context
    ):
        raise DriverError(Result.INVALID_HANDLE)
    if first.mark.time is None or second.mark.time is None:
        raise DriverError(Result.NOT_READY)
    put_f32(out, (second.mark.time - first.mark.time) / 1e6)
