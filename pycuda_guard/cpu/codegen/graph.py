"""Control flow of one function: basic blocks that end at branches and at suspension points."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pycuda_guard.cpu.abi import Suspension
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.cpu.codegen.operands import is_matrix_operation, is_suspension, is_volatile_shared_store
from pycuda_guard.kernels.ptx.ir import Guard, Immediate, Instruction, Label, Register, Symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand

ENTRY = "entry"


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on at ``target``."""

    target: str


@dataclass(frozen=True, slots=True)
class Branch:
    """Go on at ``taken`` where the guard holds, else at ``otherwise``."""

    guard: Guard
    taken: str
    otherwise: str


@dataclass(frozen=True, slots=True)
class Switch:
    """``brx.idx``: go on at the index'th target."""

    index: Operand
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """The thread's function ends: ``ret`` or ``exit``; ``trap`` ends the launch."""

    how: str
    instruction: Instruction | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The thread stops; it goes on at ``target`` when the scheduler lets it.

    ``instruction`` is the one with two halves, or None where ``kind`` says all (LOCKSTEP, YIELD).
    """

    target: str
    kind: Suspension
    instruction: Instruction | None = None


Terminator = Jump | Branch | Switch | Leave | Cut


@dataclass(slots=True)
class Block:
    """Instructions without a branch between them. ``resume``: the cut after which the block begins."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)
    terminator: Terminator | None = None
    resume: Cut | None = None

    def successors(self, across_cuts: bool = True) -> tuple[str, ...]:
        """Return the blocks that may run next, those after a cut only if ``across_cuts``."""
        match self.terminator:
            case Jump(target):
                return (target,)
            case Branch(_, taken, otherwise):
                return (taken, otherwise)
            case Switch(_, targets):
                return targets
            case Cut(target) if across_cuts:
                return (target,)
        return ()


@dataclass(slots=True)
class Graph:
    """Blocks by name, in the order of the text; the first one is the entry."""

    blocks: dict[str, Block]

    def reachable(self, start: str, across_cuts: bool = True) -> list[Block]:
        """Return the blocks that can run after ``start``, itself first, in the order of the text."""
        seen = {start}
        waiting = [start]
        while waiting:
            for successor in self.blocks[waiting.pop()].successors(across_cuts):
                if successor not in seen:
                    seen.add(successor)
                    waiting.append(successor)
        return [block for name, block in self.blocks.items() if name in seen]

    def predecessors(self) -> dict[str, list[str]]:
        """Return the blocks from which each block is entered."""
        found: dict[str, list[str]] = {name: [] for name in self.blocks}
        for name, block in self.blocks.items():
            for successor in block.successors():
                found[successor].append(name)
        return found

    def cuts(self) -> Iterator[tuple[Block, Cut]]:
        """Yield every block that ends in a cut."""
        for block in self.blocks.values():
            if isinstance(block.terminator, Cut):
                yield block, block.terminator

    def instructions(self) -> Iterator[Instruction]:
        """Yield every instruction, those with two halves included."""
        for block in self.blocks.values():
            yield from block.instructions
            if isinstance(block.terminator, Cut) and block.terminator.instruction is not None:
                yield block.terminator.instruction


def build(flat: FlatFunction, stops: Mapping[str, Suspension] | None = None) -> Graph:
    """Return the graph of a function, unreachable blocks left out.

    Threads also stop at the labels ``stops``, for the reason given there.
    """
    builder = _Builder(flat, stops or {})
    for statement in flat.body:
        builder.add(statement)
    graph = Graph(builder.finish())
    return Graph({block.name: block for block in graph.reachable(ENTRY)})


class _Builder:
    def __init__(self, flat: FlatFunction, stops: Mapping[str, Suspension]) -> None:
        self.flat = flat
        self.stops = stops
        self.blocks: dict[str, Block] = {}
        self.current = self._open(ENTRY)
        self.count = 0

    def add(self, statement: Instruction | Label) -> None:
        if isinstance(statement, Label):
            self._go_on(statement.name)
            if statement.name in self.stops:
                self._cut(self.stops[statement.name], None)
        elif statement.opcode in _LEAVING:
            self._leave(statement)
        elif statement.opcode == "bra":
            self._branch(statement)
        elif statement.opcode == "brx":
            self._switch(statement)
        elif is_matrix_operation(statement):
            self._guarded(statement, lambda: self._cut_twice(statement))
        elif is_suspension(statement):
            self._guarded(statement, lambda: self._cut(Suspension.NONE, statement))
        elif is_volatile_shared_store(statement):
            # threads of a warp that talk through volatile shared memory without __syncwarp expect
            # each store to be done by all of them before any goes on
            self._cut(Suspension.LOCKSTEP, None)
            self.current.instructions.append(statement)
            self._cut(Suspension.LOCKSTEP, None)
        else:
            self.current.instructions.append(statement)

    def finish(self) -> dict[str, Block]:
        if self.current.terminator is None:
            self.current.terminator = Leave("ret")
        return self.blocks

    def _open(self, name: str) -> Block:
        block = self.blocks[name] = Block(name)
        return block

    def _fresh(self) -> str:
        self.count += 1
        return f"{ENTRY}.{self.count}"

    def _go_on(self, name: str) -> None:
        """Begin a block that is entered from the current one."""
        if self.current.terminator is None:
            self.current.terminator = Jump(name)
        self.current = self._open(name)

    def _cut(self, kind: Suspension, instruction: Instruction | None) -> None:
        cut = Cut(self._fresh(), kind, instruction)
        self.current.terminator = cut
        self.current = self._open(cut.target)
        self.current.resume = cut

    def _cut_twice(self, instruction: Instruction) -> None:
        """Cut at an instruction, and again after it: all lanes have read what was lent before any goes on."""
        self._cut(Suspension.NONE, instruction)
        everybody = (Immediate("int", 0xFFFF_FFFF),)
        self._cut(
            Suspension.NONE,
            replace(instruction, opcode="bar", modifiers=("warp", "sync"), operands=everybody),
        )

    def _guarded(self, instruction: Instruction, emit: Callable[[], None]) -> None:
        """Emit something that only threads whose guard holds do."""
        if instruction.guard is None:
            emit()
            return
        inside, after = self._fresh(), self._fresh()
        self.current.terminator = Branch(instruction.guard, inside, after)
        self.current = self._open(inside)
        emit()
        self._go_on(after)

    def _branch(self, instruction: Instruction) -> None:
        target = instruction.operands[0]
        if not isinstance(target, Symbol):
            raise Unsupported("branch to something that is no label", instruction)
        if instruction.guard is None:
            self.current.terminator = Jump(target.name)
            self.current = self._open(self._fresh())
            return
        after = self._fresh()
        self.current.terminator = Branch(instruction.guard, target.name, after)
        self.current = self._open(after)

    def _switch(self, instruction: Instruction) -> None:
        index, table = instruction.operands[:2]
        targets = self.flat.tables.get(table.name) if isinstance(table, Register | Symbol) else None
        if not targets:
            raise Unsupported("branch through an unknown table", instruction)

        def emit() -> None:
            self.current.terminator = Switch(index, targets)
            self.current = self._open(self._fresh())

        self._guarded(instruction, emit)

    def _leave(self, instruction: Instruction) -> None:
        def emit() -> None:
            self.current.terminator = Leave(instruction.opcode, instruction)
            self.current = self._open(self._fresh())

        self._guarded(instruction, emit)


_LEAVING = frozenset({"ret", "exit", "trap"})


def loop_headers(graph: Graph) -> dict[str, set[str]]:
    """Return the header of each loop that has no cut inside, with the blocks of its body.

    Headers are the targets of back edges of a depth-first search that does not cross cuts; a loop in which
    threads stop anyhow is none.
    """
    starts = [ENTRY, *(cut.target for _, cut in graph.cuts())]
    back: dict[str, list[str]] = {}
    state: dict[str, bool] = {}  # present: seen; True: on the path
    for start in starts:
        if start in state:
            continue
        state[start] = True
        path = [(start, iter(graph.blocks[start].successors(across_cuts=False)))]
        while path:
            name, successors = path[-1]
            successor = next(successors, None)
            if successor is None:
                state[name] = False
                path.pop()
            elif successor not in state:
                state[successor] = True
                path.append((successor, iter(graph.blocks[successor].successors(across_cuts=False))))
            elif state[successor]:
                back.setdefault(successor, []).append(name)
    predecessors: dict[str, list[str]] = {name: [] for name in graph.blocks}
    for name, block in graph.blocks.items():
        for successor in block.successors(across_cuts=False):
            predecessors[successor].append(name)
    return {header: _loop_body(header, latches, predecessors) for header, latches in back.items()}


def _loop_body(header: str, latches: list[str], predecessors: dict[str, list[str]]) -> set[str]:
    body = {header}
    waiting = [latch for latch in latches if latch != header]
    while waiting:
        name = waiting.pop()
        if name not in body:
            body.add(name)
            waiting.extend(predecessors[name])
    return body


def dominators(graph: Graph) -> dict[str, int]:
    """Return, for each block, the blocks that every path to it passes, as a bit set over their order."""
    order = list(graph.blocks)
    position = {name: index for index, name in enumerate(order)}
    everything = (1 << len(order)) - 1
    predecessors = graph.predecessors()
    found = dict.fromkeys(order, everything)
    found[ENTRY] = 1
    changed = True
    while changed:
        changed = False
        for name in order[1:]:
            common = everything
            for predecessor in predecessors[name]:
                common &= found[predecessor]
            common |= 1 << position[name]
            if common != found[name]:
                found[name] = common
                changed = True
    return found
