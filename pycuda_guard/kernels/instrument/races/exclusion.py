"""What is known of a kernel's races before it runs.

Many kernels can't race: each thread writes elements of its own, and what it reads of others' was written
before a barrier. Which elements those are takes the numbers of a launch. So a kernel's accesses become
*places*, formulas of these numbers, and the host tells for each launch whether the places of different
threads are apart. See :mod:`pycuda_guard.kernels.instrument.races.apartness`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.coverage import Guards
from pycuda_guard.kernels.analysis.flow import flow_of
from pycuda_guard.kernels.analysis.sources import ParameterWord, VariableAddress
from pycuda_guard.kernels.analysis.values import both
from pycuda_guard.kernels.instrument.accesses import accesses_of, space_of
from pycuda_guard.kernels.instrument.races.formulas import Formulas
from pycuda_guard.kernels.instrument.races.identity import Strength
from pycuda_guard.kernels.instrument.races.intervals import intervals
from pycuda_guard.kernels.instrument.races.model import Exclusion, Place, RootUse
from pycuda_guard.kernels.instrument.races.ordering import (
    is_block_barrier,
    is_for_whole_warp,
    is_full_barrier,
    is_warp_barrier,
    strength_of,
)
from pycuda_guard.kernels.instrument.races.uniformity import barriers_are_uniform
from pycuda_guard.kernels.instrument.shared_shadow import DYNAMIC
from pycuda_guard.kernels.instrument.variables import is_dynamic
from pycuda_guard.kernels.ptx.ir import Instruction, Space
from pycuda_guard.kernels.ptx.opcodes import OPCODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycuda_guard.events.formulas import Condition
    from pycuda_guard.kernels.analysis.flow import Edge, Flow
    from pycuda_guard.kernels.analysis.provenance import Provenance
    from pycuda_guard.kernels.analysis.values import Values, Ways
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.ranges import KnownRoot
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Variable

_MOST_INSTRUCTIONS = 4000
_MOST_PLACES = 64
#: opcodes that access no memory that threads share, or order accesses only
_HARMLESS = frozenset({"membar", "fence", "bar", "barrier", "prefetch", "prefetchu", "tex", "tld4"})


@dataclass(frozen=True, slots=True)
class Prospects:
    """What can be said of a kernel's races by its text.

    ``exclusion`` has what the host must find out to know that a launch has none; None where it can't.
    ``harmless`` are the accesses to shared memory, by the identity of their instructions, that can't
    be part of one. ``waits_together``: all threads of a block surely wait at the same barriers.
    """

    exclusion: Exclusion | None
    harmless: frozenset[int]
    waits_together: bool

    def is_dangerous(self, access: Access) -> bool:
        """Tell whether an access to shared memory may be part of a race there."""
        return access.space is Space.SHARED and id(access.instruction) not in self.harmless


class _UnknownError(Exception):
    """Nothing can be said of a kernel."""


def find_prospects(
    flat: FlatFunction,
    provenance: Provenance,
    roots: Mapping[ParameterWord, KnownRoot],
    variables: Mapping[str, Variable],
) -> Prospects:
    """Look at a kernel. ``variables`` are those of its module."""
    finder = _Finder(flat, provenance, roots, {**variables, **flat.variables})
    if len(flat.body) > _MOST_INSTRUCTIONS or not finder.waits_together():
        return Prospects(None, frozenset(), waits_together=False)
    groups, harmless = finder.shared_groups()
    if any(is_warp_barrier(entry) and not is_for_whole_warp(entry) for entry in finder.instructions):
        return Prospects(None, harmless, waits_together=True)  # the mask has to be looked at
    try:
        return Prospects(finder.exclusion(groups), harmless, waits_together=True)
    except _UnknownError:
        return Prospects(None, harmless, waits_together=True)


class _Certainties(Guards):
    """What surely holds in the blocks of a kernel: where a way to them is not known, nothing does.

    A way that leads through the goal itself is none to come there first.
    """

    def __init__(self, flow: Flow, values: Values) -> None:
        super().__init__(flow, values)
        self._active: list[frozenset[int]] = []
        self._cut: set[frozenset[int]] = set()  # active goals that were come to again

    def of(self, goal: frozenset[int]) -> Ways:
        """Return the ways to get to one of the blocks for the first time; none but through active goals."""
        if goal in self._active:
            self._cut.add(goal)
            return ()
        known = self.known.get(goal)
        if known is not None:
            return known
        self._active.append(goal)
        ways = self._ways(goal)
        self._active.pop()
        self._cut.discard(goal)
        if not self._cut:
            self.known[goal] = ways
        return ways

    def _ways(self, goal: frozenset[int]) -> Ways:
        found = super()._ways(goal)
        return ((),) if found is None else found

    def _way(self, edge: Edge) -> Ways:
        guard = edge.guard
        decided = None if guard is None else self.values.condition(guard.register, guard.negated)
        reached = self.of(frozenset({edge.source}))
        joined = None if decided is None else both(reached, decided)
        return reached if joined is None else joined


class _Finder:
    def __init__(
        self,
        flat: FlatFunction,
        provenance: Provenance,
        roots: Mapping[ParameterWord, KnownRoot],
        variables: Mapping[str, Variable],
    ) -> None:
        self.flat = flat
        self.provenance = provenance
        self.roots = roots
        self.variables = variables
        self.instructions = [entry for entry in flat.body if isinstance(entry, Instruction)]
        self.barriers = [entry for entry in self.instructions if is_block_barrier(entry)]

    def waits_together(self) -> bool:
        """Tell whether all threads of a block surely wait at the same barriers, and nowhere else."""
        if not all(map(is_full_barrier, self.barriers)):
            return False
        if any(entry.opcode in ("cp", "mbarrier", "mapa") for entry in self.instructions):
            return False  # accesses that end later than their instruction
        return len(self.barriers) < 2 or barriers_are_uniform(self.flat)

    # --- shared memory ------------------------------------------------------------------------------

    def shared_groups(self) -> tuple[list[tuple[Access, ...]], frozenset[int]]:
        """Return accesses that must be apart, and the instructions of those that need not be."""
        found: dict[tuple[int, ...], tuple[Access, ...]] = {}
        members: set[int] = set()
        for reached in intervals(self.flat, self._may_be_shared):
            members.update(id(access.instruction) for access in reached)
            memories = {self._memory_of(access) for access in reached}
            if None in memories:
                memories = {None}
            for memory in memories:
                group = tuple(each for each in reached if memory in (None, self._memory_of(each)))
                if not _is_harmless(group, in_shared=True):
                    found[tuple(sorted(id(access.instruction) for access in group))] = group
        dangerous = {identity for key in found for identity in key}
        return list(found.values()), frozenset(members - dangerous)

    def _may_be_shared(self, access: Access) -> bool:
        if access.space is Space.SHARED:
            return True
        if access.space is not Space.GENERIC:
            return False
        name = self._variable_of(access)
        return self.variables[name].space is Space.SHARED if name is not None else not self._root_of(access)

    def _variable_of(self, access: Access) -> str | None:
        origin = self.provenance.origin(access.address)
        if origin is None or not isinstance(origin.source, VariableAddress):
            return None
        return origin.source.name if origin.source.name in self.variables else None

    def _memory_of(self, access: Access) -> str | None:
        """Return a name for the shared memory that an access is to, one for all that is dynamic."""
        name = self._variable_of(access)
        return DYNAMIC if name is not None and is_dynamic(self.variables[name]) else name

    def _root_of(self, access: Access) -> KnownRoot | None:
        origin = self.provenance.origin(access.address)
        if origin is None or not isinstance(origin.source, ParameterWord):
            return None
        return self.roots.get(origin.source)

    # --- what the host has to find out --------------------------------------------------------------

    def exclusion(self, groups: list[tuple[Access, ...]]) -> Exclusion:
        """Return what must be apart; raises _UnknownError where that can't be told."""
        uses: dict[int, list[Access]] = {}
        inside: dict[str, list[Access]] = {}  # module variables
        for instruction in self.instructions:
            accesses = accesses_of(instruction)
            if not accesses and _is_unseen(instruction):
                raise _UnknownError
            for access in accesses:
                root, name = self._root_of(access), self._variable_of(access)
                if access.space in (Space.LOCAL, Space.CONST, Space.SHARED):
                    continue
                if root is not None:
                    uses.setdefault(root.position, []).append(access)
                elif name is None:
                    raise _UnknownError
                elif self.variables[name].space is Space.GLOBAL:
                    inside.setdefault(name, []).append(access)
        if not all(_is_harmless(tuple(group), in_shared=False) for group in inside.values()):
            raise _UnknownError
        written = {position for position, accesses in uses.items() if any(each.writes for each in accesses)}
        names = [name for name, variable in self.variables.items() if variable.space is Space.SHARED]
        formulas = Formulas(self.flat, names)
        conditions = self._conditions(formulas) if written or groups else {}
        return Exclusion(
            tuple(formulas.uniforms),
            self._numbers(),
            tuple(self._use(position, uses[position], formulas, conditions) for position in sorted(uses)),
            tuple(self._shared_places(group, formulas, conditions) for group in groups),
            bool(inside),
        )

    def _use(
        self,
        position: int,
        accesses: list[Access],
        formulas: Formulas,
        conditions: Mapping[int, tuple[Condition, ...]],
    ) -> RootUse:
        places: dict[Place, None] = {}
        for access in accesses:
            offset = formulas.place(access.address)
            if offset is None or len(places) >= _MOST_PLACES:
                places.clear()
                break
            limits = conditions.get(id(access.instruction), ())
            places[Place(offset, access.width, access.writes, limits)] = None
        return RootUse(
            position,
            any(access.writes for access in accesses),
            _is_harmless(tuple(accesses), in_shared=False),
            tuple(places),
        )

    def _shared_places(
        self,
        group: tuple[Access, ...],
        formulas: Formulas,
        conditions: Mapping[int, tuple[Condition, ...]],
    ) -> tuple[Place, ...]:
        places: dict[Place, None] = {}
        for access in group:
            name = self._variable_of(access)
            offset = None if name is None else formulas.place(access.address, name)
            if offset is None or len(places) >= _MOST_PLACES:
                raise _UnknownError
            limits = conditions.get(id(access.instruction), ())
            places[Place(offset, access.width, access.writes, limits)] = None
        return tuple(places)

    def _conditions(self, formulas: Formulas) -> dict[int, tuple[Condition, ...]]:
        """Return what surely holds where an instruction is done, by its identity."""
        flow = flow_of(self.flat)
        guards = _Certainties(flow, formulas)
        found: dict[int, tuple[Condition, ...]] = {}
        for number, block in enumerate(flow.blocks):
            accessing = [entry for entry in block if accesses_of(entry)]
            ways = guards.of(frozenset({number})) if accessing else ()
            if ways:
                certain = tuple(each for each in ways[0] if all(each in way for way in ways))
                found.update((id(entry), certain) for entry in accessing)
        return found

    def _numbers(self) -> tuple[tuple[int, int, int, bool], ...]:
        """Return where the integers among the parameters are: position, offset, bytes, whether signed."""
        found = []
        end = 0
        for position, parameter in enumerate(self.flat.function.parameters):
            start = -(-end // parameter.alignment) * parameter.alignment
            end = start + parameter.size
            if not parameter.dims and parameter.vector == 1 and parameter.type[0] in "usb":
                is_signed = parameter.type[0] == "s" or parameter.size == 4  # int is declared as u32
                found.append((position, start, parameter.size, is_signed))
        return tuple(found)


def _is_harmless(accesses: tuple[Access, ...], *, in_shared: bool) -> bool:
    """Tell whether accesses don't race with one another, wherever they are."""
    if not any(access.writes for access in accesses):
        return True
    enough = Strength.BLOCK if in_shared else Strength.DEVICE
    return all(strength_of(access, in_shared=in_shared) >= enough for access in accesses)


def _is_unseen(instruction: Instruction) -> bool:
    """Tell whether an instruction may access memory in a way that is not looked at."""
    if instruction.opcode in _HARMLESS or is_warp_barrier(instruction):
        return False
    row = OPCODES.get(instruction.opcode)
    if row is None or instruction.opcode == "call":
        return True
    if not (row.reads_memory or row.writes_memory):
        return False
    return space_of(instruction) not in (Space.PARAM, Space.LOCAL, Space.CONST)
