"""The traced variant: it leaves behind which bytes it has touched, where the host can't work that out.

An access stores 1 in a *map*, a byte for each *cell* of ``1 << shift`` bytes; cells are no wider than the
narrowest access, so that a map is exact. There is a map for each kind of access through a root, one for
each to a variable of the module, and one for those by addresses from who knows where, in which allocations
of the table stand one behind the other. As many of these stand there as there is room for; so the lowest and
the highest address touched are kept for each allocation of the table as well, in its *extent*.

Only accesses that :func:`~pycuda_guard.kernels.analysis.accesses.vague_accesses` names leave anything behind,
and those of a kernel that may be in order with other kernels that run at the same time do not: it fences
or locks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.analysis.accesses import certain_accesses, vague_accesses
from pycuda_guard.kernels.analysis.loaded import is_by_data
from pycuda_guard.kernels.analysis.ordering import orders_others
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.body import needs_check
from pycuda_guard.kernels.instrument.builder import at, is_true
from pycuda_guard.kernels.instrument.coverage import store_code
from pycuda_guard.kernels.instrument.variables import is_certain, locate, watched_variable
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Immediate, Instruction, Space, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.coverage import Place
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Guard, Register, Variable

#: what the name of the variant ends in
TRACED_SUFFIX = "$traced"

#: behind everything else in the hidden parameter: the address of the extents, 0 for none; how many bytes of
#: the allocations of the table the maps for looked-up addresses are for; then, for each map, the address of
#: its first cell, 0 where there is none; then those of the variables
WORD = struct.Struct("<Q")
_EXTENTS, _COVERED, _MAPS = range(3)
#: for each kind of access, the complement of the lowest address and one past the highest; both only grow.
#: One for each allocation of the table, twice as long as an abi.RANGE
EXTENT = struct.Struct("<6Q16x")
KINDS = ("read", "write", "atomic")

_WIDEST_SHIFT = 4
_TOUCHED = 0x01010101


class _Target(NamedTuple):
    """What accesses go to in one way: a root, by its position, a variable, or (neither) what is looked up."""

    kind: str
    root: int | None = None
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Map:
    """What is done in one way: through a root, to a variable of the module, or (neither) where looked up.

    A cell stands for ``1 << shift`` bytes. What cells are counted from must be a multiple of ``alignment``.
    """

    kind: str
    shift: int
    alignment: int
    root: int | None = None
    variable: str = ""

    @property
    def is_looked_up(self) -> bool:
        """Whether it is for addresses that are looked up."""
        return self.root is None and not self.variable


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the host has to know of a variant that traces.

    ``start`` is where in the hidden parameter its words begin. ``is_by_data``: loaded values decide what it
    touches. ``variables`` of the program's module it uses at their addresses, in a module of its own.
    """

    start: int
    maps: tuple[Map, ...]
    is_by_data: bool
    variables: tuple[str, ...] = ()

    @property
    def looks_up(self) -> bool:
        """Whether it has extents."""
        return any(each.is_looked_up for each in self.maps)

    @property
    def nbytes(self) -> int:
        """Size of the words."""
        return WORD.size * (_MAPS + len(self.maps) + len(self.variables))

    @property
    def variables_at(self) -> int:
        """Where in the hidden parameter the addresses of variables begin."""
        return self.start + WORD.size * (_MAPS + len(self.maps))


class Tracer:
    """Adds to accesses what they leave behind. ``start`` and ``variables`` are as in :class:`Tracing`.

    It is called for accesses to memory that is no variable's, and watches the others before they are made.
    """

    def __init__(self, frame: Frame, start: int, variables: tuple[str, ...] = ()) -> None:
        self._frame = frame
        self._vague = vague_accesses(frame.flat)
        self._orders_itself = orders_others(frame.flat)
        maps = tuple(_maps(frame, self._traced(), _updated(frame)))
        self._maps = {_Target(each.kind, each.root, each.variable): each for each in maps}
        self._positions = {each: index for index, each in enumerate(maps)}
        certain = certain_accesses(frame.flat) if maps else ()
        by_data = is_by_data(frame.flat, self._vague, certain, frame.provenance)
        self.tracing = Tracing(start, maps, by_data, variables)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to trace."""
        return bool(self.tracing.maps) and not self._orders_itself

    def __call__(self, frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
        """Emit what an access that was done leaves behind."""
        if place is None or id(access.instruction) not in self._vague:
            return
        kept = self._maps.get(_target(frame, access))
        if kept is not None and kept.is_looked_up:
            self._widen(access, place)
            self._mark_found(kept, access, place)
        elif kept is not None:
            holds = self._is_there(kept)
            self._mark(kept, access, self._word(kept), place.offset, _and_guard(frame, holds, guard))

    def before(self, instruction: Instruction) -> None:
        """Emit what an access to a variable that is about to be made, if it can be, leaves behind."""
        if id(instruction) not in self._vague:
            return
        for access in accesses_of(instruction):
            variable = watched_variable(self._frame, access)
            kept = None if variable is None else self._maps.get(_target(self._frame, access))
            if variable is not None and kept is not None:
                self._mark_variable(kept, access, variable)

    def after(self, instruction: Instruction) -> None:
        """Emit nothing."""

    def _traced(self) -> Iterator[Access]:
        """Yield the accesses that are to leave something behind."""
        for entry in self._frame.flat.body:
            if isinstance(entry, Instruction) and id(entry) in self._vague:
                for access in accesses_of(entry):
                    variable = watched_variable(self._frame, access)
                    if needs_check(self._frame, access) or (variable and variable.space is Space.CONST):
                        yield access

    def _mark(self, kept: Map, access: Access, cells: Register, offset: Register, holds: Register) -> None:
        """Mark the cells of an access at an offset in what a map is for, where the predicate ``holds``."""
        builder = self._frame.builder
        where = builder.value("shr.u64", "b64", offset, kept.shift) if kept.shift else offset
        where = builder.value("add.u64", "b64", cells, where)
        touched = Immediate("int", _TOUCHED)
        store_code(self._frame, where, 0, access.width, kept.shift, touched, holds)

    def _mark_variable(self, kept: Map, access: Access, variable: Variable) -> None:
        """Mark the cells of an access to a variable, where it is in that and aligned."""
        builder = self._frame.builder
        place = locate(self._frame, access, variable)
        holds = self._is_there(kept)
        if not is_certain(access, variable):
            low = builder.value("and.b64", "b64", place.offset, access.width - 1)
            holds = builder.value("setp.lt.and.u64", "pred", place.offset, place.limit, holds)
            holds = builder.value("setp.eq.and.u64", "pred", low, 0, holds)
        self._mark(kept, access, self._word(kept), place.offset, _and_guard(self._frame, holds, access.guard))

    def _mark_found(self, kept: Map, access: Access, place: Place) -> None:
        """Mark the cells of an access in the allocation that it was found to be in, if that has any."""
        assert place.row is not None
        builder = self._frame.builder
        unit = builder.register("b32")
        builder.emit("ld.global.b32", unit, at(place.row, abi.RANGE_FIELDS["code"]))
        offset = builder.value("mul.wide.u32", "b64", unit, abi.TABLE_UNIT)
        offset = builder.value("add.u64", "b64", offset, place.offset)
        holds = builder.value("setp.lt.u64", "pred", offset, self._word(_COVERED))
        self._mark(kept, access, self._word(kept), offset, holds)

    def _widen(self, access: Access, place: Place) -> None:
        """Widen the extent of the allocation that an access was found to be in."""
        assert place.row is not None
        frame, builder = self._frame, self._frame.builder
        extents = self._word(_EXTENTS)
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

    def _is_there(self, kept: Map) -> Register:
        """Return the predicate that a map has cells in this launch."""
        return self._frame.builder.value("setp.ne.u64", "pred", self._word(kept), 0)

    def _word(self, what: Map | int) -> Register:
        """Load a word of the hidden parameter here: by its index, or the address of a map's cells."""
        index = what if isinstance(what, int) else _MAPS + self._positions[what]
        target = self._frame.builder.register("b64")
        place = self.tracing.start + WORD.size * index
        self._frame.builder.emit("ld.param.b64", target, at(Symbol(abi.LAUNCH_PARAMETER), place))
        return target


def _target(frame: Frame, access: Access) -> _Target:
    """Return what an access goes to."""
    variable = watched_variable(frame, access)
    if variable is not None:
        return _Target(access.kind, None, variable.name)
    root = frame.root_of(access)
    return _Target(access.kind, None if root is None else root[0])


def _updated(frame: Frame) -> set[str]:
    """Return the variables that a kernel uses atomics on."""
    entries = [entry for entry in frame.flat.body if isinstance(entry, Instruction)]
    atomics = [each for entry in entries for each in accesses_of(entry) if each.kind == "atomic"]
    return {_target(frame, each).variable for each in atomics}


def _maps(frame: Frame, traced: Iterator[Access], updated: set[str]) -> Iterator[Map]:
    """Yield what is to be kept; not what a kernel reads of variables that it has ``updated``, if later."""
    widths: dict[_Target, set[int]] = {}
    for access in traced:
        widths.setdefault(_target(frame, access), set()).add(access.width)
    for target, found in widths.items():
        if not target.variable or target.kind != "read" or target.variable not in updated:
            shift = min(max(min(found).bit_length() - 1, 0), _WIDEST_SHIFT)
            yield Map(target.kind, shift, max(found), target.root, target.variable)


def _and_guard(frame: Frame, holds: Register, guard: Guard | None) -> Register:
    return holds if guard is None else holds_too(frame, holds, guard)
