"""What is ordered after what: vector clocks over the host and the streams.

Every operation gets a number on its stream. A clock says, for each stream, up to which number
operations are known to be over. There is one clock for the host, whatever its threads: locks and
joins between them can't be seen, so they count as ordered with each other.

The order is that of the CUDA driver: the legacy default stream waits for all blocking streams of
its context and they wait for it; NON_BLOCKING streams take no part in that. Where an event or a
stream is older than the guard, whatever could be ordered through it counts as ordered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.checks.state.streams import NON_BLOCKING
from pycuda_guard.events.model import DEFAULT_STREAM

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import ContextId, EventCreated, EventId, StreamCreated, StreamId

_INTERPROCESS = 4  # flag of an event that another process may record

_MAX_DESTROYED = 64  # streams whose unfinished work is remembered; that of older ones counts as over

Clock = dict[int, int]  #: for each track, the number of its last operation that is ordered before


@dataclass(slots=True, eq=False)
class Track:
    """A stream by its own number, since the driver reuses handles; ``issued`` operations so far.

    It is the ``rank``-th stream (from 0 on) that was made at ``site``.

    ``changed`` is when it last got something to wait for or an operation, and ``refreshed`` when it was last
    compared with the streams that it waits for by itself, both counted in :class:`Clocks`.
    """

    number: int
    context: ContextId
    handle: StreamId
    flags: int
    site: Site | None
    rank: int = 0
    clock: Clock = field(default_factory=dict)
    issued: int = 0
    over: bool = False  #: destroyed, and the host has waited for all of its work
    changed: int = 0
    refreshed: int = 0

    @property
    def is_blocking(self) -> bool:
        """Tell whether the legacy default stream waits for this one and the reverse."""
        return not self.flags & NON_BLOCKING

    def now(self) -> Clock:
        """Return the clock of whoever waits for all work of this stream so far."""
        return {**self.clock, self.number: self.issued}


def _join(clock: Clock, other: Clock) -> None:
    for track, issued in other.items():
        if clock.get(track, 0) < issued:
            clock[track] = issued


def _follow(clock: Clock, track: Track) -> None:
    """Order what has a clock after all work of a stream so far."""
    if track.clock:
        _join(clock, track.clock)
    if clock.get(track.number, 0) < track.issued:
        clock[track.number] = track.issued


class Clocks:
    """Follows the order that streams, events and waiting make."""

    def __init__(self) -> None:
        self.host: Clock = {}
        self._numbers = 0
        self._made: dict[Site | None, int] = {}  # streams by the line that made them
        self._tracks: dict[StreamId, Track] = {}
        self._defaults: dict[ContextId, Track] = {}
        self._destroyed: list[Track] = []
        self._recorded: dict[EventId, Clock] = {}
        self._known_events: set[EventId] = set()
        self._changes = 0
        self._changed: dict[ContextId, int] = {}  # the last change to a blocking stream of each context

    # --- streams and events ---

    def create(self, event: StreamCreated) -> None:
        """Enter a stream. What the handle stood for before keeps its unfinished work."""
        self.destroy(event.stream)
        self._tracks[event.stream] = self._new(event.context, event.stream, event.flags, event.site)

    def destroy(self, stream: StreamId) -> None:
        """Let a stream go; destroying one waits for nothing."""
        track = self._tracks.pop(stream, None)
        if track is not None:
            self._destroyed.append(track)
        for old in list(self._destroyed):
            if len(self._destroyed) > _MAX_DESTROYED or self.is_over(old, old.issued):
                self._destroyed.remove(old)
                old.over = True
                for clock in (self.host, *(other.clock for other in self._all())):
                    clock.pop(old.number, None)

    def create_event(self, event: EventCreated) -> None:
        """Enter an event; until it is recorded, waiting for it orders nothing."""
        if not event.flags & _INTERPROCESS:
            self._known_events.add(event.event)

    def destroy_event(self, event: EventId) -> None:
        """Forget an event."""
        self._known_events.discard(event)
        self._recorded.pop(event, None)

    def record(self, event: EventId, context: ContextId, stream: StreamId) -> None:
        """Let an event capture all that its stream has been given so far."""
        track = self.track(context, stream)
        if track is None:
            self.destroy_event(event)
            return
        self._refresh(track)
        clock = self._recorded[event] = track.now()
        _join(clock, self.host)

    def wait(self, context: ContextId, stream: StreamId, event: EventId) -> None:
        """Order a stream's further work after what an event captured last."""
        track = self.track(context, stream)
        if track is None:
            _join(self.host, self._captured(event))
        else:
            _join(track.clock, self._captured(event))
            self._note(track)

    # --- the host waits ---

    def host_waits_for_context(self, context: ContextId) -> None:
        """Order everything to come after all work of a context."""
        for track in self._all():
            if track.context == context:
                _follow(self.host, track)

    def host_waits_for_stream(self, context: ContextId, stream: StreamId) -> None:
        """Order everything to come after all work of a stream."""
        track = self.track(context, stream)
        if track is None:
            self.host_waits_for_everything()
            return
        self._refresh(track)
        _follow(self.host, track)

    def host_waits_for_issued(self, track: Track) -> None:
        """Order everything to come after the operation issued last, and all before it on its stream."""
        _follow(self.host, track)

    def host_waits_for_earlier(self, track: Track) -> None:
        """Order everything to come after all work of a stream but the operation issued last."""
        if track.clock:
            _join(self.host, track.clock)
        if self.host.get(track.number, 0) < track.issued - 1:
            self.host[track.number] = track.issued - 1

    def host_waits_for_event(self, event: EventId) -> None:
        """Order everything to come after what an event captured last."""
        _join(self.host, self._captured(event))

    def host_waits_for_everything(self) -> None:
        """Order everything to come after all work of all contexts."""
        for track in self._all():
            _follow(self.host, track)

    # --- operations ---

    def track(self, context: ContextId, stream: StreamId) -> Track | None:
        """Return the track of a stream; None for a stream that is older than the guard."""
        if stream != DEFAULT_STREAM:
            return self._tracks.get(stream)
        track = self._defaults.get(context)
        if track is None:
            track = self._defaults[context] = self._new(context, stream, 0, None)
        return track

    def issue(self, context: ContextId, stream: StreamId, count: int = 1) -> Track | None:
        """Return the track of a stream that gets its next operations, ordered after what those wait for."""
        track = self._tracks.get(stream) if stream else self._defaults.get(context)
        if track is None and (track := self.track(context, stream)) is None:
            return None
        changes = self._changes
        if track.changed == changes == track.refreshed + 1:
            # nothing has happened since it was refreshed for its last operation, but that operation
            track.refreshed = changes
        else:
            self._refresh(track)
        # what _note() does, without the call: this is on the way of every operation
        changes = self._changes = self._changes + 1
        track.changed = changes
        if track.handle != DEFAULT_STREAM and not track.flags & NON_BLOCKING:
            self._changed[track.context] = changes
        track.issued += count
        return track

    def is_ordered_after(self, later: Track, earlier: Track, number: int) -> bool:
        """Tell whether the operation issued last on ``later`` starts after one of ``earlier`` is over."""
        if later is earlier or later.clock.get(earlier.number, 0) >= number:
            return True
        return self.is_over(earlier, number)

    def is_over(self, track: Track, number: int) -> bool:
        """Tell whether the host has waited for an operation."""
        return track.over or self.host.get(track.number, 0) >= number

    def _new(self, context: ContextId, handle: StreamId, flags: int, site: Site | None) -> Track:
        self._numbers += 1
        rank = self._made.get(site, 0)
        self._made[site] = rank + 1
        return Track(self._numbers, context, handle, flags, site, rank)

    def _all(self) -> list[Track]:
        return [*self._tracks.values(), *self._defaults.values(), *self._destroyed]

    def _captured(self, event: EventId) -> Clock:
        recorded = self._recorded.get(event)
        if recorded is not None:
            return recorded
        if event in self._known_events:
            return {}
        return {track.number: track.issued for track in self._all()}

    def _refresh(self, track: Track) -> None:
        """Order a stream after what the legacy default stream makes it wait for."""
        if track.flags & NON_BLOCKING:
            return
        if track.handle != DEFAULT_STREAM:
            default = self._defaults.get(track.context)
            if default is not None and default.changed > track.refreshed:
                _follow(track.clock, default)
                self._note(track)
        elif self._changed.get(track.context, 0) > track.refreshed:
            for other in self._all():
                if other.is_blocking and other.context == track.context and other is not track:
                    _follow(track.clock, other)
            self._note(track)
        track.refreshed = self._changes

    def _note(self, track: Track) -> None:
        """Note that whoever waits for a stream by itself has more to wait for."""
        self._changes += 1
        track.changed = self._changes
        if track.handle != DEFAULT_STREAM and not track.flags & NON_BLOCKING:
            self._changed[track.context] = self._changes
