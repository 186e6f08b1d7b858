"""Where registers get their values: which have one definition, and what comes before what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.graph import dominators
from pycuda_guard.cpu.codegen.operands import reads, writes
from pycuda_guard.kernels.ptx import opcodes
from pycuda_guard.kernels.ptx.ir import Address, Symbol

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.graph import Graph
    from pycuda_guard.kernels.ptx.ir import Instruction

#: opcodes whose result depends on their operands alone and is cheap to compute again
_CHEAP = frozenset(
    {"mov", "cvta", "cvt", "setp", "selp", "add", "sub", "mul", "mad", "fma", "min", "max", "abs", "neg"}
    | {"and", "or", "xor", "not", "shl", "shr", "shf", "bfe", "prmt", "lop3"}
)
_CHANGING = ("clock", "globaltimer", "pm", "warpid", "smid")


@dataclass(frozen=True, slots=True)
class Definition:
    """The only instruction that writes a register: ``index`` is its place in ``block``."""

    instruction: Instruction
    block: str
    index: int
    number: int  # in the order of the text


class Definitions:
    """The registers of a function that are written by one unguarded instruction.

    Where such a definition dominates a use, and those of its operands dominate it, the operands still have
    at the use the values they had at the definition: so its value can be computed again from them.
    """

    def __init__(self, graph: Graph, parameters: frozenset[str]) -> None:
        self.graph = graph
        self.parameters = parameters  # of a kernel: what ld.param reads without change
        self._dominators = dominators(graph)
        self._position = {name: index for index, name in enumerate(graph.blocks)}
        count: Counter[str] = Counter()
        found: dict[str, Definition] = {}
        #: of each register all instructions that write it; None for one that does so after a suspension
        self.every: dict[str, list[Instruction | None]] = {}
        number = 0
        for block in graph.blocks.values():
            if block.resume is not None and block.resume.instruction is not None:
                for name in writes(block.resume.instruction):
                    count[name] += 2
                    self.every.setdefault(name, []).append(None)
            for index, instruction in enumerate(block.instructions):
                number += 1
                for name in writes(instruction):
                    count[name] += 2 if instruction.guard else 1
                    found[name] = Definition(instruction, block.name, index, number)
                    self.every.setdefault(name, []).append(instruction)
        self.single = {name: found[name] for name, times in count.items() if times == 1}
        self._pure: dict[str, bool] = {}

    def dominates(self, name: str, block: str) -> bool:
        """Whether every path to the start of ``block`` passes the definition of a single register."""
        definition = self.single[name]
        return definition.block != block and bool(
            self._dominators[block] >> self._position[definition.block] & 1
        )

    def precedes(self, name: str, later: Definition) -> bool:
        """Whether the definition of a single register dominates another definition."""
        definition = self.single[name]
        if definition.block == later.block:
            return definition.index < later.index
        return self.dominates(name, later.block)

    def is_pure(self, name: str) -> bool:
        """Whether a register can be computed again, anywhere its definition dominates, from constants,
        kernel parameters and special registers alone."""
        known = self._pure.get(name)
        if known is None:
            self._pure[name] = False  # while it is looked at: a cycle is not pure
            known = self._pure[name] = self._find_pure(name)
        return known

    def closure(self, names: set[str]) -> list[str]:
        """Return the pure registers that these pure ones are computed from, with themselves, in order."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(reads(self.single[name].instruction))
        return sorted(found, key=lambda name: self.single[name].number)

    def _find_pure(self, name: str) -> bool:
        definition = self.single.get(name)
        if definition is None:
            return False
        instruction = definition.instruction
        if not self.is_cheap(instruction) or len(writes(instruction)) != 1:
            return False
        return all(
            self.is_pure(source) and self.precedes(source, definition) for source in reads(instruction)
        )

    def is_cheap(self, instruction: Instruction) -> bool:
        """Whether an instruction computes a value from its operands alone, in little time."""
        if instruction.guard is not None:
            return False
        if instruction.opcode == "ld":
            return _parameter(instruction) in self.parameters
        if instruction.opcode not in _CHEAP or "cc" in instruction.modifiers:
            return False
        return not any(
            register.special and register.name.lstrip("%").startswith(_CHANGING)
            for register in opcodes.uses(instruction)
        )


def _parameter(instruction: Instruction) -> str:
    """Return the name of the parameter that ``ld.param`` reads, or an empty string."""
    address = instruction.operands[1]
    if "param" in instruction.modifiers and isinstance(address, Address) and isinstance(address.base, Symbol):
        return address.base.name
    return ""
