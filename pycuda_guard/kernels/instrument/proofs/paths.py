"""Which ways lead through a kernel: what comes before what on all of them, loops, and what defines what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.analysis.flow import EXIT, OPAQUE, flow_of
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.analysis.flow import Edge
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction


class Place(NamedTuple):
    """An instruction by its block and its number in that."""

    block: int
    number: int


@dataclass(frozen=True, slots=True)
class NaturalLoop:
    """Blocks that one edge leads back through, from ``latch`` to ``header``."""

    header: int
    latch: int
    back: Edge
    body: frozenset[int]


class Paths:
    """The control flow of one kernel."""

    def __init__(self, flat: FlatFunction) -> None:
        flow = flow_of(flat)
        self.blocks = flow.blocks
        self.edges = [edge for edge in flow.edges if edge.target != EXIT]
        self.has_tables = any(edge.guard is OPAQUE for edge in flow.edges)
        self.into: list[list[Edge]] = [[] for _ in flow.blocks]
        self.out: list[list[Edge]] = [[] for _ in flow.blocks]
        for edge in self.edges:
            self.into[edge.target].append(edge)
            self.out[edge.source].append(edge)
        self._dominators = self._find_dominators()
        self.loops = self._find_loops()
        self.written: dict[str, list[Place]] = {}
        for number, block in enumerate(self.blocks):
            for index, instruction in enumerate(block):
                for name in definitions(instruction):
                    self.written.setdefault(name, []).append(Place(number, index))

    def at(self, place: Place) -> Instruction:
        """Return the instruction at a place."""
        return self.blocks[place.block][place.number]

    def dominates(self, first: int, second: int) -> bool:
        """Tell whether all ways to block ``second`` lead through ``first``."""
        return bool(self._dominators[second] >> first & 1)

    def certain_edges(self, block: int) -> Iterator[Edge]:
        """Yield the edges under a guard that all ways to a block lead over."""
        for target in range(len(self.blocks)):
            if len(self.into[target]) == 1 and self.dominates(target, block):
                edge = self.into[target][0]
                if edge.guard is not None and edge.guard is not OPAQUE:
                    yield edge

    def reaching(self, register: str, place: Place) -> frozenset[Place] | None:
        """Return the definitions that a register may come from at a place; None if it may have none."""
        sites = self.written.get(register, [])
        before = [site.number for site in sites if site.block == place.block and site.number < place.number]
        if before:
            return frozenset({Place(place.block, max(before))})
        if len(sites) == 1:
            found_once = sites[0].block != place.block and self.dominates(sites[0].block, place.block)
            return frozenset(sites) if found_once else None
        last = {site.block: site for site in sorted(sites)}
        found: set[Place] = set()
        seen: set[int] = set()
        pending = [place.block]
        while pending:
            block = pending.pop()
            if block == 0:
                return None
            for edge in self.into[block]:
                source = edge.source
                if source in last:
                    found.add(last[source])
                elif source not in seen:
                    seen.add(source)
                    pending.append(source)
        return frozenset(found)

    def reaches(self, start: int, goal: int, without: int) -> bool:
        """Tell whether control may come from the end of one block to another, but not into ``without``."""
        seen: set[int] = set()
        pending = [start]
        while pending:
            for edge in self.out[pending.pop()]:
                if edge.target == without or edge.target in seen:
                    continue
                if edge.target == goal:
                    return True
                seen.add(edge.target)
                pending.append(edge.target)
        return False

    # -- inside ---------------------------------------------------------------------------------

    def _find_dominators(self) -> list[int]:
        """Return, for each block, a set of bits: the blocks that all ways to it lead through."""
        every = (1 << len(self.blocks)) - 1
        found = [1] + [every] * (len(self.blocks) - 1)
        changed = True
        while changed:
            changed = False
            for number in range(1, len(self.blocks)):
                common = every
                for edge in self.into[number]:
                    common &= found[edge.source]
                common |= 1 << number
                if common != found[number]:
                    found[number] = common
                    changed = True
        return found

    def _find_loops(self) -> list[NaturalLoop]:
        """Return the loops that one edge leads back through, the inner ones first."""
        backs = [edge for edge in self.edges if self.dominates(edge.target, edge.source)]
        found = []
        for edge in backs:
            if sum(other.target == edge.target for other in backs) > 1:
                continue
            body = {edge.target, edge.source}
            pending = [edge.source] if edge.source != edge.target else []
            while pending:
                for entering in self.into[pending.pop()]:
                    if entering.source not in body:
                        body.add(entering.source)
                        pending.append(entering.source)
            found.append((edge, frozenset(body)))
        found.sort(key=lambda each: len(each[1]))
        return [NaturalLoop(edge.target, edge.source, edge, body) for edge, body in found]
