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
from pycuda_guard.checks.state.shared import Shared
from pycuda_guard.checks.state.vague import VagueLaunches
from pycuda_guard.events.model import (
    Allocated,
    Copy,
    CopyKind,
    DeviceOperand,
    EventRecorded,
    EventTimed,
    Footprint,
    Freed,
    HostKind,
    HostOperand,
    Launch,
    MemoryKind,
    Memset,
    StreamWaited,
    Synchronized,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.checks.state.allocations import Memory, Region
    from pycuda_guard.checks.state.footprints import Range
    from pycuda_guard.checks.state.modules import Modules
    from pycuda_guard.checks.state.plans import Plans, Touch
    from pycuda_guard.events.model import ContextId, Operand

_MAX_NOTES = 256
_MAX_A_REGION = 64
_MAX_LOOSE = 256
_MAX_GLANCE = 8  #: with more accesses to a region, those that are over are dropped first

PAGE_LOCKED = frozenset({MemoryKind.PINNED, MemoryKind.REGISTERED})
_ASYNCHRONOUS_HOST = frozenset({HostKind.PINNED, HostKind.REGISTERED})
_PEER = CopyKind.PEER  # reading a member off an Enum class is slow enough to matter here
_PAGEABLE = HostKind.PAGEABLE


class Work:
    """Unfinished accesses by region, and the conflicts of the operation being judged.

    Until :attr:`active`, operations need not be looked at and go into :attr:`notes` instead.
    """

    def __init__(self, memory: Memory, modules: Modules, plans: Plans) -> None:
        self.clocks = Clocks()
        self.conflicts: list[Conflict] = []
        #: what a footprint has shown: by operation its conflicts, and what was freed too early
        self.late: list[tuple[Operation, list[Conflict]]] = []
        self.late_frees: list[tuple[Freed, Access]] = []
        self.vague = VagueLaunches(self.clocks, memory)
        self._memory = memory
        self._plans = plans
        self.active = False
        self.notes: deque[Operation | EventRecorded | EventTimed | Synchronized] = deque(maxlen=_MAX_NOTES)
        self._accesses: dict[Region, list[Access]] = {}
        self._loose: deque[Access] = deque(maxlen=_MAX_LOOSE)  # of blocks that are back in a pool
        self._new: list[Access] = []
        self._track: Track | None = None
        self._pooled: set[int] = set()  # addresses of page-locked blocks of a pool
        self.shared = Shared(self.clocks, modules)
        self._born: dict[int, int] = {}  # until streams are followed: which event allocated an address

    # --- before the rules ---

    def look(self, event: Operation, touches: Iterable[Touch]) -> None:
        """Find the conflicts of an operation with unfinished ones; ``touches`` are its own."""
        self.conflicts = []
        new = self._new = []
        track = self._track = self.clocks.track(event.context, event.stream)
        if track is None:
            return
        number = self.clocks.issue(track)
        accesses = self._accesses
        staged = type(event) is Copy and type(event.source) is HostOperand and event.source.kind is _PAGEABLE
        for kind, touched, region in touches:
            known = accesses.get(region)
            is_alone, access = True, None
            if known:
                is_alone = len(known) <= _MAX_GLANCE
                for old in known if is_alone else ():
                    if old.track is not track or old.region is not region:
                        is_alone = False
                        break
                    if old.kind == kind and old.range == touched and old.staged is staged:
                        access = old
                if is_alone and access is not None and not region.is_shared:
                    # Only this stream uses the memory, and it did just this before, as in a loop: that
                    # access becomes the new one, which would take its place. Saves half of all this.
                    access.event, access.number, access.accused = event, number, NOBODY
                    new.append(access)
                    continue
            access = Access(region, touched, kind, event, track, number, staged)
            new.append(access)
            if not is_alone:
                self._check(access)
        self.conflicts += self.vague.meet(track, new)

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

    def look_at_footprint(self, event: Footprint) -> None:
        """Find what a launch conflicts with, now that it tells what it has touched."""
        conflicts, self.late_frees = self.vague.tell(event)
        by_operation = groupby(conflicts, key=lambda conflict: conflict.later.event)
        self.late = [(operation, list(each)) for operation, each in by_operation]

    def touches(self, event: Operation) -> Iterable[Touch]:
        """Return how an operation certainly touches which bytes, as far as they are in live memory."""
        if isinstance(event, Launch):
            return self._plans.touches(self._plans.of_launch(event))
        if isinstance(event, Memset):
            found = [self.touch("write", event.destination)]
        elif event.kind is _PEER:
            return ()
        else:
            found = [self.touch("write", event.destination), self.touch("read", event.source)]
        return [touch for touch in found if touch is not None]

    def touch(self, kind: str, operand: Operand) -> Touch | None:
        """Return what the device touches of a copy's operand, as far as it is in live memory."""
        if type(operand) is HostOperand:
            if operand.kind not in _ASYNCHRONOUS_HOST:
                return None
        elif type(operand) is not DeviceOperand:
            return None
        touched = footprints.of_extent(operand.address, operand.extent)
        region = None if touched is None else self._memory.find(touched.start)
        if touched is None or region is None or touched.end > region.end:
            return None
        return kind, touched, region

    def unfinished(self, region: Region) -> list[Access]:
        """Return the accesses to a region that the host has not waited for."""
        known = self._accesses.get(region, ())
        found = [a for a in known if a.region is region and not self.clocks.is_over(a.track, a.number)]
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
                born, number = self._born, event.sequence
                touches = [each for each in self.touches(event) if born.get(each[2].base, 0) <= number]
                self.look(event, touches)
                self.enter(event)
        self.conflicts = []
        self.notes.clear()
        self._born.clear()

    def enter(self, event: Operation) -> None:
        """Take in an operation that was looked at, and what the host waits for with it."""
        track = self._track
        if track is None:
            return
        kept = True
        if type(event) is Copy:
            kept = self._wait(event, track)
            self.shared.settle()
        elif type(event) is Memset and any(a.region.kind in PAGE_LOCKED for a in self._new):
            self.clocks.host_waits_for_issued(track)
            self.shared.settle()
            kept = False
        for access in self._new if kept else ():
            known = self._accesses.get(access.region)
            if known is None or access not in known:
                self._keep(access, known)
            elif known[-1] is not access:
                known.remove(access)
                known.append(access)

    def _keep(self, access: Access, known: list[Access] | None) -> None:
        """Put an access behind those ``known`` to its region, in the place of one that it stands for."""
        if known is None:
            self._accesses[access.region] = [access]
        else:
            known[:] = [old for old in known if not access.stands_for(old)]
            known.append(access)
            if len(known) > _MAX_A_REGION:
                del known[0]
        if access.region.is_shared:
            self.shared.begin(access)

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
        if not self.active:
            self._born[event.address] = event.sequence
        self.shared.allocate(event)
        self._pooled.discard(event.address)
        if event.call.startswith("PageLockedMemoryPool"):
            self._pooled.add(event.address)
        if not self._loose or not (event.kind is MemoryKind.POOL or event.address in self._pooled):
            return
        region = self._memory.find(event.address)
        whole = footprints.Range(event.address, event.nbytes)
        if region is not None:
            inherited = [access for access in self._loose if footprints.overlap(_reach(access), whole)]
            self._accesses[region] = inherited[-_MAX_A_REGION:]
            for access in inherited:
                self._loose.remove(access)

    def free(self, event: Freed, region: Region | None) -> None:
        """Take in that memory is freed: a pool's block stays loose, for other memory the driver waits."""
        if region is None:
            return
        self.vague.free(event, region, self.is_pooled(region))
        self._born.pop(region.base, None)
        accesses = self._accesses.pop(region, None)
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

    def _wait(self, event: Copy, track: Track) -> bool:
        """Follow what the host waits for with a copy; tell whether the copy itself stays unfinished.

        Where the driver's documentation leaves it open, the host counts as waiting.
        """
        clocks = self.clocks
        if event.kind is _PEER:
            clocks.host_waits_for_everything()
            return False
        destination, source = event.destination, event.source
        host = destination if type(destination) is HostOperand else source
        if type(host) is not HostOperand or (event.asynchronous and host.kind in _ASYNCHRONOUS_HOST):
            return True
        if host is source and host.kind is _PAGEABLE:
            clocks.host_waits_for_earlier(track)
            return True
        clocks.host_waits_for_issued(track)
        return False


def goes_on(event: Copy) -> bool:
    """Tell whether a copy uses host memory that it can go on with while the host does."""
    ends = (event.destination, event.source)
    return event.asynchronous and any(type(e) is HostOperand and e.kind in _ASYNCHRONOUS_HOST for e in ends)


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
