"""The traced variant: it leaves behind which bytes it has touched, where the host can't work that out.

Where an access goes through a root, it stores 1 in the *map* of the root's allocation, a byte for each *cell*
of ``1 << shift`` bytes; cells are no wider than the narrowest access, so that a map is exact. There is a map
for each kind of access. Where an address comes from who knows where, the lowest and the highest address
touched are kept for each allocation of the table, in its *extent*.

Only accesses that :func:`~pycuda_guard.kernels.analysis.accesses.vague_accesses` names leave anything behind,
and those of a kernel that may be in order with other kernels that run at the same time do not: it fences,
locks, or repeats a plain read until it can swap.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.accesses import certain_accesses, orders_others, vague_accesses
from pycuda_guard.kernels.analysis.loaded import is_by_data
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.builder import at, is_true
from pycuda_guard.kernels.instrument.coverage import store_code
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Immediate, Instruction, Space, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.coverage import Place
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Guard, Register

#: what the name of the variant ends in
TRACED_SUFFIX = "$traced"

#: behind everything else in the hidden parameter: the address of the extents, 0 for none; then, for each
#: map, that of its first cell, 0 where there is none; then those of the variables
WORD = struct.Struct("<Q")
#: for each kind of access, the complement of the lowest address and one past the highest; both only grow.
#: One for each allocation of the table, twice as long as an abi.RANGE
EXTENT = struct.Struct("<6Q16x")
KINDS = ("read", "write", "atomic")

_WIDEST_SHIFT = 4
_TOUCHED = 0x01010101


@dataclass(frozen=True, slots=True)
class Map:
    """What is done through a root in one way; a cell stands for ``1 << shift`` bytes."""

    root: int
    kind: str
    shift: int


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the host has to know of a variant that traces.

    ``start`` is where in the hidden parameter its words begin. ``looks_up``: it has extents.
    ``is_by_data``: loaded values decide what it touches. ``variables`` of the program's module it uses at
    their addresses, in a module of its own.
    """

    start: int
    maps: tuple[Map, ...]
    looks_up: bool
    is_by_data: bool
    variables: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size of the words."""
        return WORD.size * (1 + len(self.maps) + len(self.variables))

    @property
    def variables_at(self) -> int:
        """Where in the hidden parameter the addresses of variables begin."""
        return self.start + WORD.size * (1 + len(self.maps))


class Tracer:
    """Adds to accesses what they leave behind. ``start`` and ``variables`` are as in :class:`Tracing`."""

    def __init__(self, frame: Frame, start: int, variables: tuple[str, ...] = ()) -> None:
        self._vague = vague_accesses(frame.flat)
        self._orders_itself = orders_others(frame.flat)
        traced = list(self._traced(frame))
        roots = {frame.root_of(access): access for access in traced}
        self._shifts = _shifts(frame, traced)
        self._maps = {key: index for index, key in enumerate(self._shifts)}
        maps = tuple(Map(root, kind, shift) for (root, kind), shift in self._shifts.items())
        certain = certain_accesses(frame.flat) if traced else ()
        by_data = is_by_data(frame.flat, self._vague, certain, frame.provenance)
        self.tracing = Tracing(start, maps, None in roots, by_data, variables)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to trace."""
        return bool(self.tracing.maps or self.tracing.looks_up) and not self._orders_itself

    def __call__(self, frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
        """Emit what an access that was done leaves behind."""
        if place is None or id(access.instruction) not in self._vague:
            return
        root = frame.root_of(access)
        if root is not None:
            self._mark(frame, access, root[0], place, guard)
        elif place.row is not None and frame.variable_of(access) is None:
            self._widen(frame, access, place)

    def _traced(self, frame: Frame) -> Iterable[Access]:
        for entry in frame.flat.body:
            if isinstance(entry, Instruction) and id(entry) in self._vague:
                for access in accesses_of(entry):
                    is_global = access.space in (Space.GLOBAL, Space.GENERIC)
                    if is_global and frame.variable_of(access) is None:
                        yield access

    def _mark(self, frame: Frame, access: Access, root: int, place: Place, guard: Guard | None) -> None:
        """Mark the cells of an access in its map, if there is one."""
        builder = frame.builder
        key = root, access.kind
        cells = self._word(frame, 1 + self._maps[key])
        holds = builder.value("setp.ne.u64", "pred", cells, 0)
        if guard is not None:
            holds = holds_too(frame, holds, guard)
        shift = self._shifts[key]
        where = builder.value("shr.u64", "b64", place.offset, shift) if shift else place.offset
        where = builder.value("add.u64", "b64", cells, where)
        store_code(frame, where, 0, access.width, shift, Immediate("int", _TOUCHED), holds)

    def _widen(self, frame: Frame, access: Access, place: Place) -> None:
        """Widen the extent of the allocation that an access was found to be in."""
        assert place.row is not None
        builder = frame.builder
        extents = self._word(frame, 0)
        holds = builder.value("setp.ne.u64", "pred", extents, 0)
        row = builder.value("sub.u64", "b64", place.row, frame.header("table"))
        row = builder.value("shl.b64", "b64", row, (EXTENT.size // abi.RANGE.size).bit_length() - 1)
        where = builder.value("add.u64", "b64", extents, row)
        address = builder.value("add.u64", "b64", place.base, place.offset)
        lowest = builder.value("not.b64", "b64", address)
        beyond = builder.value("add.u64", "b64", address, access.width)
        start = 2 * WORD.size * KINDS.index(access.kind)
        for offset, value in ((start, lowest), (start + WORD.size, beyond)):
            known = builder.value("mov.b64", "b64", -1)
            builder.emit("ld.volatile.global.b64", known, at(where, offset), guard=is_true(holds))
            wider = builder.value("setp.gt.u64", "pred", value, known)
            builder.emit("red.global.max.u64", at(where, offset), value, guard=is_true(wider))

    def _word(self, frame: Frame, index: int) -> Register:
        """Load a word of the hidden parameter here."""
        target = frame.builder.register("b64")
        place = self.tracing.start + WORD.size * index
        frame.builder.emit("ld.param.b64", target, at(Symbol(abi.LAUNCH_PARAMETER), place))
        return target


def _shifts(frame: Frame, traced: list[Access]) -> dict[tuple[int, str], int]:
    """Return how wide the cells of each map are: of each root and kind of access."""
    narrowest: dict[tuple[int, str], int] = {}
    for access in traced:
        root = frame.root_of(access)
        if root is not None:
            key = root[0], access.kind
            narrowest[key] = min(narrowest.get(key, access.width), access.width)
    return {key: min(max(width.bit_length() - 1, 0), _WIDEST_SHIFT) for key, width in narrowest.items()}
