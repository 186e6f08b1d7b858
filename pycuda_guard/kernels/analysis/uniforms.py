"""The numbers of a launch that its kernel computes from the arguments, as the device would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.formulas import FIRST_UNIFORM
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycuda_guard.events.formulas import Polynomial, Uniform


def evaluate(polynomial: Polynomial, numbers: dict[int, int]) -> int | None:
    """Return the value of a polynomial; None where a symbol has no number."""
    total = 0
    for factor, symbols in polynomial.terms:
        for name in symbols:
            if name not in numbers:
                return None
            factor *= numbers[name]
        total += factor
    return total


def add_uniforms(uniforms: Iterable[Uniform], numbers: dict[int, int]) -> None:
    """Add to ``numbers`` those of the uniforms that can be computed from it."""
    for position, uniform in enumerate(uniforms):
        operands = [evaluate(operand, numbers) for operand in uniform.operands]
        known = [_wrapped(operand, uniform.kind) for operand in operands if operand is not None]
        if len(known) == len(operands):
            value = _OPERATIONS[uniform.operation](known, uniform.kind)
            if value is not None:
                numbers[FIRST_UNIFORM + position] = _wrapped(value, uniform.kind)


def _bits(kind: str) -> int:
    return 8 * TYPE_SIZES[kind]


def _wrapped(value: int, kind: str) -> int:
    """Return a number as an integer type holds it."""
    bits = _bits(kind)
    value &= (1 << bits) - 1
    return value - (1 << bits) if kind[0] == "s" and value >> (bits - 1) else value


def _quotient(values: list[int], kind: str) -> int | None:
    left, right = values
    if right == 0:
        return None
    return abs(left) // abs(right) * (-1 if (left < 0) != (right < 0) else 1)


def _remainder(values: list[int], kind: str) -> int | None:
    quotient = _quotient(values, kind)
    return None if quotient is None else values[0] - quotient * values[1]


def _shift_left(values: list[int], kind: str) -> int | None:
    # the distance is unsigned, and what is shifted beyond the type is gone
    return values[0] << values[1] if 0 <= values[1] < _bits(kind) else 0


def _shift_right(values: list[int], kind: str) -> int | None:
    return values[0] >> min(values[1] if values[1] >= 0 else _bits(kind), _bits(kind))


_OPERATIONS: dict[str, Callable[[list[int], str], int | None]] = {
    "shl": _shift_left,
    "shr": _shift_right,
    "and": lambda values, kind: values[0] & values[1],
    "or": lambda values, kind: values[0] | values[1],
    "xor": lambda values, kind: values[0] ^ values[1],
    "not": lambda values, kind: ~values[0],
    "div": _quotient,
    "rem": _remainder,
    "min": lambda values, kind: min(values),
    "max": lambda values, kind: max(values),
    "mul.hi": lambda values, kind: (values[0] * values[1]) >> _bits(kind),
    "abs": lambda values, kind: abs(values[0]),
}

#: the instructions on integers that can be computed, by opcode and modifiers
OPERATIONS = frozenset(_OPERATIONS)
