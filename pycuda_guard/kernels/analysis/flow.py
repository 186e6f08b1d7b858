"""In which cases a kernel gets to a place: the control flow of a function, by blocks.

Loops are taken to end and assertions to hold: a path that never leaves, or that ends in a trap, is
no way around a place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.ptx.ir import Guard, Instruction, Label, Symbol

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction

EXIT = -1  #: the target of what leaves the kernel

#: stands for a condition that is no register: a jump by a table
OPAQUE = Guard("")


class Edge(NamedTuple):
    """A way from one block to another, taken where ``guard`` holds; None where it is the only way."""

    source: int
    target: int
    guard: Guard | None


@dataclass(slots=True)
class Flow:
    """Blocks of a function by number, the entry first: the instructions in them and the edges between.

    An instruction under a guard is a block of its own, which the guard leads into or around.
    """

    blocks: list[list[Instruction]] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def into(self) -> list[list[Edge]]:
        """Return the edges that lead into each block, and last those that leave the kernel."""
        found: list[list[Edge]] = [[] for _ in range(len(self.blocks) + 1)]
        for edge in self.edges:
            found[edge.target].append(edge)
        return found


def flow_of(function: FlatFunction) -> Flow:
    """Divide a function into blocks."""
    builder = _Builder(function)
    for entry in function.body:
        if isinstance(entry, Label):
            builder.label(entry.name)
        else:
            builder.instruction(entry)
    return builder.finish()


class _Builder:
    def __init__(self, function: FlatFunction) -> None:
        self.tables = function.tables
        self.flow = Flow([[]])
        self.labels: dict[str, int] = {}
        self.open = True  # whether control reaches the end of the last block
        self.jumps: list[tuple[int, str, Guard | None]] = []

    @property
    def last(self) -> int:
        return len(self.flow.blocks) - 1

    def begin(self, guard: Guard | None = None) -> None:
        """Begin a block, entered from the last one where that is open."""
        if self.open:
            self.flow.edges.append(Edge(self.last, self.last + 1, guard))
        self.flow.blocks.append([])
        self.open = True

    def label(self, name: str) -> None:
        self.begin()
        self.labels[name] = self.last

    def instruction(self, instruction: Instruction) -> None:
        """Add an instruction to the last block, and begin another where control may part."""
        guard, opcode = instruction.guard, instruction.opcode
        around = None if guard is None else Guard(guard.register, not guard.negated)
        if opcode == "bra" and isinstance(target := instruction.operands[0], Symbol):
            self.jumps.append((self.last, target.name, guard))
        elif opcode == "brx":
            for name in self._targets(instruction):
                self.jumps.append((self.last, name, OPAQUE))
        elif opcode in ("ret", "exit"):
            self.flow.edges.append(Edge(self.last, EXIT, guard))
        elif opcode == "trap":
            pass
        elif guard is None:
            self.flow.blocks[-1].append(instruction)
            return
        else:
            before = self.last
            self.begin(guard)
            self.flow.blocks[-1].append(instruction)
            self.begin()
            self.flow.edges.append(Edge(before, self.last, around))
            return
        self.open = guard is not None
        self.begin(around)

    def _targets(self, instruction: Instruction) -> tuple[str, ...]:
        names = [operand.name for operand in instruction.operands if isinstance(operand, Symbol)]
        return tuple(target for name in names for target in self.tables.get(name, ()))

    def finish(self) -> Flow:
        """Resolve the jumps; the end of the body leaves the kernel."""
        if self.open:
            self.flow.edges.append(Edge(self.last, EXIT, None))
        for source, name, guard in self.jumps:
            self.flow.edges.append(Edge(source, self.labels.get(name, EXIT), guard))
        return self.flow


def certain_to_reach(into: list[list[Edge]], goal: frozenset[int]) -> frozenset[int]:
    """Return the blocks from which control gets to a block of ``goal``, whatever happens."""
    missing: set[int] = set()
    pending = [edge.source for edge in into[EXIT]]
    while pending:
        block = pending.pop()
        if block in missing or block in goal:
            continue
        missing.add(block)
        pending.extend(edge.source for edge in into[block])
    return frozenset(range(len(into) - 1)) - missing
