"""What an address is made of: sources, each with a factor, plus a number of known alignment.

A source is a word of the parameters, the address of a variable, or a value that was loaded or returned. The
arithmetic is that of 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Immediate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


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


class Value(NamedTuple):
    """``sources`` with their factors plus a multiple of ``1 << power``; None: nothing is known."""

    sources: tuple[tuple[Source, int], ...] | None
    power: int


UNKNOWN = Value(None, 0)
NUMBER = Value((), 0)  #: any number, and no address


def power_of(number: int) -> int:
    """Return the exponent of the largest power of two, up to :data:`MOST_ALIGNED`, that divides a number."""
    return MOST_ALIGNED if number == 0 else min((number & -number).bit_length() - 1, MOST_ALIGNED)


def joined(one: Value, other: Value) -> Value:
    """Return what is known of a register that has the one value or the other."""
    power = min(one.power, other.power)
    return Value(one.sources if one.sources == other.sources else None, power)


def _sum(one: Value, other: Value, factor: int = 1) -> Value:
    power = min(one.power, min(other.power + power_of(factor), MOST_ALIGNED))
    if one.sources is None or other.sources is None:
        return Value(None, power)
    terms = dict(one.sources)
    for source, count in other.sources:
        terms[source] = (terms.get(source, 0) + factor * count) % _WORD
    left = tuple(sorted(((s, c) for s, c in terms.items() if c), key=repr))
    return Value(left if len(left) <= _MOST_SOURCES else None, power)


def _product(one: Value, other: Value, factor: int | None) -> Value:
    """Multiply: by a number ``factor`` if it is known. What comes of a pointer times a number is none."""
    power = min(one.power + other.power, MOST_ALIGNED)
    if factor is None or not one.sources:
        return Value((), power)
    terms = tuple((source, count * factor % _WORD) for source, count in one.sources)
    return Value(tuple(term for term in terms if term[1]), power)


def _constant(operand: Operand) -> int | None:
    return operand.value if isinstance(operand, Immediate) and operand.kind == "int" else None


def _is_carry(instruction: Instruction) -> bool:
    return "cc" in instruction.modifiers or instruction.opcode in ("addc", "subc", "madc")


def _pick(index: int) -> Callable[[Instruction, list[Value]], Value]:
    return lambda instruction, values: values[index]


def _add(instruction: Instruction, values: list[Value]) -> Value:
    if _is_carry(instruction):
        return UNKNOWN if any(value.sources != () for value in values) else NUMBER
    return _sum(values[0], values[1])


def _subtract(instruction: Instruction, values: list[Value]) -> Value:
    if _is_carry(instruction):
        return UNKNOWN if any(value.sources != () for value in values) else NUMBER
    return _sum(values[0], values[1], -1)


def _multiply(instruction: Instruction, values: list[Value]) -> Value:
    if "hi" in instruction.modifiers:
        return NUMBER
    first, second = values[:2]
    left, right = instruction.operands[1:3]
    if _constant(right) is None and _constant(left) is not None:
        return _product(second, first, _constant(left))
    return _product(first, second, _constant(right))


def _multiply_add(instruction: Instruction, values: list[Value]) -> Value:
    if "hi" in instruction.modifiers or "cc" in instruction.modifiers:
        return UNKNOWN
    return _sum(_multiply(instruction, values), values[2])


def _shift_left(instruction: Instruction, values: list[Value]) -> Value:
    by = _constant(instruction.operands[2])
    if by is None or not 0 <= by < 64:
        return Value((), values[0].power)
    return _product(values[0], Value((), min(by, MOST_ALIGNED)), 1 << by)


def _and(instruction: Instruction, values: list[Value]) -> Value:
    """Masking the low bits of a pointer leaves it a pointer; masking the high ones does not."""
    power = max(values[0].power, values[1].power)
    for value, mask in ((values[0], instruction.operands[2]), (values[1], instruction.operands[1])):
        bits = _constant(mask)
        if value.sources != () and bits is not None:
            return value if bits % _WORD >= 1 << 63 else Value((), power)
    if any(value.sources != () for value in values):
        return UNKNOWN
    return Value((), power)


def _or(instruction: Instruction, values: list[Value]) -> Value:
    """Setting low bits adds; all else is unknown."""
    power = min(values[0].power, values[1].power)
    if values[0].sources == ():
        values = values[::-1]
    bits = _constant(instruction.operands[2])
    if values[1].sources != () or (values[0].sources != () and (bits is None or not 0 <= bits < 4096)):
        return UNKNOWN
    return Value(values[0].sources, power)


def _logic(instruction: Instruction, values: list[Value]) -> Value:
    if any(value.sources != () for value in values[:2]):
        return UNKNOWN
    return Value((), min(value.power for value in values[:2]))


def _choose(instruction: Instruction, values: list[Value]) -> Value:
    return joined(values[0], values[1])


def _negate(instruction: Instruction, values: list[Value]) -> Value:
    return _sum(Value((), MOST_ALIGNED), values[0], -1)


def _invert(instruction: Instruction, values: list[Value]) -> Value:
    return _sum(Value((), 0), values[0], -1)


def _convert(instruction: Instruction, values: list[Value]) -> Value:
    """Low bits survive conversions of integers; addresses do where none of their bits is lost."""
    kinds = [modifier for modifier in instruction.modifiers if modifier in TYPE_SIZES]
    if len(kinds) != 2 or any(kind[0] not in "usb" for kind in kinds) or "sat" in instruction.modifiers:
        return NUMBER
    value = values[0]
    narrow = min(TYPE_SIZES[kind] for kind in kinds)
    symbols = value.sources and all(isinstance(source, VariableAddress) for source, _ in value.sources)
    if narrow == 8 or (narrow == 4 and symbols):
        return value
    return Value((), value.power)


#: by opcode; each takes the instruction and the values of its sources
COMPUTE: dict[str, Callable[[Instruction, list[Value]], Value]] = {
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
