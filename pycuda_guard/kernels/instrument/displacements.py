"""How the addresses of a basic block are made: a root plus a number, or another address plus steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.analysis.sources import ParameterWord
from pycuda_guard.kernels.ptx.ir import Address, Immediate, Instruction, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction

_WORDS = frozenset({"u64", "s64", "b64"})
_WIDENING = frozenset({"s32", "u32", "s16", "u16"})
#: steps are below ``1 << 44`` then: a few of them don't go around all addresses
_MOST_FACTOR = 4096


class Step(NamedTuple):
    """An address is ``first`` plus ``times`` times ``step``, all by the names of registers."""

    first: str
    step: str
    times: int


class Displacements:
    """What is known of the registers of a block, at the place that has been come to.

    The instructions of a block are told one by one with :meth:`note`.
    """

    def __init__(self, flat: FlatFunction) -> None:
        self._roots: dict[str, ParameterWord] = {}
        self._narrow: set[str] = set()
        self._sums: dict[str, tuple[ParameterWord, str]] = {}
        self._steps: dict[str, Step] = {}
        self._find_constants(flat)

    def clear(self) -> None:
        """Forget all: another block begins."""
        self._sums.clear()
        self._steps.clear()

    def sum_of(self, base: Register) -> tuple[ParameterWord, str] | None:
        """Return the root and the register whose sum an address is, or None."""
        return self._sums.get(base.name)

    def step_of(self, base: Register) -> Step:
        """Return what an address is made of; at least itself."""
        return self._steps.get(base.name) or Step(base.name, "", 0)

    def copy(self, register: str, original: str) -> None:
        """Say that a register has what another has wherever that is known for good."""
        if original in self._roots:
            self._roots[register] = self._roots[original]
        if original in self._narrow:
            self._narrow.add(register)

    def note(self, instruction: Instruction) -> None:
        """Take in an instruction that has been emitted."""
        written = definitions(instruction)
        before = self._sum(instruction, written)
        stepped = self._stepped(instruction, written)
        for name in written:
            for table in (self._sums, self._steps):
                stale = [key for key, value in table.items() if key == name or name in value]
                for key in stale:
                    del table[key]
        if before is not None:
            self._sums[written[0]] = before
        if stepped is not None:
            self._steps[written[0]] = stepped

    # -- inside ---------------------------------------------------------------------------------

    def _find_constants(self, flat: FlatFunction) -> None:
        """Find the registers that are a root all the time, and numbers of 64 bits that are small."""
        if not flat.function.entry:
            return
        parameters = {variable.name: index for index, variable in enumerate(flat.function.parameters)}
        instructions = [entry for entry in flat.body if isinstance(entry, Instruction)]
        written: dict[str, int] = {}
        for instruction in instructions:
            for name in definitions(instruction):
                written[name] = written.get(name, 0) + 1
        for instruction in instructions:
            names = definitions(instruction)
            if len(names) != 1 or written[names[0]] != 1 or instruction.guard is not None:
                continue
            word = self._root(instruction, parameters)
            if word is not None:
                self._roots[names[0]] = word
            if self._is_narrow(instruction):
                self._narrow.add(names[0])

    def _root(self, instruction: Instruction, parameters: dict[str, int]) -> ParameterWord | None:
        """Return the root that an instruction loads or copies, if it does."""
        source = instruction.operands[1] if len(instruction.operands) == 2 else None
        if instruction.opcode in ("mov", "cvta") and isinstance(source, Register):
            return self._roots.get(source.name)
        if instruction.opcode != "ld" or "param" not in instruction.modifiers:
            return None
        if instruction.modifiers[-1] not in _WORDS or not isinstance(source, Address):
            return None
        if not isinstance(source.base, Symbol) or source.base.name not in parameters:
            return None
        return ParameterWord(parameters[source.base.name], source.base.offset + source.offset)

    def _is_narrow(self, instruction: Instruction) -> bool:
        kinds = instruction.modifiers
        if instruction.opcode == "mul" and "wide" in kinds:
            return any(
                isinstance(operand, Immediate) and abs(operand.value) <= _MOST_FACTOR
                for operand in instruction.operands
            )
        return instruction.opcode == "cvt" and kinds[-1] in _WIDENING

    def _sum(self, instruction: Instruction, written: tuple[str, ...]) -> tuple[ParameterWord, str] | None:
        for one, other in self._added(instruction, written):
            if one in self._roots:
                return self._roots[one], other
        return None

    def _stepped(self, instruction: Instruction, written: tuple[str, ...]) -> Step | None:
        for one, other in self._added(instruction, written):
            if other in self._narrow:
                before = self._steps.get(one)
                if before is not None and before.step == other:
                    return before._replace(times=before.times + 1)
                return Step(one, other, 1)
        return None

    def _added(self, instruction: Instruction, written: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return the registers that an instruction adds, either way round; none if it does not."""
        if instruction.opcode != "add" or instruction.guard is not None:
            return []
        if len(instruction.modifiers) != 1 or instruction.modifiers[0] not in _WORDS:
            return []
        one, other = instruction.operands[1:3]
        if not isinstance(one, Register) or not isinstance(other, Register):
            return []
        if {one.name, other.name} & {*written}:
            return []
        return [(one.name, other.name), (other.name, one.name)]
