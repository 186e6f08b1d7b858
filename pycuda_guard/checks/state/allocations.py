"""Who owns an address: live memory, freed memory, and what was last copied into it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.events.model import MemoryKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import (
        Address,
        Allocated,
        ContextId,
        Freed,
        HostOperand,
        ModuleId,
        ModuleLoaded,
    )

#: Kinds whose freed addresses stay meaningless until the driver hands them out again. Host memory
#: is not among them: its addresses go back to the C library, which reuses them unseen.
_REMEMBERED = frozenset(
    {MemoryKind.DEVICE, MemoryKind.POOL, MemoryKind.MANAGED, MemoryKind.IPC, MemoryKind.GLOBAL}
)

#: Kinds of memory that host and device reach by the same address.
SHARED = frozenset({MemoryKind.PINNED, MemoryKind.REGISTERED, MemoryKind.MANAGED})

_MAX_FREED = 20_000
_GLOBAL = MemoryKind.GLOBAL


@dataclass(slots=True, eq=False)
class Region:
    """One allocation: the requested bytes from ``base`` up to ``end``, and its story.

    ``contents`` is the host array last copied to its start, by the event ``copied``; ``written`` is
    the last event that may have put something else there. ``freed`` is the event that freed it, or 0.
    ``launches`` is how many kernels had been launched when it was allocated, by the event ``born``.
    ``pool`` is the number of the pool that a block is of. ``is_shared``: the host can touch it, too.
    ``is_live``: its addresses are its own.
    It is the ``rank``-th allocation (from 0 on) at ``site``.
    """

    base: Address
    end: Address
    kind: MemoryKind
    site: Site | None
    context: ContextId
    launches: int
    name: str = ""
    contents: HostOperand | None = None
    copied: int = 0
    written: int = 0
    freed: int = 0
    freed_site: Site | None = None
    freed_how: str = ""
    born: int = 0
    pool: int = 0
    is_shared: bool = False
    is_live: bool = True
    rank: int = 0

    @property
    def nbytes(self) -> int:
        """Requested size in bytes."""
        return self.end - self.base


class Intervals:
    """Disjoint ranges of addresses, each belonging to a region; found by bisection."""

    def __init__(self) -> None:
        self._starts: list[Address] = []
        self._ends: list[Address] = []
        self._regions: list[Region] = []

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    def find(self, address: Address) -> Region | None:
        """Return the region whose range holds ``address``."""
        index = bisect_right(self._starts, address) - 1
        return self._regions[index] if index >= 0 and address < self._ends[index] else None

    def below(self, address: Address) -> Region | None:
        """Return the region of the last range that starts at or below ``address``."""
        index = bisect_right(self._starts, address) - 1
        return self._regions[index] if index >= 0 else None

    def above(self, address: Address) -> Region | None:
        """Return the region of the first range that starts above ``address``."""
        index = bisect_right(self._starts, address)
        return self._regions[index] if index < len(self._regions) else None

    def add(self, start: Address, end: Address, region: Region) -> None:
        """Enter a range that overlaps none of those here."""
        index = bisect_left(self._starts, start)
        self._starts.insert(index, start)
        self._ends.insert(index, end)
        self._regions.insert(index, region)

    def put(self, start: Address, end: Address, region: Region) -> list[tuple[Address, Address, Region]]:
        """Enter a range in place of all that overlap it, and return those."""
        starts = self._starts
        index = bisect_right(starts, start)
        is_free = index == 0 or self._ends[index - 1] <= start
        removed = []
        if not is_free or (index < len(starts) and starts[index] < end):
            removed = self.cut(start, end)
            index = bisect_right(starts, start)
        starts.insert(index, start)
        self._ends.insert(index, end)
        self._regions.insert(index, region)
        return removed

    def cut(self, start: Address, end: Address) -> list[tuple[Address, Address, Region]]:
        """Remove every range that overlaps [start, end); return the removed ranges."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._ends[first] <= start:
            first += 1
        last = bisect_left(self._starts, end)
        if first >= last:
            return []
        if last == first + 1:
            return [(self._starts.pop(first), self._ends.pop(first), self._regions.pop(first))]
        removed = list(
            zip(self._starts[first:last], self._ends[first:last], self._regions[first:last], strict=True)
        )
        del self._starts[first:last], self._ends[first:last], self._regions[first:last]
        return removed


class Memory:
    """All memory that the program allocated through PyCUDA, by address.

    Where the driver hands an address out again, the newest allocation owns it: an allocation
    removes whatever overlaps it, since not every free can be seen.
    """

    def __init__(self) -> None:
        self.live = Intervals()
        self.freed = Intervals()
        #: memory of contexts that are gone
        self.orphans = Intervals()
        self.arrays: dict[int, Region] = {}
        #: the addresses of variables of modules, as far as they are known, by module and name
        self.variables: dict[tuple[ModuleId, str], Address] = {}
        #: those that the program has not asked for: only kernels use them
        self._untold = Intervals()
        #: the last event after which the contents of no region are known (a launch of unknown arguments)
        self.blind = 0
        #: kernels launched so far
        self.launches = 0
        #: grows with every change of what an address belongs to, or which dtype was copied there
        self.version = 0
        self._bases: dict[Address, Region] = {}
        self._made: dict[Site | None, int] = {}  # regions by the line that made them

    def find(self, address: Address) -> Region | None:
        """Return the live region that holds ``address``; the newest where several did."""
        return self._bases.get(address) or self.live.find(address)

    def find_used(self, address: Address) -> Region | None:
        """Return the same, or the variable that is there: memory that a kernel can use."""
        return self.find(address) or self._untold.find(address)

    def find_freed(self, address: Address) -> Region | None:
        """Return the freed region that held ``address``, where nothing live covers it now."""
        return None if self.find(address) else self.freed.find(address)

    def load(self, event: ModuleLoaded) -> None:
        """Enter the variables of a module. The program has to ask where they are before it can use them."""
        for each in event.variables:
            start, end = each.address, each.address + each.nbytes
            region = Region(start, end, _GLOBAL, event.site, event.context, self.launches, each.name)
            region.born = event.sequence
            self.variables[event.module, each.name] = start
            self._untold.put(start, end, region)
        self.version += bool(event.variables)

    def allocate(self, event: Allocated) -> None:
        """Enter new memory. Its addresses mean nothing else any more."""
        if event.nbytes <= 0:
            return
        self.version += 1
        start, end = event.address, event.address + event.nbytes
        region = Region(start, end, event.kind, event.site, event.context, self.launches, event.name)
        region.born = event.sequence
        region.pool = event.pool
        region.is_shared = event.kind in SHARED
        if event.kind is _GLOBAL and event.module:
            self.variables[event.module, event.name] = start
        region = self._told(region)
        region.rank = self._made.get(event.site, 0)
        self._made[event.site] = region.rank + 1
        if event.kind is MemoryKind.ARRAY:
            self.arrays[start] = region
            return
        known = self._bases.get(start)
        if known is not None and known.end == end and known.kind is event.kind is _GLOBAL:
            return  # get_global() of the same variable once more
        for _, _, covered in self.live.put(start, end, region):
            covered.is_live = False
            self._bases.pop(covered.base, None)
        if len(self.orphans):
            self.orphans.cut(start, end)
        for old_start, old_end, old in self.freed.cut(start, end):
            if old_start < start:
                self.freed.add(old_start, start, old)
            if end < old_end:
                self.freed.add(end, old_end, old)
        self._bases[start] = region

    def _told(self, region: Region) -> Region:
        """Return the variable that new memory is, if the program has asked for one; forget what was there."""
        if not len(self._untold):
            return region
        for _, _, known in self._untold.cut(region.base, region.end):
            if region.kind is _GLOBAL and (known.base, known.end) == (region.base, region.end):
                known.site = region.site
                return known
        return region

    def free(self, event: Freed) -> None:
        """Move memory from live to freed; memory that is not known stays so."""
        if event.kind is MemoryKind.ARRAY:
            self.arrays.pop(event.address, None)
            return
        region = self._bases.pop(event.address, None)
        if region is None:
            return
        self.version += 1
        self.live.cut(region.base, region.end)
        region.is_live = False
        region.freed, region.freed_site, region.freed_how = event.sequence, event.site, event.how
        if region.kind not in _REMEMBERED:
            return
        self.freed.add(region.base, region.end, region)
        if len(self.freed) > _MAX_FREED:
            self._forget_oldest()

    def undo_free(self, event: Freed) -> None:
        """Bring back what ``event`` freed: the call raised, so it freed nothing."""
        region = self.freed.find(event.address)
        if region is None or region.freed != event.sequence:
            return
        self.version += 1
        self.freed.cut(region.base, region.end)
        region.is_live = True
        region.freed, region.freed_site, region.freed_how = 0, None, ""
        self.live.add(region.base, region.end, region)
        self._bases[region.base] = region

    def forget_context(self, context: ContextId, *, gone: bool) -> None:
        """Drop all memory of a context: it is ``gone``, or its addresses are unknown from now on."""
        self.version += 1
        for region in [region for region in self._untold if region.context == context]:
            self._untold.cut(region.base, region.end)
        for region in [region for region in self.live if region.context == context]:
            self.live.cut(region.base, region.end)
            region.is_live = False
            self._bases.pop(region.base, None)
            if gone and region.kind in _REMEMBERED:
                self.orphans.cut(region.base, region.end)
                self.orphans.add(region.base, region.end, region)

    def _forget_oldest(self) -> None:
        """Forget the older half of the freed memory, so that long runs stay within bounds."""
        middle = sorted(region.freed for region in self.freed)[len(self.freed) // 2]
        for region in [region for region in self.freed if region.freed < middle]:
            self.freed.cut(region.base, region.end)
