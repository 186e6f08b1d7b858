"""Device operations whose end nobody has waited for, and what they touch.

As long as a program uses nothing but the default stream, its operations are only noted down: they
are in order. The first other stream, or the first copy that goes on while the host does, makes the
notes into accesses.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING

from pycuda_guard.checks.state import footprints
from pycuda_guard.checks.state.clocks import Clocks, Track
from pycuda_guard.checks.state.conflicts import NOBODY, Access, Conflict, Operation
from pycuda_guard.checks.state.moves import PAGE_LOCKED, Wait
from pycuda_guard.checks.state.shared import Shared
from pycuda_guard.checks.state.vague import VagueLaunches
from pycuda_guard.events.model import (
    Allocated,
    Copy,
    EventRecorded,
    EventTimed,
    Footprint,
    Freed,
    Launch,
    MemoryKind,
    StreamWaited,
    Synchronized,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycuda_guard.checks.state.allocations import Memory, Region
    from pycuda_guard.checks.state.footprints import Range
    from pycuda_guard.checks.state.modules import Modules
    from pycuda_guard.checks.state.moves import Move, Moves
    from pycuda_guard.checks.state.plans import Plan, Plans, Touch
    from pycuda_guard.events.model import ContextId
    from pycuda_guard.events.patterns import Pattern

_MAX_NOTES = 256
_MAX_A_REGION = 64
_MAX_LOOSE = 256
_MAX_GLANCE = 8  #: with more accesses to a region, those that are over are dropped first

# reading a member off an Enum class is slow enough to matter here
_PINNED = MemoryKind.PINNED
_NOTHING, _EARLIER, _ISSUED = Wait.NOTHING, Wait.EARLIER, Wait.ISSUED


class _Uses(list[Access]):
    """The accesses to a region. Of ``sole`` it is known that all of them are its own, and to that region."""

    __slots__ = ("sole",)

    def __init__(self, accesses: Iterable[Access], sole: Track | None = None) -> None:
        super().__init__(accesses)
        self.sole = sole


class Work:
    """Unfinished accesses by region, and the conflicts of the operation being judged.

    Until :attr:`active`, operations need not be looked at and go into :attr:`notes` instead.
    """

    def __init__(self, memory: Memory, modules: Modules, plans: Plans, moves: Moves) -> None:
        self.clocks = Clocks()
        self.conflicts: list[Conflict] = []
        #: what a footprint has shown: by operation its conflicts, and what was freed too early
        self.late: list[tuple[Operation, list[Conflict]]] = []
        self.late_frees: list[tuple[Freed, Access]] = []
        self.vague = VagueLaunches(self.clocks, memory)
        self._memory = memory
        self._plans = plans
        self._moves = moves
        self.active = False
        self.notes: deque[Operation | EventRecorded | EventTimed | Synchronized] = deque(maxlen=_MAX_NOTES)
        self._accesses: dict[Region, _Uses] = {}
        self._loose: deque[Access] = deque(maxlen=_MAX_LOOSE)  # of blocks that are back in a pool
        self._new: Sequence[Access] = ()
        self._track: Track | None = None
        self._pooled: set[int] = set()  # addresses of page-locked blocks of a pool
        self.shared = Shared(self.clocks, modules)

    # --- before the rules ---

    def look(self, event: Operation, plan: Move | Plan, touches: Iterable[Touch] | None = None) -> None:
        """Find the conflicts of an operation with unfinished ones.

        ``plan`` is what is known of it; it touches what that says, unless told.
        """
        self.conflicts = []
        track = self._track = self.clocks.issue(event.context, event.stream)
        if track is None:
            self._new = ()
            return
        if track is not plan.track or touches is not None or not self._repeat(event, track, plan):
            new: list[Access] = []
            self._new = new
            for kind, touched, region in plan.touches or () if touches is None else touches:
                new.append(self._access(kind, touched, region, event, track, plan.is_staged))
            if touches is None:
                plan.track, plan.accesses = track, new
        if self.vague.queues:
            self.conflicts += self.vague.meet(track, self._new)

    def _repeat(self, event: Operation, track: Track, plan: Move | Plan) -> bool:
        """Give an operation the accesses of its equal, if no other stream uses the memory."""
        accesses, new = self._accesses, plan.accesses
        for access in new:
            region = access.region
            known = accesses.get(region)
            if region.is_shared or (known and (known.sole is not track or len(known) > _MAX_GLANCE)):
                return False
        number = track.issued
        for access in new:
            access.event, access.number, access.accused = event, number, NOBODY
        self._new = new
        return True

    def _access(
        self,
        kind: str,
        touched: Range,
        region: Region,
        event: Operation,
        track: Track,
        is_staged: bool,
    ) -> Access:
        """Return the access of an operation to a region, compared with those before it."""
        known, number = self._accesses.get(region), track.issued
        is_alone, access = True, None
        if known:
            is_alone = len(known) <= _MAX_GLANCE
            for old in known if is_alone else ():
                if old.track is not track or old.region is not region:
                    is_alone = False
                    break
                if old.kind == kind and old.range == touched and old.staged is is_staged:
                    access = old
            if is_alone:
                known.sole = track
                if access is not None and not region.is_shared:
                    # Only this stream uses the memory, and it did just this before, as in a loop: that
                    # access becomes the new one, which would take its place. Saves half of all this.
                    access.event, access.number, access.accused = event, number, NOBODY
                    return access
        access = Access(region, touched, kind, event, track, number, is_staged)
        if not is_alone:
            self._check(access)
        return access

    def look_at_vague(self, event: Launch, regions: Iterable[Region], goes_anywhere: bool) -> None:
        """Note that a launch that was looked at may touch more than is known of it."""
        track = self._track
        if track is None:
            return
        regions = tuple(regions)
        near = self._accesses.values() if goes_anywhere else map(self._accesses.get, dict.fromkeys(regions))
        known = [access for accesses in near for access in accesses or ()]
        self.vague.open(event, track, regions, goes_anywhere, known)
        for conflict in self.conflicts:
            self.vague.accuse(conflict)

    def look_at_footprint(self, event: Footprint, pattern: Pattern | None = None) -> None:
        """Find what a launch conflicts with, now that it tells what it has touched."""
        conflicts, self.late_frees = self.vague.tell(event)
        by_operation = groupby(conflicts, key=lambda conflict: conflict.later.event)
        self.late = [(operation, list(each)) for operation, each in by_operation]

    def unfinished(self, region: Region) -> list[Access]:
        """Return the accesses to a region that the host has not waited for."""
        known = self._accesses.get(region)
        if not known and not self.vague.queues:
            return []
        found = [a for a in known or () if a.region is region and not self.clocks.is_over(a.track, a.number)]
        return found + self.vague.unfinished(region)

    def is_pooled(self, region: Region) -> bool:
        """Tell whether a freed region goes back to a pool, which may hand it out again."""
        return region.kind is MemoryKind.POOL or region.base in self._pooled

    # --- after the rules ---

    def activate(self) -> None:
        """Begin to follow streams: enter what was noted down."""
        if self.active:
            return
        self.active = True
        for event in self.notes:
            if isinstance(event, EventRecorded):
                self.record(event)
            elif isinstance(event, Synchronized):
                self.synchronize(event)
            elif isinstance(event, EventTimed):
                self.time(event)
            else:
                # a region may have been allocated after an event that was only noted down
                plan = self._plan(event)
                touches = [each for each in plan.touches or () if each[2].born <= event.sequence]
                self.look(event, plan, touches)
                self.enter(event, plan.waits)
        self.conflicts = []
        self.notes.clear()

    def enter(self, event: Operation, waits: Wait) -> None:
        """Take in an operation that was looked at, and what the host waits for with it."""
        track = self._track
        if track is None:
            return
        if waits is _EARLIER:
            self.clocks.host_waits_for_earlier(track)
        elif waits is _ISSUED:
            self.clocks.host_waits_for_issued(track)
        elif waits is not _NOTHING:
            self.clocks.host_waits_for_everything()
        if self.shared.uses and type(event) is not Launch:
            self.shared.settle()
        for access in self._new if waits is _NOTHING or waits is _EARLIER else ():
            known = self._accesses.get(access.region)
            if known and known[-1] is access:
                continue
            if known is None or access not in known:
                self._keep(access, known)
            else:
                known.remove(access)
                known.append(access)

    def _keep(self, access: Access, known: _Uses | None) -> None:
        """Put an access behind those ``known`` to its region, in the place of one that it stands for."""
        if known is None:
            self._accesses[access.region] = _Uses((access,), access.track)
        else:
            known[:] = [old for old in known if not access.stands_for(old)]
            if not known:
                known.sole = access.track
            elif known.sole is not access.track:
                known.sole = None
            known.append(access)
            if len(known) > _MAX_A_REGION:
                del known[0]
        if access.region.is_shared:
            self.shared.begin(access)

    def is_alone(self, plan: Plan) -> bool:
        """Tell whether nothing but operations of its own stream uses what a launch touches, which is in."""
        track = self._track
        if track is None or track is not plan.track or self.vague.queues:
            return False
        for access in plan.accesses:
            known = self._accesses.get(access.region)
            if not known or known.sole is not track or access.region.is_shared or access not in known:
                return False
        return True

    def repeat(self, events: Sequence[Launch], last: Mapping[int, Plan]) -> None:
        """Take in launches of one stream, each as the last one of its plan, which was and still is alone.

        ``last`` tells which is the last one of each plan. The others leave nothing behind.
        """
        if not self.active:
            self.notes.extend(events)
            return
        before = 0
        for index, plan in last.items():
            event = events[index]
            track = self.clocks.issue(event.context, event.stream, index + 1 - before)
            before = index + 1
            if track is not None:
                self._track, self._new = track, plan.accesses
                for access in plan.accesses:
                    access.event, access.number, access.accused = event, track.issued, NOBODY
                self.enter(event, plan.waits)

    def settle(self) -> None:
        """Take in a copy to the host on the default stream: it waits for all that was noted down."""
        self.notes.clear()

    def take_back(self, sequence: int) -> None:
        """Forget an operation that failed."""
        if self.notes and self.notes[-1].sequence == sequence:
            self.notes.pop()
        self.vague.take_back(sequence)
        for access in self._new:
            known = self._accesses.get(access.region)
            if access.event.sequence == sequence and known and access in known:
                known.remove(access)
                self.shared.take_back(access)

    def allocate(self, event: Allocated) -> None:
        """Take in new memory: unfinished accesses to a pool's block are its new owner's problem."""
        if self.shared.uses:
            self.shared.allocate(event)
        if event.kind is _PINNED or self._pooled:
            self._pooled.discard(event.address)
            if event.call.startswith("PageLockedMemoryPool"):
                self._pooled.add(event.address)
        if not self._loose or not (event.kind is MemoryKind.POOL or event.address in self._pooled):
            return
        region = self._memory.find(event.address)
        whole = footprints.Range(event.address, event.nbytes)
        if region is not None:
            inherited = [access for access in self._loose if footprints.overlap(_reach(access), whole)]
            self._accesses[region] = _Uses(inherited[-_MAX_A_REGION:])
            for access in inherited:
                self._loose.remove(access)

    def free(self, event: Freed, region: Region | None) -> None:
        """Take in that memory is freed: a pool's block stays loose, for other memory the driver waits."""
        if region is None:
            return
        if self.vague.queues:
            self.vague.free(event, region, self.is_pooled(region))
        accesses = self._accesses.pop(region, None)
        if self.shared.uses:
            self.shared.free(region)
        if accesses and self.is_pooled(region):
            self._loose.extend(a for a in accesses if not self.clocks.is_over(a.track, a.number))

    def record(self, event: EventRecorded) -> None:
        """Take in that an event captures a stream's work."""
        if self.active:
            self.clocks.record(event.event, event.context, event.stream)
        else:
            self.notes.append(event)

    def wait(self, event: StreamWaited) -> None:
        """Take in that a stream waits for an event."""
        self.clocks.wait(event.context, event.stream, event.event)

    def time(self, event: EventTimed) -> None:
        """Take in that the time between two events was asked for: only events that are over have one."""
        if self.active:
            self.clocks.host_waits_for_event(event.start)
            self.clocks.host_waits_for_event(event.end)
            self.shared.settle()
        else:
            self.notes.append(event)

    def synchronize(self, event: Synchronized) -> None:
        """Take in that the host waited."""
        if not self.active:
            if event.scope == "event":
                self.notes.append(event)
            else:
                self.notes.clear()
        elif event.scope == "context":
            self.clocks.host_waits_for_context(event.context)
        elif event.scope == "stream":
            self.clocks.host_waits_for_stream(event.context, event.handle)
        else:
            self.clocks.host_waits_for_event(event.handle)
        self.shared.settle()

    def leave(self, context: ContextId) -> None:
        """Take in that a context is destroyed: its work is over."""
        self.clocks.host_waits_for_context(context)
        self.shared.settle()

    # --- inside ---

    def _check(self, later: Access) -> None:
        """Compare an access with the unfinished ones of its region, and drop those that are over."""
        region, track = later.region, later.track
        known = self._accesses[region]
        clocks = self.clocks
        host = clocks.host
        unfinished = [
            old for old in known if not old.track.over and host.get(old.track.number, 0) < old.number
        ]
        if len(unfinished) < len(known):
            known[:] = unfinished
        for old in unfinished:
            kind = later.kind
            ordered = old.track is track or clocks.is_ordered_after(track, old.track, old.number)
            if old.region is not region and kind == "read" and region.kind in PAGE_LOCKED:
                # The new owner has filled it on the host, which has not waited for the old use.
                kind, ordered = "write", False
            if ordered or kind == old.kind != "write" or track.number in old.accused:
                continue
            if _meet(old, later):
                old.accused |= {track.number}
                self.conflicts.append(Conflict(old, later))
                self.vague.accuse(self.conflicts[-1])

    def _plan(self, event: Operation) -> Move | Plan:
        """Return what is known of an operation that was noted down."""
        if isinstance(event, Launch):
            plan = self._plans.of_launch(event)
            self._plans.touches(plan)
            return plan
        return self._moves.of_copy(event) if isinstance(event, Copy) else self._moves.of_memset(event)


def _meet(one: Access, other: Access) -> bool:
    """Tell whether two accesses certainly have a byte in common."""
    if one.range.width and other.range.width:
        return footprints.overlap(one.range, other.range)
    # where in its memory one of them is, nobody knows
    whole, part = (one, other) if one.range.width else (other, one)
    return bool(whole.range.width) and footprints.covers(whole.range, part.region.base, part.region.end)


def _reach(access: Access) -> Range:
    """Return the bytes among which those of an access are."""
    region = access.region
    return access.range if access.range.width else footprints.Range(region.base, region.end - region.base)
