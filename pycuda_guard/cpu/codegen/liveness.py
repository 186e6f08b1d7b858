"""Which registers are still needed at the start of each block."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.graph import Branch, Cut, Switch
from pycuda_guard.cpu.codegen.operands import reads, reads_after_cut, writes
from pycuda_guard.kernels.ptx.ir import Register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycuda_guard.cpu.codegen.graph import Block, Graph
    from pycuda_guard.kernels.ptx.ir import Instruction


class Liveness:
    """Live registers of a function, by backward data flow.

    ``others`` gives the registers that an instruction reads besides those it names.
    """

    def __init__(self, graph: Graph, others: Callable[[Instruction], Iterable[str]]) -> None:
        self._others = others
        self._number: dict[str, int] = {}
        self._names: list[str] = []
        used = {}
        killed = {}
        for block in graph.blocks.values():
            used[block.name], killed[block.name] = self._summary(block)
        self._live = dict(used)
        predecessors = graph.predecessors()
        waiting = dict.fromkeys(reversed(graph.blocks))
        while waiting:
            name = next(iter(waiting))
            del waiting[name]
            after = 0
            for successor in graph.blocks[name].successors():
                after |= self._live[successor]
            live = used[name] | after & ~killed[name]
            if live != self._live[name]:
                self._live[name] = live
                waiting.update(dict.fromkeys(predecessors[name]))

    def live(self, block: str) -> list[str]:
        """Return the registers that are needed at the start of a block, or after it."""
        found = []
        bits = self._live[block]  # few of many
        while bits:
            lowest = bits & -bits
            found.append(self._names[lowest.bit_length() - 1])
            bits ^= lowest
        return found

    def _summary(self, block: Block) -> tuple[int, int]:
        """Return the registers read before they are written in a block, and those surely written."""
        used = killed = 0
        if block.resume is not None and block.resume.instruction is not None:
            instruction = block.resume.instruction
            used = self._bits(reads_after_cut(instruction))
            killed = self._bits(writes(instruction))
        for instruction in block.instructions:
            used |= self._bits([*reads(instruction), *self._others(instruction)]) & ~killed
            if instruction.guard is None:
                killed |= self._bits(writes(instruction))
        return used | self._bits(_end_reads(block)) & ~killed, killed

    def _bits(self, names: Iterable[str]) -> int:
        bits = 0
        for name in names:
            number = self._number.get(name)
            if number is None:
                number = self._number[name] = len(self._names)
                self._names.append(name)
            bits |= 1 << number
        return bits


def _end_reads(block: Block) -> Iterable[str]:
    match block.terminator:
        case Branch(guard):
            return (guard.register,)
        case Switch(Register(name, False)):
            return (name,)
        case Cut(_, _, instruction) if instruction is not None:
            # the guard has been tested on the way to the cut
            return reads(replace(instruction, guard=None))
    return ()
