"""What a launch touches by addresses that its kernel looks up in the table of allocations.

In the maps for these, the allocations of the table stand one behind the other, the small ones first; the
maps are for as many of them as there is room for. Of the others the first and the last byte are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.model import TouchedBytes
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.footprints import EXTENT, KINDS
from pycuda_guard.shadow.runs import runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pycuda_guard.kernels.instrument.footprints import Map
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.runs import Runs

#: allocations of a table that extents are kept for
_MOST_ROWS = 4096
#: bytes of the maps of one launch
_MOST_CELLS = 64 << 20
#: what allocations in maps begin at a multiple of, so that every access marks whole words of cells
_ALIGNMENT = 32
#: bytes that are not needed between two pieces of a map which are read together
_GAP = 1 << 16
_WORD = 1 << 64


def places_of(allocations: Sequence[Allocation]) -> list[int]:
    """Return the unit at which each allocation of a table begins in maps; NOWHERE for those that do not."""
    places = [abi.NOWHERE] * len(allocations)
    unit = 0
    for index in sorted(range(len(allocations)), key=lambda index: allocations[index].size):
        size = -(-allocations[index].size // abi.TABLE_UNIT)
        if unit + size >= abi.NOWHERE:
            break
        if allocations[index].address % _ALIGNMENT == 0:
            places[index] = unit
            unit += size
    return places


class _Row(NamedTuple):
    """An allocation of the table; ``start`` is that of its bytes in maps, before ``size`` is cut to cells."""

    base: int
    size: int
    start: int


class _Found(NamedTuple):
    """What was touched of a row in one way: the first byte, and the one after the last."""

    row: _Row
    first: int
    end: int


class Layout:
    """Where extents and maps of a launch are in one block of memory, which is zeros before the launch.

    ``covered``: how many of the bytes that stand one behind the other the maps are for. ``extents`` and
    ``nbytes`` are the sizes of the extents, with which the block begins, and of the block.
    """

    def __init__(self, allocations: Sequence[Allocation], maps: Iterable[Map]) -> None:
        self._rows = [
            _Row(each.address, each.size, place * abi.TABLE_UNIT)
            for each, place in zip(allocations, places_of(allocations), strict=True)
        ]
        self._maps = [each for each in maps if each.is_looked_up]
        self.extents = -(-len(self._rows) * EXTENT.size // abi.TABLE_UNIT) * abi.TABLE_UNIT
        self.covered = self._covered()
        self.nbytes = self.extents + self._cells(self.covered)

    @property
    def is_possible(self) -> bool:
        """Whether there is anything to look up, and not too much."""
        return 0 < len(self._rows) <= _MOST_ROWS

    def map_at(self, block: int, kept: Map) -> int:
        """Return the address of a map's first cell in a block."""
        before = self._maps[: self._maps.index(kept)]
        return block + self.extents + sum(self.covered >> each.shift for each in before)

    def touched(
        self, block: int, has_cells: bool, download: Callable[[int, int], bytes]
    ) -> list[TouchedBytes]:
        """Return what a launch that is over touched; ``download(address, nbytes)`` reads its block.

        All that the launch has written there is read, each byte once.
        """
        extents = [*EXTENT.iter_unpack(download(block, len(self._rows) * EXTENT.size))]
        told: list[TouchedBytes] = []
        for kept in self._maps:
            index = 2 * KINDS.index(kept.kind)
            found = [
                _Found(row, ~words[index] % _WORD - row.base, words[index + 1] - row.base)
                for row, words in zip(self._rows, extents, strict=False)
                if words[index + 1]
            ]
            found = [each for each in found if 0 <= each.first < each.end <= each.row.size]
            covered = self.covered if has_cells else 0
            mapped = [each for each in found if each.row.start + each.row.size <= covered]
            known = self._known(self.map_at(block, kept), kept.shift, mapped, download) if mapped else {}
            for each in found:
                runs, exact = known.get(each) or (_ends(each), False)
                told.append(TouchedBytes(kept.kind, each.row.base, runs, exact))
        return told

    @staticmethod
    def _known(
        address: int, shift: int, found: Iterable[_Found], download: Callable[[int, int], bytes]
    ) -> dict[_Found, tuple[Runs, bool]]:
        """Return what the map at an address says of what was found, and whether that is all."""
        told: dict[_Found, tuple[Runs, bool]] = {}
        pieces = sorted(
            (((row.start + first) >> shift, ((row.start + end - 1) >> shift) + 1, each) for each in found
             for row, first, end in (each,)),
        )  # fmt: skip
        while pieces:
            start, end, _ = pieces[0]
            count = 0
            while count < len(pieces) and pieces[count][0] <= end + _GAP:
                end = max(end, pieces[count][1])
                count += 1
            cells = download(address + start, end - start)
            for low, high, each in pieces[:count]:
                runs, exact = runs_of(cells[low - start : high - start], shift, each.row.size)
                moved = (low << shift) - each.row.start
                if runs:
                    told[each] = tuple([(a + moved, min(b + moved, each.row.size)) for a, b in runs]), exact
            del pieces[:count]
        return told

    def _covered(self) -> int:
        """Return where the last allocation ends whose cells have room; 0 where no room is for any."""
        covered = 0
        for row in sorted(self._rows, key=lambda row: row.start):
            end = row.start + -(-row.size // abi.TABLE_UNIT) * abi.TABLE_UNIT
            if row.start >= abi.NOWHERE * abi.TABLE_UNIT or self._cells(end) > _MOST_CELLS:
                break
            covered = end
        return covered

    def _cells(self, covered: int) -> int:
        """Return the bytes of all maps for so many bytes of allocations."""
        return sum(covered >> each.shift for each in self._maps)


def _ends(found: _Found) -> Runs:
    """Return the first and the last byte."""
    first, last = found.first, found.end - 1
    return ((first, last + 1),) if last - first < 2 else ((first, first + 1), (last, last + 1))
