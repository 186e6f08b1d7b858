"""What a kernel means to write: for each store through a pointer parameter, where and under which guard.

The guard is everything that decides whether a thread gets to the store. It has a formula where all of
that is comparisons of the thread's indices with the arguments: ``x < w && y < h``, an early return.
Stores of the same bytes on both sides of a branch count as one. A store that data decide on, or
whose place changes from one round of a loop to the next, has no formula, and nothing is claimed of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.formulas import Coverage, MeantStore, Polynomial
from pycuda_guard.kernels.analysis.flow import Edge, certain_to_reach, flow_of
from pycuda_guard.kernels.analysis.values import Values, Ways, both, either
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Address, Vector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.kernels.analysis.flow import Flow
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction

# Bounds of the search; a kernel beyond them has no formulas, or not all of them.
_MAX_INSTRUCTIONS = 4000
_MAX_STORES = 32
_MAX_WORK = 200_000  # edges looked at

_NOT_GLOBAL = frozenset({"shared", "local", "param", "const"})

_Place = tuple[int, int, Polynomial]  # parameter, width, offset


def meant_stores(function: FlatFunction, pointers: frozenset[int]) -> Coverage | None:
    """Return what a kernel means to store, or None where nothing is known of that.

    ``pointers`` are the positions of the pointer parameters. Takes bounded time, whatever the kernel.
    """
    if len(function.body) > _MAX_INSTRUCTIONS or not pointers:
        return None
    values, flow = Values(function), flow_of(function)
    places: dict[_Place, set[int]] = {}
    for number, block in enumerate(flow.blocks):
        for instruction in block:
            place = _place(values, instruction, pointers) if instruction.opcode == "st" else None
            if place is not None:
                places.setdefault(place, set()).add(number)
    guards = Guards(flow, values)
    stores: dict[MeantStore, None] = {}
    for (parameter, width, offset), blocks in places.items():
        for way in guards.of(frozenset(blocks)) or ():
            stores[MeantStore(parameter, width, offset, way)] = None
    if not stores or len(stores) > _MAX_STORES:
        return None
    return Coverage(tuple(values.uniforms), tuple(stores))


def _place(values: Values, instruction: Instruction, pointers: frozenset[int]) -> _Place | None:
    """Return which bytes an instruction stores to, as far as that is a formula of one pointer."""
    address, value = instruction.operands[:2]
    if not isinstance(address, Address) or not _NOT_GLOBAL.isdisjoint(instruction.modifiers):
        return None
    place = values.address(address)
    if place is None:
        return None
    named = [(factor, symbols) for factor, symbols in place.terms if not pointers.isdisjoint(symbols)]
    if len(named) != 1 or named[0][0] != 1 or len(named[0][1]) != 1:
        return None
    width = TYPE_SIZES.get(instruction.modifiers[-1], 0)
    width *= len(value.elements) if isinstance(value, Vector) else 1
    offset = Polynomial(tuple(term for term in place.terms if term != named[0]))
    return (named[0][1][0], width, offset) if width else None


class Guards:
    """The conditions under which a kernel gets to its blocks."""

    def __init__(self, flow: Flow, values: Values) -> None:
        self.edges = flow.edges
        self.into = flow.into()
        self.values = values
        self.known: dict[frozenset[int], Ways | None] = {}
        self.work = 0

    def of(self, goal: frozenset[int]) -> Ways | None:
        """Return the ways to get to one of the blocks; None where none is known.

        A way that depends on anything but known comparisons is left out.
        """
        if goal not in self.known:
            self.known[goal] = None  # for a block that is only reached through itself
            self.known[goal] = self._ways(goal)
        return self.known[goal]

    def _ways(self, goal: frozenset[int]) -> Ways | None:
        self.work += len(self.edges)
        if self.work > _MAX_WORK:
            return None
        certain = certain_to_reach(self.into, goal)
        if 0 in certain:
            return ((),)
        ways: Ways | None = None
        for edge in self._entering(certain):
            way = self._way(edge)
            if way is not None:
                ways = way if ways is None else either(ways, way)
                if ways is None:
                    return None
        return ways

    def _entering(self, certain: frozenset[int]) -> Iterable[Edge]:
        return [edge for edge in self.edges if edge.target in certain and edge.source not in certain]

    def _way(self, edge: Edge) -> Ways | None:
        if edge.guard is None:
            return None
        condition = self.values.condition(edge.guard.register, edge.guard.negated)
        reached = self.of(frozenset({edge.source})) if condition is not None else None
        return None if condition is None or reached is None else both(reached, condition)
