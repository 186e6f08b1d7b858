"""Prepares launches that look for races: cells for what they write, room for what orders their blocks."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.races.apartness import Launched
from pycuda_guard.kernels.instrument.races.cells import CELLS, ORDER_BYTES
from pycuda_guard.kernels.instrument.races.identity import BLOCK, THREAD
from pycuda_guard.kernels.instrument.races.model import ORDER, ROOT_CELLS
from pycuda_guard.shadow.driver import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycuda_guard.events.model import Launch
    from pycuda_guard.kernels.instrument.model import InstrumentedKernel, Root
    from pycuda_guard.kernels.instrument.races.model import RaceVariant
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.loading import Variant
    from pycuda_guard.shadow.state import ContextState

_UNIT = 256
#: bytes of cells for allocations that no argument points to
_MOST_OTHERS = 1 << 31
#: launches whose answer is remembered
_MOST_KNOWN = 1024
_UNWATCHED = ROOT_CELLS.pack(0, 0)


class _Scratch:
    """Device memory for the launches of one stream, which come one after the other."""

    def __init__(self) -> None:
        self.address = 0
        self.size = 0

    def grow(self, state: ContextState, nbytes: int, stream: int) -> bool:
        """Have room for so many bytes; False where the device has none."""
        if nbytes <= self.size:
            return True
        old, self.address, self.size = self.address, 0, 0
        if old:
            state.streams.add(stream)
            state.when_unused((stream,), lambda: state.driver.free(old))
        size = 1 << (nbytes - 1).bit_length()
        for attempt in (size, nbytes):
            try:
                self.address = state.driver.allocate(attempt)
            except DriverError:
                continue
            self.size = attempt
            return True
        return False


class Racing:
    """Knows the scratch memory of each context and stream.

    ``missed`` are the program's kernels of which not all was watched.
    """

    def __init__(self) -> None:
        self._scratch: dict[tuple[ContextState, int], _Scratch] = {}
        self.missed: dict[str, None] = {}
        self._excluded: dict[tuple[object, ...], bool] = {}

    def forget(self, state: ContextState) -> None:
        """Drop what was in a context that is gone."""
        for key in [key for key in self._scratch if key[0] is state]:
            del self._scratch[key]

    def miss(self, event: Launch) -> None:
        """Note that not all of a launch is watched, unless PyCUDA wrote the kernel."""
        if not event.library:
            self.missed[event.function] = None

    def is_excluded(
        self,
        variant: Variant,
        races: RaceVariant,
        packed: bytes,
        allocations: Sequence[Allocation | None],
        event: Launch,
    ) -> bool:
        """Tell whether a launch surely has no races: what its threads access is apart."""
        exclusion = races.exclusion
        if exclusion is None or len(packed) != variant.plan.bare_bytes:
            return False
        if exclusion.uses_variables and any(each is not None and each.is_variable for each in allocations):
            return False
        order = tuple(allocations.index(each) for each in allocations)  # which of them are the same
        key = (variant.loaded.number, races.name, packed, event.grid, event.block, order)
        known = self._excluded.get(key)
        if known is None:
            values = {
                position: int.from_bytes(packed[start : start + size], "little", signed=is_signed)
                for position, start, size, is_signed in exclusion.numbers
            }
            known = Launched(values, event.block, event.grid).has_no_races(exclusion, order)
            if len(self._excluded) >= _MOST_KNOWN:
                self._excluded.clear()
            self._excluded[key] = known
        return known

    def prepare(
        self,
        state: ContextState,
        kernel: InstrumentedKernel,
        variant: RaceVariant,
        allocations: Sequence[Allocation | None],
        live: Iterable[Allocation],
        event: Launch,
    ) -> bytes:
        """Return the rest of the hidden parameter. ``allocations`` are those that the roots point into.

        ``live`` are all of the context.

        Where there is no memory for cells, or the grid is too large, global memory is not watched.
        """
        blocks = _product(event.grid)
        fits = blocks <= BLOCK.largest and _product(event.block) <= THREAD.largest + 1
        shifts = _shifts(kernel, allocations) if fits else {}
        is_whole = fits and not variant.misses_shared
        if fits and variant.looks_up and not self._add_others(shifts, variant, live):
            is_whole = False
        places: dict[Allocation, int] = {}
        rows = _rounded(len(shifts) * abi.RANGE.size) if variant.looks_up else 0
        end = rows + (_rounded(blocks * ORDER_BYTES) if variant.has_fences else 0)
        for allocation, shift in shifts.items():
            places[allocation] = end
            end += _rounded(((allocation.size >> shift) + 1) * CELLS)
        scratch = self._scratch.setdefault((state, event.stream), _Scratch())
        if end and not self._clear(state, scratch, end, event.stream):
            is_whole = False
            places, end, rows = {}, 0, 0
        if not is_whole:
            self.miss(event)
        if rows:
            self._tell_rows(state, scratch, places, shifts, event.stream)
        order = scratch.address + rows if end and variant.has_fences else 0
        cells = [
            ROOT_CELLS.pack(scratch.address + places[allocation], shifts[allocation])
            if allocation in places
            else _UNWATCHED
            for allocation in allocations
        ]
        table = (scratch.address, len(places)) if rows else (0, 0)
        return ORDER.pack(order, *table) + b"".join(cells)

    @staticmethod
    def _add_others(shifts: dict[Allocation, int], variant: RaceVariant, live: Iterable[Allocation]) -> bool:
        """Add allocations that a kernel may write by other ways than roots; False where there is no room."""
        shift = {1: 0, 2: 1}.get(variant.narrowest, 2)
        if variant.narrowest:
            for allocation in shifts:
                shifts[allocation] = min(shifts[allocation], shift)
        room = _MOST_OTHERS
        for allocation in sorted(live, key=lambda each: each.size):
            is_variable = allocation.is_variable and variant.writes_variables
            if allocation in shifts or not (variant.narrowest or is_variable):
                continue
            room -= (allocation.size >> shift) * CELLS
            if room < 0:
                return False
            shifts[allocation] = 0 if is_variable else shift
        return True

    @staticmethod
    def _tell_rows(
        state: ContextState,
        scratch: _Scratch,
        places: Mapping[Allocation, int],
        shifts: Mapping[Allocation, int],
        stream: int,
    ) -> None:
        """Write the table of allocations with cells, by address."""
        rows = b"".join(
            abi.RANGE.pack(each.address, each.size, scratch.address + places[each], 0, shifts[each])
            for each in sorted(places, key=lambda each: each.address)
        )
        memory = ctypes.create_string_buffer(rows, len(rows))
        state.driver.upload(scratch.address, ctypes.addressof(memory), len(rows), stream)

    @staticmethod
    def _clear(state: ContextState, scratch: _Scratch, nbytes: int, stream: int) -> bool:
        """Have so many zeros in the stream's scratch memory; False where that can't be."""
        try:
            if not scratch.grow(state, nbytes, stream):
                return False
            state.driver.fill(scratch.address, 0, nbytes, stream)
        except DriverError:
            return False
        return True


def _shifts(kernel: InstrumentedKernel, allocations: Sequence[Allocation | None]) -> dict[Allocation, int]:
    """Return the allocations that a launch writes, each with how many bytes a cell stands for, as a shift."""
    found: dict[Allocation, int] = {}
    for root, allocation in zip(kernel.roots, allocations, strict=True):
        if allocation is not None and (root.stores or root.atomics):
            found[allocation] = min(found.get(allocation, 2), _shift(root))
    return found


def _shift(root: Root) -> int:
    return {1: 0, 2: 1}.get(root.narrowest, 2)


def _rounded(nbytes: int) -> int:
    return -(-nbytes // _UNIT) * _UNIT


def _product(extents: Sequence[int]) -> int:
    result = 1
    for extent in extents:
        result *= extent
    return result
