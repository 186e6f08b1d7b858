"""Launches that may touch more than is known of them, until they tell what they have touched.

What such a launch is not ordered with is noted when the two are issued, with the clocks of that time. When
its :class:`~pycuda_guard.events.model.Footprint` comes, at a synchronization perhaps, all this is judged.
Where none comes, nothing is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.checks.state import ranges
from pycuda_guard.checks.state.conflicts import Access, Conflict
from pycuda_guard.checks.state.footprints import Range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.checks.state.allocations import Memory, Region
    from pycuda_guard.checks.state.clocks import Clocks, Track
    from pycuda_guard.checks.state.ranges import Ranges
    from pycuda_guard.events.model import Footprint, Freed, Launch

#: launches of one stream that others are compared with, and those that may still tell what they touched
_MAX_A_STREAM, _MAX_SILENT = 64, 1024
#: what a launch is compared with later, at most
_MAX_OTHERS = 256
_MAX_ROWS = 4096
_KINDS = frozenset({"read", "write", "atomic"})

#: an access, and its bytes
Touched = tuple[Access, "Ranges"]


@dataclass(slots=True, eq=False)
class VagueLaunch:
    """A launch, the ``number``-th operation of its stream, that may touch what nobody knows yet.

    ``regions`` is the memory that its arguments point into; ``goes_anywhere``: it may follow pointers to
    other memory. ``others`` and ``launches`` are what it is not ordered with. Before anybody waited for it,
    the memory of ``frees`` was freed, and that of ``loose`` went back to a pool. ``accused`` has what was
    told of: region and stream. ``touched`` is what it touched in each way, with the bytes by address; None
    until it is known.
    """

    event: Launch
    track: Track
    number: int
    regions: tuple[Region, ...]
    goes_anywhere: bool
    others: list[Access] = field(default_factory=list)
    launches: list[VagueLaunch] = field(default_factory=list)
    frees: list[tuple[Freed, Region]] = field(default_factory=list)
    loose: set[Region] = field(default_factory=set)
    accused: set[tuple[Region, int]] = field(default_factory=set)
    touched: list[Touched] | None = None

    def may_touch(self, region: Region) -> bool:
        """Tell whether it may use memory, or memory that was at its place before."""
        return self.goes_anywhere or any(
            own is region or (own.base < region.end and region.base < own.end) for own in self.regions
        )


class VagueLaunches:
    """The vague launches of a run, as long as they matter."""

    def __init__(self, clocks: Clocks, memory: Memory) -> None:
        self._clocks = clocks
        self._memory = memory
        self.queues: dict[Track, deque[VagueLaunch]] = {}  #: those that the host has not waited for
        self._silent: dict[int, VagueLaunch] = {}  # by their number among the events

    def meet(self, track: Track, new: Iterable[Access]) -> list[Conflict]:
        """Compare an operation on ``track`` with those that it need not wait for; return conflicts.

        ``new`` is what it certainly touches.
        """
        found: list[Conflict] = []
        for launch in self._unordered(track):
            for access in new:
                if not launch.may_touch(access.region):
                    continue
                if launch.touched is not None:
                    found += _conflicts(launch, access, _ranges(access))
                elif len(launch.others) < _MAX_OTHERS:
                    launch.others.append(_kept(access))
        return found

    def open(
        self,
        event: Launch,
        track: Track,
        regions: Iterable[Region],
        goes_anywhere: bool,
        known: Iterable[Access],
    ) -> None:
        """Enter a launch; ``known`` are unfinished accesses that it may conflict with."""
        launch = VagueLaunch(event, track, track.issued, (*dict.fromkeys(regions),), goes_anywhere)
        ordered = self._clocks.is_ordered_after
        for old in known:
            if old.track is not track and not ordered(track, old.track, old.number):
                launch.others.append(_kept(old))
        for other in self._unordered(track):
            launch.launches.append(other)
            other.launches.append(launch)
        self.queues.setdefault(track, deque(maxlen=_MAX_A_STREAM)).append(launch)
        if len(self._silent) >= _MAX_SILENT:
            oldest = self._silent.pop(next(iter(self._silent)))
            oldest.others, oldest.launches = [], []  # else each would keep those before it
        self._silent[event.sequence] = launch

    def tell(self, event: Footprint) -> tuple[list[Conflict], list[tuple[Freed, Access]]]:
        """Take in what a launch has touched; return its conflicts, and what was freed too early."""
        launch = self._silent.pop(event.launch, None)
        if launch is None:
            return [], []
        launch.touched = []
        for each in event.touched:
            region = self._region(launch, each.base)
            found_at = ranges.moved(ranges.merged(each.runs), each.base)
            if region is not None and found_at and each.kind in _KINDS:
                reach = Range(found_at[0][0], found_at[-1][1] - found_at[0][0])
                access = Access(region, reach, each.kind, launch.event, launch.track, launch.number)
                launch.touched.append((access, found_at))
        found: list[Conflict] = []
        for access in launch.others:
            found += _conflicts(launch, access, _ranges(access))
        for other in launch.launches:
            for access, found_at in other.touched or ():
                found += _conflicts(launch, access, found_at, other)
        used = {access.region: access for access, _ in launch.touched}
        frees = [(freed, used[region]) for freed, region in launch.frees if region in used]
        launch.others, launch.launches, launch.frees = [], [], []
        found.sort(key=lambda conflict: (conflict.later.event.sequence, conflict.earlier.event.sequence))
        return found, frees

    def unfinished(self, region: Region) -> list[Access]:
        """Return the accesses to a region, of launches that have told, that the host has not waited for."""
        return [
            access
            for queue in self.queues.values()
            for launch in queue
            if not self._clocks.is_over(launch.track, launch.number)
            for access, _ in launch.touched or ()
            if access.region is region
        ]

    def free(self, event: Freed, region: Region, is_pooled: bool) -> None:
        """Take in that memory is freed which launches may still use; a pool may hand it out again."""
        for queue in self.queues.values():
            for launch in queue:
                if self._clocks.is_over(launch.track, launch.number):
                    continue
                if is_pooled:
                    launch.loose.add(region)
                elif launch.touched is None:
                    launch.frees.append((event, region))

    def accuse(self, conflict: Conflict) -> None:
        """Note that a conflict was told of."""
        for one, other in ((conflict.earlier, conflict.later), (conflict.later, conflict.earlier)):
            launch = self._silent.get(one.event.sequence)
            if launch is not None:
                launch.accused.add((one.region, other.track.number))

    def take_back(self, sequence: int) -> None:
        """Forget an operation that failed."""
        failed = self._silent.pop(sequence, None)
        for queue in self.queues.values():
            if failed is not None and failed in queue:
                queue.remove(failed)
            for launch in queue:
                launch.others = [each for each in launch.others if each.event.sequence != sequence]
                launch.launches = [each for each in launch.launches if each is not failed]
                launch.frees = [each for each in launch.frees if each[0].sequence != sequence]

    # --- inside ---

    def _unordered(self, track: Track) -> list[VagueLaunch]:
        """Return the launches that the operation issued last on ``track`` need not wait for."""
        found: list[VagueLaunch] = []
        host = self._clocks.host
        for other, queue in [*self.queues.items()]:
            over = other.issued if other.over else host.get(other.number, 0)
            while queue and queue[0].number <= over:
                queue.popleft()
            if other.over:
                del self.queues[other]
            if other is not track and queue:
                known = track.clock.get(other.number, 0)
                found += [launch for launch in queue if launch.number > known]
        return found

    def _region(self, launch: VagueLaunch, base: int) -> Region | None:
        """Return the memory at ``base`` when a launch was made."""
        for region in launch.regions:
            if region.base == base:
                return region
        found = self._memory.find_used(base) or self._memory.find_freed(base)
        is_older = found is not None and found.base == base and found.born < launch.event.sequence
        return found if is_older else None


def _conflicts(
    launch: VagueLaunch, other: Access, found_at: Ranges, by: VagueLaunch | None = None
) -> list[Conflict]:
    """Return the conflict of what a launch has touched with an access to certain bytes, if there is one.

    ``by`` is the launch that told of that access. Memory whose owner has changed in between counts where it
    came from a pool: for the rest, the driver waits.
    """
    for own, touched in launch.touched or ():
        key = own.region, other.track.number
        if own.kind == other.kind != "write" or key in launch.accused:
            continue
        common = ranges.common(touched, found_at)
        if not common:
            continue
        is_later = other.event.sequence > launch.event.sequence
        earlier, later = (own, other) if is_later else (other, own)
        first = launch if is_later else by
        if earlier.region is later.region or first is None or earlier.region in first.loose:
            launch.accused.add(key)
            if by is not None:
                by.accused.add((other.region, launch.track.number))
            start, end = common[0]
            return [Conflict(earlier, later, (start - later.region.base, end - later.region.base))]
    return []


def _ranges(access: Access) -> Ranges:
    """Return the bytes of an access: of one with many rows, the first of them; none where nobody knows."""
    start, width, rows, pitch = access.range
    if not width:
        return ()
    return tuple((start + row * pitch, start + row * pitch + width) for row in range(min(rows, _MAX_ROWS)))


def _kept(access: Access) -> Access:
    """Return an access as it is now: the one of a loop becomes that of the next round."""
    return Access(
        access.region,
        access.range,
        access.kind,
        access.event,
        access.track,
        access.number,
        access.staged,
    )
