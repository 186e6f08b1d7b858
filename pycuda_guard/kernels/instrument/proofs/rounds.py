"""The rounds of loops: registers that grow by the same number in each, and what decides on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.proofs.instructions import is_plain
from pycuda_guard.kernels.instrument.proofs.model import UNKNOWN, Loop
from pycuda_guard.kernels.instrument.proofs.paths import Place
from pycuda_guard.kernels.ptx.ir import Immediate, Register

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.proofs.nodes import Nodes
    from pycuda_guard.kernels.instrument.proofs.paths import NaturalLoop
    from pycuda_guard.kernels.ptx.ir import Operand


class Rounds:
    """The loops of one kernel, the outer ones first."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.paths = nodes.paths
        self.loops: list[Loop] = []
        self._counts: dict[int, int] = {}  # nodes by the header of the loop

    def limit_all(self) -> None:
        """Note what decides on the rounds of each loop."""
        outer_first = self.paths.loops[::-1]
        for number, loop in enumerate(outer_first):
            self._counts[loop.header] = self.nodes.node("count", number=number)
        for loop in outer_first:
            self._limit(loop)

    def carried(self, name: str, loop: NaturalLoop, place: Place) -> int:
        """Return the node of a register that each round of a loop adds the same to, read before that."""
        paths = self.paths
        inside = [site for site in paths.written[name] if site.block in loop.body]
        if len(inside) != 1:
            return UNKNOWN
        (site,) = inside
        once = paths.dominates(site.block, loop.latch) and not paths.reaches(
            site.block, site.block, loop.header
        )
        if not once or not self._is_before(place, site, loop):
            return UNKNOWN
        steps = self._steps(name, loop, site, site)
        begun = [
            paths.reaching(name, Place(edge.source, len(paths.blocks[edge.source])))
            for edge in paths.into[loop.header]
            if edge is not loop.back
        ]
        if not steps or UNKNOWN in steps or not begun or not all(begun) or loop.header == 0:
            return UNKNOWN
        first = frozenset[Place]().union(*(each for each in begun if each is not None))
        if site in first:
            return UNKNOWN  # goes on where it was when the loop was left
        start = (
            self.nodes.defined(next(iter(first)), name) if len(first) == 1 else self.nodes.joined(first, name)
        )
        if start == UNKNOWN:
            return UNKNOWN
        kind = paths.at(site).modifiers[-1]
        for step in steps:
            grown = self.nodes.node("mul.lo", kind, (step, self._counts[loop.header]))
            start = self.nodes.node("add", kind, (start, grown))
        return start

    def _is_before(self, place: Place, site: Place, loop: NaturalLoop) -> bool:
        """Tell whether a place in a loop is surely come to before a site, in each round."""
        if place.block == site.block:
            return place.number <= site.number
        return not self.paths.reaches(site.block, place.block, loop.header)

    def _steps(self, name: str, loop: NaturalLoop, site: Place, place: Place) -> list[int]:
        """Return the nodes whose sum a round adds to a register that ``site`` writes; empty if not known.

        ``place`` is that of the sum or, where the sum goes on in other registers, of a part of it.
        """
        instruction = self.paths.at(place)
        if instruction.opcode not in ("add", "sub") or not is_plain(instruction):
            return []
        one, other = instruction.operands[1:3]
        if instruction.opcode == "add" and not self._is_part(one, name, loop, place):
            one, other = other, one
        if not self._is_part(one, name, loop, place) or not self._is_steady(other, loop, place):
            return []
        assert isinstance(one, Register)
        node = self.nodes.value(other, place)
        if instruction.opcode == "sub" and node != UNKNOWN:
            node = self.nodes.node("neg", instruction.modifiers[0], (node,))
        if one.name == name:
            return [node] if self._is_before(place, site, loop) else []
        (before,) = self.paths.reaching(one.name, place) or (place,)
        if self.paths.at(before).modifiers != instruction.modifiers:
            return []
        rest = self._steps(name, loop, site, before)
        return [*rest, node] if rest else []

    def _is_part(self, operand: Operand, name: str, loop: NaturalLoop, place: Place) -> bool:
        """Tell whether an operand is a register, or what this round has made of it."""
        if not isinstance(operand, Register) or operand.special or operand.part or operand.negative:
            return False
        if operand.name == name:
            return True
        found = self.paths.reaching(operand.name, place)
        return found is not None and len(found) == 1 and next(iter(found)).block in loop.body

    def _is_steady(self, operand: Operand, loop: NaturalLoop, place: Place) -> bool:
        """Tell whether an operand is the same in each round of a loop."""
        if isinstance(operand, Immediate):
            return True
        if not isinstance(operand, Register):
            return False
        found = None if operand.special else self.paths.reaching(operand.name, place)
        return operand.special or (
            found is not None and len(found) == 1 and next(iter(found)).block not in loop.body
        )

    def _limit(self, loop: NaturalLoop) -> None:
        """Note what decides on the rounds of a loop. All loops' counts are known."""
        paths = self.paths
        entered = self.nodes.conditions_of(loop.header)
        again = [
            edge
            for edge in (*paths.certain_edges(loop.latch), loop.back)
            if edge.source in loop.body and edge.target in loop.body
        ]
        tests = [self.nodes.condition(edge.guard, edge.source) for edge in again if edge.guard is not None]
        self.loops.append(Loop(tuple(each for each in tests if each[0] != UNKNOWN), entered))
        self.nodes.node("rounds", number=len(self.loops) - 1)
