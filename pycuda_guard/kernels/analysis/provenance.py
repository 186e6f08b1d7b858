"""Where addresses come from: which parameter, variable or loaded value each register is derived from.

A must-analysis over one function, without control flow. The value of a register is a sum of *sources*
(a word of the parameters, the address of a variable, a value that was loaded or returned), each with a
factor, plus a number of which only the alignment is known. Where definitions of a register disagree,
nothing is known of it. So ``q - p + p`` comes from ``q``, and a pointer that is one of two parameters
comes from neither.

A word of the parameters may be a pointer or a number. It counts as a pointer where the PTX says so
(``.ptr``, ``cvta``) or where memory is accessed at it plus numbers; all others are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.sources import (
    COMPUTE,
    MOST_ALIGNED,
    NUMBER,
    UNKNOWN,
    Computed,
    ParameterWord,
    Value,
    VariableAddress,
    joined,
    power_of,
)
from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Address,
    Immediate,
    Instruction,
    Register,
    Symbol,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import definitions, uses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycuda_guard.kernels.analysis.sources import Source
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand, Variable


@dataclass(frozen=True, slots=True)
class Origin:
    """What an address comes from, and a power of two that the number added to it is a multiple of."""

    source: Source
    alignment: int


class Provenance:
    """The answers for one function."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def origin(self, address: Address) -> Origin | None:
        """Return what an address comes from; None where that is not known or is no single source.

        The alignment counts the address's own offset too.
        """
        base = address.base
        if isinstance(base, Symbol):
            return Origin(VariableAddress(base.name), 1 << power_of(base.offset + address.offset))
        if not isinstance(base, Register):
            return None
        value = self._values.get(base.name, NUMBER)
        if not value.sources or len(value.sources) != 1 or value.sources[0][1] != 1:
            return None
        power = min(value.power, power_of(address.offset))
        return Origin(value.sources[0][0], 1 << power)


def find_provenance(flat: FlatFunction) -> Provenance:
    """Analyse a function. Takes time about linear in its length."""
    instructions = [entry for entry in flat.body if isinstance(entry, Instruction)]
    parameters = {variable.name: (index, variable) for index, variable in enumerate(flat.function.parameters)}
    declared = {
        ParameterWord(index, 0)
        for index, variable in parameters.values()
        if variable.pointer is not None and not variable.dims
    }
    guess = _Analysis(flat, instructions, parameters, None)
    guess.run()
    analysis = _Analysis(flat, instructions, parameters, declared | guess.pointers())
    analysis.run()
    return Provenance(analysis.values)


class _Analysis:
    """One run over a function. ``pointers``: sources that count; None counts all."""

    def __init__(
        self,
        flat: FlatFunction,
        instructions: list[Instruction],
        parameters: Mapping[str, tuple[int, Variable]],
        pointers: set[Source] | None,
    ) -> None:
        self.entry = flat.function.entry
        self.registers = flat.registers
        self.instructions = instructions
        self.parameters = parameters
        self.accepted = pointers
        self.values: dict[str, Value] = {}

    def run(self) -> None:
        """Find the values of all registers."""
        readers: dict[str, list[int]] = {}
        for index, instruction in enumerate(self.instructions):
            for register in uses(instruction):
                readers.setdefault(register.name, []).append(index)
        waiting = list(range(len(self.instructions) - 1, -1, -1))
        queued = [True] * len(self.instructions)
        while waiting:
            index = waiting.pop()
            queued[index] = False
            for name in self._evaluate(self.instructions[index]):
                for reader in readers.get(name, ()):
                    if not queued[reader]:
                        queued[reader] = True
                        waiting.append(reader)

    def pointers(self) -> set[Source]:
        """Return the sources that are used as pointers: converted, or accessed at plus numbers."""
        found: set[Source] = set()
        for instruction in self.instructions:
            bases: list[Operand] = []
            if instruction.opcode == "cvta":
                bases = list(instruction.operands[1:])
            else:
                bases = [operand.base for operand in instruction.operands if isinstance(operand, Address)]
            for base in bases:
                value = self.values.get(base.name) if isinstance(base, Register) else None
                if value and value.sources and len(value.sources) == 1 and value.sources[0][1] == 1:
                    found.add(value.sources[0][0])
        return found

    def _evaluate(self, instruction: Instruction) -> list[str]:
        """Take in the definitions of an instruction; return the registers whose value changed."""
        changed = []
        for name in definitions(instruction):
            new = self._result(instruction, name)
            if new is None:
                continue
            old = self.values.get(name)
            value = new if old is None else joined(old, new)
            if value != old:
                self.values[name] = value
                changed.append(name)
        return changed

    def _result(self, instruction: Instruction, name: str) -> Value | None:
        """Return what an instruction puts in a register; None while that is not known yet."""
        opcode = instruction.opcode
        if opcode in ("ld", "ldu", "atom", "call") or opcode not in COMPUTE:
            return self._produced(instruction, name)
        operands = [self._read(operand) for operand in instruction.operands[1:]]
        known = [value for value in operands if value is not None]
        if len(known) != len(operands):
            return None
        if not isinstance(instruction.operands[0], Register):
            return self._opaque(name)
        return COMPUTE[opcode](instruction, known)

    def _read(self, operand: Operand) -> Value | None:
        match operand:
            case Immediate("int", number):
                return Value((), power_of(number))
            case Register(register, special):
                return NUMBER if special else self.values.get(register)
            case Symbol(symbol, offset):
                return self._of_source(VariableAddress(symbol), power_of(offset))
            case Vector():
                return UNKNOWN
        return NUMBER

    def _of_source(self, source: Source, power: int = MOST_ALIGNED) -> Value:
        counts = self.accepted is None or isinstance(source, VariableAddress) or source in self.accepted
        return Value(((source, 1),), power) if counts else NUMBER

    def _opaque(self, name: str) -> Value:
        return UNKNOWN if TYPE_SIZES.get(self.registers.get(name, ""), 8) >= 8 else NUMBER

    def _produced(self, instruction: Instruction, name: str) -> Value:
        """Return the value of a register that memory, a call or an unknown instruction defines."""
        if TYPE_SIZES.get(self.registers.get(name, ""), 8) < 8:
            return NUMBER
        if instruction.opcode not in ("ld", "ldu", "atom"):
            return UNKNOWN
        word = self._parameter_word(instruction, name)
        return self._of_source(word or Computed(name))

    def _parameter_word(self, instruction: Instruction, name: str) -> ParameterWord | None:
        """Return the word of the kernel's parameters that a load puts in a register."""
        if not self.entry or "param" not in instruction.modifiers or len(instruction.operands) < 2:
            return None
        if TYPE_SIZES.get(instruction.modifiers[-1]) != 8:
            return None
        target, address = instruction.operands[:2]
        if not isinstance(address, Address) or not isinstance(address.base, Symbol):
            return None
        known = self.parameters.get(address.base.name)
        if known is None:
            return None
        offset = address.base.offset + address.offset
        if isinstance(target, Vector):
            offset += 8 * [getattr(element, "name", "") for element in target.elements].index(name)
        inside = offset >= 0 and offset + 8 <= known[1].size and offset % 8 == 0
        return ParameterWord(known[0], offset) if inside else None
