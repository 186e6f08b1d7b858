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
from typing import TYPE_CHECKING, NamedTuple

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
    from collections.abc import Callable, Mapping

    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand, Variable


class ParameterWord(NamedTuple):
    """64 bits of a kernel's parameters: position of the parameter, byte offset in it."""

    position: int
    offset: int


class VariableAddress(NamedTuple):
    """The address of a variable (or of a parameter, a function) by name."""

    name: str


class Computed(NamedTuple):
    """64 bits that an instruction loaded or that a function returned, by the register they are in."""

    register: str


Source = ParameterWord | VariableAddress | Computed

#: alignments are told as powers of two up to this exponent
MOST_ALIGNED = 7
_WORD = 1 << 64
_MOST_SOURCES = 4


class _Value(NamedTuple):
    """``sources`` with their factors plus a multiple of ``1 << power``; None: nothing is known."""

    sources: tuple[tuple[Source, int], ...] | None
    power: int


_UNKNOWN = _Value(None, 0)
_NUMBER = _Value((), 0)


@dataclass(frozen=True, slots=True)
class Origin:
    """What an address comes from, and a power of two that the number added to it is a multiple of."""

    source: Source
    alignment: int


class Provenance:
    """The answers for one function."""

    def __init__(self, values: Mapping[str, _Value]) -> None:
        self._values = values

    def origin(self, address: Address) -> Origin | None:
        """Return what an address comes from; None where that is not known or is no single source.

        The alignment counts the address's own offset too.
        """
        base = address.base
        if isinstance(base, Symbol):
            return Origin(VariableAddress(base.name), _alignment_of(base.offset + address.offset))
        if not isinstance(base, Register):
            return None
        value = self._values.get(base.name, _NUMBER)
        if not value.sources or len(value.sources) != 1 or value.sources[0][1] != 1:
            return None
        power = min(value.power, _power_of(address.offset))
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
        self.values: dict[str, _Value] = {}

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
            joined = new if old is None else _join(old, new)
            if joined != old:
                self.values[name] = joined
                changed.append(name)
        return changed

    def _result(self, instruction: Instruction, name: str) -> _Value | None:
        """Return what an instruction puts in a register; None while that is not known yet."""
        opcode = instruction.opcode
        if opcode in ("ld", "ldu", "atom", "call") or opcode not in _COMPUTE:
            return self._produced(instruction, name)
        operands = [self._read(operand) for operand in instruction.operands[1:]]
        known = [value for value in operands if value is not None]
        if len(known) != len(operands):
            return None
        if not isinstance(instruction.operands[0], Register):
            return self._opaque(name)
        return _COMPUTE[opcode](instruction, known)

    def _read(self, operand: Operand) -> _Value | None:
        match operand:
            case Immediate("int", number):
                return _Value((), _power_of(number))
            case Register(register, special):
                return _NUMBER if special else self.values.get(register)
            case Symbol(symbol, offset):
                return self._of_source(VariableAddress(symbol), _power_of(offset))
            case Vector():
                return _UNKNOWN
        return _NUMBER

    def _of_source(self, source: Source, power: int = MOST_ALIGNED) -> _Value:
        counts = self.accepted is None or isinstance(source, VariableAddress) or source in self.accepted
        return _Value(((source, 1),), power) if counts else _NUMBER

    def _opaque(self, name: str) -> _Value:
        return _UNKNOWN if TYPE_SIZES.get(self.registers.get(name, ""), 8) >= 8 else _NUMBER

    def _produced(self, instruction: Instruction, name: str) -> _Value:
        """Return the value of a register that memory, a call or an unknown instruction defines."""
        if TYPE_SIZES.get(self.registers.get(name, ""), 8) < 8:
            return _NUMBER
        if instruction.opcode not in ("ld", "ldu", "atom"):
            return _UNKNOWN
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


# --- arithmetic of values -----------------------------------------------------------------------


def _power_of(number: int) -> int:
    return MOST_ALIGNED if number == 0 else min((number & -number).bit_length() - 1, MOST_ALIGNED)


def _alignment_of(number: int) -> int:
    return 1 << _power_of(number)


def _join(one: _Value, other: _Value) -> _Value:
    power = min(one.power, other.power)
    return _Value(one.sources if one.sources == other.sources else None, power)


def _sum(one: _Value, other: _Value, factor: int = 1) -> _Value:
    power = min(one.power, min(other.power + _power_of(factor), MOST_ALIGNED))
    if one.sources is None or other.sources is None:
        return _Value(None, power)
    terms = dict(one.sources)
    for source, count in other.sources:
        terms[source] = (terms.get(source, 0) + factor * count) % _WORD
    left = tuple(sorted(((s, c) for s, c in terms.items() if c), key=repr))
    return _Value(left if len(left) <= _MOST_SOURCES else None, power)


def _product(one: _Value, other: _Value, factor: int | None) -> _Value:
    """Multiply: by a number ``factor`` if it is known. What comes of a pointer times a number is none."""
    power = min(one.power + other.power, MOST_ALIGNED)
    if factor is None or not one.sources:
        return _Value((), power)
    terms = tuple((source, count * factor % _WORD) for source, count in one.sources)
    return _Value(tuple(term for term in terms if term[1]), power)


def _constant(operand: Operand) -> int | None:
    return operand.value if isinstance(operand, Immediate) and operand.kind == "int" else None


def _is_carry(instruction: Instruction) -> bool:
    return "cc" in instruction.modifiers or instruction.opcode in ("addc", "subc", "madc")


def _pick(index: int) -> Callable[[Instruction, list[_Value]], _Value]:
    return lambda instruction, values: values[index]


def _add(instruction: Instruction, values: list[_Value]) -> _Value:
    if _is_carry(instruction):
        return _UNKNOWN if any(value.sources != () for value in values) else _NUMBER
    return _sum(values[0], values[1])


def _subtract(instruction: Instruction, values: list[_Value]) -> _Value:
    if _is_carry(instruction):
        return _UNKNOWN if any(value.sources != () for value in values) else _NUMBER
    return _sum(values[0], values[1], -1)


def _multiply(instruction: Instruction, values: list[_Value]) -> _Value:
    if "hi" in instruction.modifiers:
        return _NUMBER
    first, second = values[:2]
    left, right = instruction.operands[1:3]
    if _constant(right) is None and _constant(left) is not None:
        return _product(second, first, _constant(left))
    return _product(first, second, _constant(right))


def _multiply_add(instruction: Instruction, values: list[_Value]) -> _Value:
    if "hi" in instruction.modifiers or "cc" in instruction.modifiers:
        return _UNKNOWN
    return _sum(_multiply(instruction, values), values[2])


def _shift_left(instruction: Instruction, values: list[_Value]) -> _Value:
    by = _constant(instruction.operands[2])
    if by is None or not 0 <= by < 64:
        return _Value((), values[0].power)
    return _product(values[0], _Value((), min(by, MOST_ALIGNED)), 1 << by)


def _and(instruction: Instruction, values: list[_Value]) -> _Value:
    """Masking the low bits of a pointer leaves it a pointer; masking the high ones does not."""
    power = max(values[0].power, values[1].power)
    for value, mask in ((values[0], instruction.operands[2]), (values[1], instruction.operands[1])):
        bits = _constant(mask)
        if value.sources != () and bits is not None:
            return value if bits % _WORD >= 1 << 63 else _Value((), power)
    if any(value.sources != () for value in values):
        return _UNKNOWN
    return _Value((), power)


def _or(instruction: Instruction, values: list[_Value]) -> _Value:
    """Setting low bits adds; all else is unknown."""
    power = min(values[0].power, values[1].power)
    if values[0].sources == ():
        values = values[::-1]
    bits = _constant(instruction.operands[2])
    if values[1].sources != () or (values[0].sources != () and (bits is None or not 0 <= bits < 4096)):
        return _UNKNOWN
    return _Value(values[0].sources, power)


def _logic(instruction: Instruction, values: list[_Value]) -> _Value:
    if any(value.sources != () for value in values[:2]):
        return _UNKNOWN
    return _Value((), min(value.power for value in values[:2]))


def _choose(instruction: Instruction, values: list[_Value]) -> _Value:
    return _join(values[0], values[1])


def _negate(instruction: Instruction, values: list[_Value]) -> _Value:
    return _sum(_Value((), MOST_ALIGNED), values[0], -1)


def _invert(instruction: Instruction, values: list[_Value]) -> _Value:
    return _sum(_Value((), 0), values[0], -1)


def _convert(instruction: Instruction, values: list[_Value]) -> _Value:
    """Low bits survive conversions of integers; addresses do where none of their bits is lost."""
    kinds = [modifier for modifier in instruction.modifiers if modifier in TYPE_SIZES]
    if len(kinds) != 2 or any(kind[0] not in "usb" for kind in kinds) or "sat" in instruction.modifiers:
        return _NUMBER
    value = values[0]
    narrow = min(TYPE_SIZES[kind] for kind in kinds)
    symbols = value.sources and all(isinstance(source, VariableAddress) for source, _ in value.sources)
    if narrow == 8 or (narrow == 4 and symbols):
        return value
    return _Value((), value.power)


_COMPUTE: dict[str, Callable[[Instruction, list[_Value]], _Value]] = {
    "mov": _pick(0),
    "cvta": _pick(0),
    "add": _add,
    "addc": _add,
    "sub": _subtract,
    "subc": _subtract,
    "mul": _multiply,
    "mul24": _multiply,
    "mad": _multiply_add,
    "mad24": _multiply_add,
    "shl": _shift_left,
    "and": _and,
    "or": _or,
    "xor": _logic,
    "selp": _choose,
    "min": _choose,
    "max": _choose,
    "neg": _negate,
    "not": _invert,
    "cvt": _convert,
}
