"""The events of a recording as rows for tables and pictures: on which track, after what, about which memory.

A :class:`Row` stands for one event. Work of the device is on the track of its stream, in the order in
which it was enqueued; everything is on the track of the host's thread that called. When work began and
ended on the device is not recorded; what is known is when it was enqueued and by which event the host
knew that it was done.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pycuda_guard.events import model
from pycuda_guard.events.model import DEFAULT_STREAM, HostOperand
from pycuda_guard.reports.buffers import Buffers
from pycuda_guard.reports.looks import LOOKS, QUEUED, Kind, Look

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import Event

#: work of one stream that is remembered as not known to be done; of more, the oldest stays so
_MAX_IN_FLIGHT = 65_536

#: contexts and streams that are told apart by name before the oldest are forgotten
_MAX_STREAMS = 10_000


@dataclass(slots=True)
class Row:
    """One event. ``number`` is its sequence number, ``time`` nanoseconds since 1970 (0: not known).

    ``thread`` and ``context`` count from 1 in the order of their appearance (0: none). ``stream`` is the
    track of the device that it is on or that it is about, or None. ``size`` says how much (bytes, or grid
    and block), ``nbytes`` is the bytes alone. ``after`` is what was ordered before this one other than by
    being earlier on its own track. ``done`` is the number of the event by which the host knew that this
    work was done, 0 as long as it does not; a call that waited itself has its own.
    """

    number: int
    time: int
    kind: Kind
    thread: int
    context: int
    stream: Stream | None
    what: str
    size: str
    nbytes: int
    buffers: tuple[str, ...]
    site: Site | None
    after: list[Arrow] = field(default_factory=list)
    done: int = 0

    @property
    def is_queued(self) -> bool:
        """Whether it is work on the track of its stream, and not only about a stream."""
        return self.stream is not None and self.kind in QUEUED


@dataclass(slots=True, eq=False)
class Stream:
    """A track of the device: one stream of one context. ``name`` is how rows and pictures call it.

    ``is_blocking`` streams and the legacy default stream wait for each other's work. ``last`` and
    ``last_time`` are the number and the time of the last row on it, ``behind`` is up to which row of other
    streams this one is known to be after.
    """

    name: str
    context: int
    is_default: bool
    is_blocking: bool
    last: int = 0
    last_time: int = 0
    in_flight: deque[Row] = field(default_factory=lambda: deque(maxlen=_MAX_IN_FLIGHT))
    behind: dict[Stream, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arrow:
    """Why a row comes after the row ``number``, which was put on ``stream`` at ``time``."""

    number: int
    time: int
    stream: Stream
    reason: str


class Tracks:
    """Makes rows of the events of one process, fed in their order. Needs memory only for what is alive."""

    def __init__(self) -> None:
        self.buffers = Buffers()
        self._threads: dict[int, int] = {}
        self._contexts: dict[int, int] = {}
        self._streams: dict[tuple[int, int], Stream] = {}
        self._created = 0
        self._defaults: dict[int, Stream] = {}
        self._records: dict[int, Arrow] = {}

    def rows(self, events: Iterable[Event]) -> Iterator[Row]:
        """Yield the row of each event; its ``done`` may become known later."""
        for event in events:
            yield self.row(event)

    def row(self, event: Event) -> Row:
        """Return the row of the next event."""
        self.buffers.see(event)
        look = LOOKS[type(event)]
        what, size, nbytes = look.words(event)
        row = Row(
            number=event.sequence,
            time=event.time,
            kind=look.kind,
            thread=self._threads.setdefault(event.thread, len(self._threads) + 1) if event.thread else 0,
            context=self._context(event.context),
            stream=self._stream(event, look),
            what=what,
            size=size,
            nbytes=nbytes,
            buffers=self.buffers.named(event),
            site=event.site,
        )
        self._order(event, row)
        return row

    # -- tracks -----------------------------------------------------------------------------------

    def _context(self, handle: int) -> int:
        return self._contexts.setdefault(handle, len(self._contexts) + 1) if handle else 0

    def _stream(self, event: Event, look: Look) -> Stream | None:
        """Return the track of the device that an event is on."""
        if isinstance(event, model.StreamCreated):
            self._created += 1
            return self._add_stream(event.context, event.stream, f"stream {self._created}", event.flags)
        if isinstance(event, model.StreamDestroyed):
            return self._streams.pop((event.context, event.stream), None)
        if isinstance(event, model.Synchronized) and event.scope == "stream":
            return self._find_stream(event.context, event.handle)
        if not look.is_on_stream:
            return None
        handle: int = event.stream  # type: ignore[attr-defined]
        return self._find_stream(event.context, handle)

    def _find_stream(self, context: int, handle: int) -> Stream:
        known = self._streams.get((context, handle))
        if known is not None:
            return known
        if handle == DEFAULT_STREAM:
            return self._add_stream(context, handle, "default stream", 0)
        self._created += 1
        return self._add_stream(context, handle, f"stream {self._created}", 0)

    def _add_stream(self, context: int, handle: int, name: str, flags: int) -> Stream:
        number = self._context(context)
        if number > 1:
            name += f" of context {number}"
        if len(self._streams) >= _MAX_STREAMS:
            del self._streams[next(iter(self._streams))]
        is_default = handle == DEFAULT_STREAM
        stream = Stream(name, number, is_default, is_blocking=not flags & 1)
        self._streams[context, handle] = stream
        if is_default:
            self._defaults[number] = stream
        return stream

    # -- what orders what -------------------------------------------------------------------------

    def _order(self, event: Event, row: Row) -> None:
        """Enter what an event is ordered after, and what the host knows to be done by it."""
        if isinstance(event, model.StreamWaited):
            source = self._records.get(event.event)
            if source is not None and row.stream is not None:
                row.after.append(source)
                row.stream.behind[source.stream] = source.number
        if row.stream is not None and LOOKS[type(event)].is_on_stream:
            self._enqueue(row, row.stream)
        if isinstance(event, model.EventRecorded) and row.stream is not None:
            self._records[event.event] = Arrow(row.number, row.time, row.stream, "waits for the event")
        elif isinstance(event, model.EventDestroyed):
            self._records.pop(event.event, None)
        elif isinstance(event, model.Copy) and row.stream is not None and _blocks(event):
            _finish(row.stream, row.number, row.number)
        elif isinstance(event, model.Synchronized):
            self._synchronize(event, row)
        elif isinstance(event, model.LaunchFinished):
            self._wait_for_all(row)

    def _enqueue(self, row: Row, stream: Stream) -> None:
        """Put work on a stream; the legacy default stream and the blocking streams wait for each other."""
        if stream.is_default:
            others = self._of_context(stream.context)
        else:
            others = [self._defaults[stream.context]] if stream.context in self._defaults else []
        for other in others if stream.is_blocking else ():
            is_behind = other is stream or other.last <= stream.behind.get(other, 0)
            if other.is_blocking and other.in_flight and not is_behind:
                reason = "the default stream and blocking streams take turns"
                row.after.append(Arrow(other.last, other.last_time, other, reason))
                stream.behind[other] = other.last
                if len(stream.behind) > _MAX_STREAMS:
                    del stream.behind[next(iter(stream.behind))]
        stream.in_flight.append(row)
        stream.last, stream.last_time = row.number, row.time

    def _synchronize(self, event: model.Synchronized, row: Row) -> None:
        if event.scope == "event":
            source = self._records.get(event.handle)
            if source is not None:
                _wait_for(row, source)
        elif event.scope == "stream":
            if row.stream is not None:
                _wait_for(row, _last(row.stream))
        else:
            self._wait_for_all(row)

    def _wait_for_all(self, row: Row) -> None:
        for stream in self._of_context(row.context):
            _wait_for(row, _last(stream))

    def _of_context(self, context: int) -> list[Stream]:
        return [stream for stream in self._streams.values() if stream.context == context]


def _last(stream: Stream) -> Arrow:
    """Return an arrow from the last work of a stream to the host that waits for it."""
    return Arrow(stream.last, stream.last_time, stream, "the host waits for it")


def _wait_for(row: Row, source: Arrow) -> None:
    """Note that the host has waited for the work of a stream up to ``source``."""
    in_flight = source.stream.in_flight
    if in_flight and in_flight[0].number <= source.number:
        row.after.append(replace(source, reason="the host waits for it"))
        _finish(source.stream, source.number, row.number)


def _finish(stream: Stream, number: int, by: int) -> None:
    """Note that the work of a stream up to ``number`` is known to be done, and all that it came after."""
    todo = [(stream, number)]
    while todo:
        stream, number = todo.pop()
        while stream.in_flight and stream.in_flight[0].number <= number:
            row = stream.in_flight.popleft()
            row.done = by
            todo += [(arrow.stream, arrow.number) for arrow in row.after]


def _blocks(event: model.Copy) -> bool:
    """Tell whether a copy has the host wait until it is done with the host's memory."""
    ends = (event.destination, event.source)
    return not event.asynchronous and any(isinstance(end, HostOperand) for end in ends)
