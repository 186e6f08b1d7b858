"""What the registers of a kernel hold, as formulas of its arguments and the thread's indices.

A register that is written in one place only holds the same formula wherever it is read. Integers
count as those of mathematics: the index arithmetic of a right program does not wrap around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.formulas import (
    BLOCK_DIMS,
    BLOCKS,
    FIRST_UNIFORM,
    GRID_DIMS,
    THREADS,
    Polynomial,
    Uniform,
)
from pycuda_guard.kernels.analysis.polynomials import (
    as_constant,
    constant,
    is_simple,
    is_uniform,
    plus,
    scaled,
    symbol,
    times,
)
from pycuda_guard.kernels.analysis.uniforms import OPERATIONS
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Address, Immediate, Instruction, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.events.formulas import Condition
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand

_MAX_WAYS = 6  # of a condition to hold, or to fail
_MAX_CONDITIONS = 12  # that hold together

_AXES = ("x", "y", "z")
_SPECIAL = {
    f"%{name}.{axis}": found
    for name, numbers in (("ntid", BLOCK_DIMS), ("nctaid", GRID_DIMS), ("tid", THREADS), ("ctaid", BLOCKS))
    for axis, found in zip(_AXES, numbers, strict=True)
}

Ways = tuple[tuple["Condition", ...], ...]  #: all conditions of one of these


class Truth(NamedTuple):
    """A predicate, or the number 1 or 0 made of one: the ways in which it holds, and in which it fails."""

    holds: Ways
    fails: Ways


Value = Polynomial | Truth | None  #: None is unknown


def both(left: Ways, right: Ways) -> Ways | None:
    """Return the ways in which two things hold at once; None where there are too many."""
    joined = tuple(tuple(dict.fromkeys(one + other)) for one in left for other in right)
    fit = len(joined) <= _MAX_WAYS and all(len(way) <= _MAX_CONDITIONS for way in joined)
    return joined if fit else None


def either(left: Ways, right: Ways) -> Ways | None:
    """Return the ways in which one of two things holds; None where there are too many."""
    joined = tuple(dict.fromkeys(left + right))
    return joined if len(joined) <= _MAX_WAYS else None


class Values:
    """The formulas of a function's registers, as far as they are known; ``uniforms`` go with them."""

    def __init__(self, function: FlatFunction) -> None:
        self.uniforms: dict[Uniform, int] = {}
        self._values: dict[str, Value] = {}
        self._parameters = {
            parameter.name: (position, parameter.type)
            for position, parameter in enumerate(function.function.parameters)
            if not parameter.dims and parameter.vector == 1
        }
        written: dict[str, int] = {}
        instructions = [entry for entry in function.body if isinstance(entry, Instruction)]
        for instruction in instructions:
            for name in definitions(instruction):
                written[name] = written.get(name, 0) + (1 if instruction.guard is None else 2)
        for instruction in instructions:
            names = definitions(instruction)
            if len(names) == 1 and written[names[0]] == 1:
                self._values[names[0]] = self._compute(instruction)

    def read(self, operand: Operand) -> Value:
        """Return the value of an operand."""
        if isinstance(operand, Immediate):
            return constant(operand.value) if operand.kind == "int" else None
        if isinstance(operand, Register):
            if operand.name in _SPECIAL:
                return symbol(_SPECIAL[operand.name])
            return self._values.get(operand.name)
        return None

    def address(self, operand: Address) -> Polynomial | None:
        """Return where an address points."""
        base = self.read(operand.base)
        return plus(base, constant(operand.offset)) if isinstance(base, Polynomial) else None

    def condition(self, register: str, negated: bool) -> Ways | None:
        """Return the ways in which a guard holds; None where that is not known."""
        value = self._values.get(register)
        if not isinstance(value, Truth):
            return None
        return value.fails if negated else value.holds

    def _compute(self, instruction: Instruction) -> Value:
        if instruction.opcode == "ld":
            return self._load(instruction)
        compute = _COMPUTE.get(instruction.opcode)
        if compute is None or not instruction.modifiers:
            return None
        values = [self.read(operand) for operand in instruction.operands[1:]]
        value = compute(instruction, values)
        if value is None:
            value = self._uniform(instruction, values)
        return None if isinstance(value, Polynomial) and not is_simple(value) else value

    def _load(self, instruction: Instruction) -> Value:
        """Return the parameter that a load brings."""
        address = instruction.operands[1]
        if not isinstance(address, Address) or not isinstance(address.base, Symbol):
            return None
        position, kind = self._parameters.get(address.base.name, (-1, ""))
        loaded = instruction.modifiers[-1]
        whole = position >= 0 and not address.offset and TYPE_SIZES.get(loaded) == TYPE_SIZES[kind]
        return symbol(position) if whole and kind[0] in "usb" and loaded[0] in "usb" else None

    def _uniform(self, instruction: Instruction, values: list[Value]) -> Value:
        """Make a symbol of what is computed from numbers that all threads agree on."""
        modifiers = instruction.modifiers
        operation = ".".join((instruction.opcode, *(m for m in modifiers[:-1] if m not in ("lo", "wide"))))
        if operation not in OPERATIONS or not all(
            isinstance(value, Polynomial) and is_uniform(value) for value in values
        ):
            return None
        made = Uniform(operation, modifiers[-1], tuple(v for v in values if isinstance(v, Polynomial)))
        return symbol(FIRST_UNIFORM + self.uniforms.setdefault(made, len(self.uniforms)))


# --- what instructions compute ------------------------------------------------------------------

_ODD = frozenset({"hi", "sat", "cc"})


def _linear(
    form: Callable[[list[Polynomial]], Polynomial | None],
) -> Callable[[Instruction, list[Value]], Value]:
    """Make a function of polynomials into one of values, unknown where one of them is."""

    def compute(instruction: Instruction, values: list[Value]) -> Value:
        known = [value for value in values if isinstance(value, Polynomial)]
        odd = instruction.modifiers[-1][0] not in "usb" or not _ODD.isdisjoint(instruction.modifiers)
        return None if odd or len(known) != len(values) else form(known)

    return compute


def _shifted(values: list[Polynomial]) -> Polynomial | None:
    by = as_constant(values[1])
    return scaled(values[0], 1 << by) if by is not None and 0 <= by < 64 else None


def _moved(instruction: Instruction, values: list[Value]) -> Value:
    return values[0] if len(values) == 1 and instruction.modifiers[-1][0] in "usbp" else None


def _converted(instruction: Instruction, values: list[Value]) -> Value:
    types = [modifier for modifier in instruction.modifiers if modifier in TYPE_SIZES]
    whole = len(types) == 2 and all(kind[0] in "usb" and TYPE_SIZES[kind] >= 4 for kind in types)
    return values[0] if whole else None


def _chosen(instruction: Instruction, values: list[Value]) -> Value:
    """A number that is 1 where a predicate holds and else 0, or the reverse, stands for it."""
    first, second, predicate = values
    if not isinstance(first, Polynomial) or not isinstance(second, Polynomial):
        return None
    if isinstance(predicate, Truth):
        chosen = as_constant(first), as_constant(second)
        if chosen in ((1, 0), (-1, 0)):
            return predicate
        if chosen in ((0, 1), (0, -1)):
            return Truth(predicate.fails, predicate.holds)
    return first if first == second else None


_SWAPPED = {"gt": "lt", "le": "ge", "hi": "lo", "ls": "hs"}


def _compared(instruction: Instruction, values: list[Value]) -> Value:
    """Compare two numbers; a third operand is a predicate to join the outcome with."""
    modifiers = instruction.modifiers
    relation, kind = modifiers[0], modifiers[-1]
    if kind[0] not in "usb" or len(values) < 2:
        return None
    found = _relation(relation, kind, values[0], values[1])
    if found is None or len(modifiers) == 2:
        return found
    if len(modifiers) != 3 or len(values) != 3 or modifiers[1] not in ("and", "or"):
        return None
    other = values[2]
    return _joined_truths(modifiers[1], found, other) if isinstance(other, Truth) else None


def _relation(relation: str, kind: str, left: Value, right: Value) -> Truth | None:
    if isinstance(left, Truth) and isinstance(right, Polynomial) and as_constant(right) == 0:
        turned = Truth(left.fails, left.holds)
        return {"ne": left, "eq": turned}.get(relation)
    if not isinstance(left, Polynomial) or not isinstance(right, Polynomial):
        return None
    if relation in _SWAPPED:
        relation, left, right = _SWAPPED[relation], right, left
    up, down = plus(right, left, -1), plus(left, right, -1)
    holds: tuple[Condition, ...]
    fails: tuple[Condition, ...]
    if relation in ("eq", "ne"):
        holds, fails = (("==", up),), (("!=", up),)
    elif relation in ("lt", "lo", "ge", "hs"):
        holds, fails = ((">=", plus(up, constant(-1))),), ((">=", down),)
        if kind[0] == "u":
            natural = tuple((">=", side) for side in (left, right) if as_constant(side) is None)
            holds, fails = holds + natural, fails + natural
    else:
        return None
    return Truth((fails,), (holds,)) if relation in ("ne", "ge", "hs") else Truth((holds,), (fails,))


def _joined(instruction: Instruction, values: list[Value]) -> Value:
    """And, or of predicates; or of a number whose low bits are 0, which adds."""
    left, right = values
    if isinstance(left, Truth) and isinstance(right, Truth):
        return _joined_truths(instruction.opcode, left, right)
    if instruction.opcode == "or" and isinstance(left, Polynomial) and isinstance(right, Polynomial):
        bits = as_constant(right)
        if bits is not None and bits >= 0:
            unit = 1 << bits.bit_length()
            if all(factor % unit == 0 for factor, _ in left.terms):
                return plus(left, right)
    return None


def _joined_truths(how: str, left: Truth, right: Truth) -> Truth | None:
    if how == "and":
        holds, fails = both(left.holds, right.holds), either(left.fails, right.fails)
    elif how == "or":
        holds, fails = either(left.holds, right.holds), both(left.fails, right.fails)
    else:
        return None
    return None if holds is None or fails is None else Truth(holds, fails)


def _inverted(instruction: Instruction, values: list[Value]) -> Value:
    value = values[0]
    if isinstance(value, Truth):
        return Truth(value.fails, value.holds) if "pred" in instruction.modifiers else None
    if isinstance(value, Polynomial) and "pred" not in instruction.modifiers:
        return plus(constant(-1), value, -1)
    return None


_COMPUTE: dict[str, Callable[[Instruction, list[Value]], Value]] = {
    "mov": _moved,
    "cvta": _moved,
    "cvt": _converted,
    "selp": _chosen,
    "setp": _compared,
    "and": _joined,
    "or": _joined,
    "not": _inverted,
    "neg": _linear(lambda values: scaled(values[0], -1)),
    "add": _linear(lambda values: plus(values[0], values[1])),
    "sub": _linear(lambda values: plus(values[0], values[1], -1)),
    "mul": _linear(lambda values: times(values[0], values[1])),
    "mad": _linear(lambda values: plus(times(values[0], values[1]), values[2])),
    "shl": _linear(_shifted),
    **dict.fromkeys(("shr", "xor", "div", "rem", "min", "max", "abs"), lambda instruction, values: None),
}
