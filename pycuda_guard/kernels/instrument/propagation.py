"""The one table of how uninitialized bits travel: opcode → the masks of what it computes.

A formula emits instructions on masks and returns those of the instruction's destinations, in
order. It stands before its instruction, whose operands it may read. Where bits are moved, and in
logic and comparisons, formulas are exact; elsewhere any uninitialized bit makes all of the result
so. Opcodes that the table lacks compute clean values: what is not known is not reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.masks import Mask, Masks, integer, type_of
from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Immediate,
    Instruction,
    Operand,
    Pair,
    Register,
    Sink,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import Role, operand_roles

if TYPE_CHECKING:
    from collections.abc import Callable

    Formula = Callable[[Instruction, Masks], tuple[Mask, ...]]


class Flow(Enum):
    """What an instruction does with values that may be copies of memory."""

    MOVE = "move"  # a copy of an operand, or of parts of it
    JOIN = "join"  # puts parts of values together, or masks parts out
    SHIFT = "shift"  # arithmetic, unless the result is joined or the distance is whole bytes
    COMPUTE = "compute"  # arithmetic


@dataclass(frozen=True, slots=True)
class Rule:
    """How one opcode propagates.

    ``control`` are positions among the operands of those that are not moved but steer what is.
    """

    flow: Flow
    formula: Formula
    control: tuple[int, ...] = ()


def kind_of(instruction: Instruction) -> str:
    """Return an instruction's type, the last modifier that is one; ``b32`` where it has none."""
    for word in reversed(instruction.modifiers):
        if word in TYPE_SIZES:
            return word
    return "b32"


def is_float(kind: str) -> bool:
    """Tell whether a type is one of floating point."""
    return kind[0] not in "usbp" or kind.startswith("bf")


def destinations(instruction: Instruction) -> tuple[Register, ...]:
    """Return the registers that an instruction writes, in order, without those that are thrown away."""
    found: list[Register] = []
    for operand, role in zip(instruction.operands, operand_roles(instruction), strict=True):
        if role is Role.DESTINATION:
            found += _registers(operand)
    return tuple(found)


def sources(instruction: Instruction) -> tuple[Operand, ...]:
    """Return the operands that an instruction computes from."""
    return tuple(
        operand
        for operand, role in zip(instruction.operands, operand_roles(instruction), strict=True)
        if role in (Role.SOURCE, Role.PREDICATE)
    )


def _registers(operand: Operand) -> list[Register]:
    match operand:
        case Register():
            return [operand]
        case Pair(first, second):
            return _registers(first) + _registers(second)
        case Vector(elements):
            return [register for element in elements for register in _registers(element)]
        case _:
            return []


# --- arithmetic ---------------------------------------------------------------------------------


def _anything(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """Any uninitialized bit makes all of the result so."""
    found = masks.any_of(sources(instruction))
    return tuple(masks.spread(masks.width(to), found) for to in destinations(instruction))


def _lanewise(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """Likewise, but each half of 32 bits for itself where the type is a pair."""
    if not kind_of(instruction).endswith("x2"):
        return _anything(instruction, masks)
    union = masks.union(32, *map(masks.of, sources(instruction)))
    return (masks.lanes(union),)


def _carried(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """Sums and products: bits below the lowest uninitialized one are right."""
    kind = kind_of(instruction)
    plain = kind[0] in "us" and TYPE_SIZES[kind] >= 2 and not kind.endswith("x2")
    if not plain or {"hi", "sat", "cc"} & {*instruction.modifiers}:
        return _lanewise(instruction, masks)
    (to,) = destinations(instruction)
    width = masks.width(to)
    wide = "wide" in instruction.modifiers
    widened = [
        masks.of(operand)
        if not wide or masks.of(operand) is None or masks.width(operand) == width
        else masks.operation(f"cvt.u{width}.u{width // 2}", width, _sure(masks.of(operand)))
        for operand in sources(instruction)
    ]
    return (masks.upward(width, masks.union(width, *widened)),)


def _sure(mask: Mask) -> Register:
    assert mask is not None
    return mask


# --- moves --------------------------------------------------------------------------------------


def _moved(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``mov``, also between registers and their parts."""
    to, source = instruction.operands[:2]
    if isinstance(source, Vector):
        (target,) = destinations(instruction)
        width = masks.width(target)
        part = width // len(source.elements)
        parts = [masks.of(element) or masks.zero(part) for element in source.elements]
        return (masks.operation(f"mov.b{width}", width, Vector(tuple(parts))),)
    mask = masks.of(source)
    if not isinstance(to, Vector):
        return (mask,)
    if mask is None:
        return (None,) * len(destinations(instruction))
    width = masks.width(source)
    made = [
        element if isinstance(element, Sink) else masks.code.register(type_of(width // len(to.elements)))
        for element in to.elements
    ]
    masks.code.emit(f"mov.b{width}", Vector(tuple(made)), mask)
    return tuple(element for element in made if isinstance(element, Register))


def _converted(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``cvt``: a mask of integers is converted like a number, as sign bits repeat what they are."""
    types = [word for word in instruction.modifiers if word in TYPE_SIZES]
    (to,) = destinations(instruction)
    given = sources(instruction)
    if len(given) == 2 and types and types[0].endswith("x2"):
        high, low = (masks.spread(16, masks.any(masks.width(o), masks.of(o))) for o in given)
        if high is None and low is None:
            return (None,)
        halves = Vector((low or masks.zero(16), high or masks.zero(16)))
        return (masks.operation("mov.b32", 32, halves),)
    mask = masks.of(given[0])
    exact = len(types) == 2 and not any(map(is_float, types)) and "sat" not in instruction.modifiers
    if mask is None or len(given) != 1 or not exact:
        return _anything(instruction, masks)
    return (masks.operation(f"cvt.{types[0]}.{types[1]}", masks.width(to), mask),)


def _same(*moved: int) -> Formula:
    """Make a formula: do to masks at these positions what the instruction does to values.

    Where another operand is uninitialized, all of the result is.
    """

    def formula(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
        (to,) = destinations(instruction)
        width = masks.width(to)
        operands = list(instruction.operands[1:])
        control = masks.any_of(tuple(o for at, o in enumerate(operands, 1) if at not in moved))
        found: Mask = None
        if any(masks.of(operands[at - 1]) for at in moved):
            for at in moved:
                operands[at - 1] = masks.of(operands[at - 1]) or Immediate("int", 0)
            words = [word for word in instruction.modifiers if word in _KEPT or word in TYPE_SIZES]
            text = ".".join((instruction.opcode, *words))
            found = masks.operation(text, width, *operands)
        return (masks.union(width, found, masks.spread(width, control)),)

    return formula


#: modifiers that say how bits are moved
_KEPT = frozenset(["l", "r", "wrap", "clamp", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"])


def _selected(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``selp`` and ``slct``: the side that is chosen; where that isn't known, also the bits that differ."""
    (to,) = destinations(instruction)
    width = masks.width(to)
    first, second, by = instruction.operands[1:4]
    one, other = masks.of(first), masks.of(second)
    chosen: Mask = None
    if one is not None or other is not None:
        kinds = f"b{width}" if instruction.opcode == "selp" else f"b{width}.{instruction.modifiers[-1]}"
        sides = one or Immediate("int", 0), other or Immediate("int", 0)
        chosen = masks.operation(f"{instruction.opcode}.{kinds}", width, *sides, by)
    unknown = masks.any(masks.width(by), masks.of(by)) if masks.of(by) else None
    if unknown is None:
        return (chosen,)
    if any(isinstance(side, Immediate) and side.kind == "f64" and width != 64 for side in (first, second)):
        return (masks.union(width, chosen, masks.spread(width, unknown)),)
    differ = masks.bits("xor", width, *_in_register(masks, width, first), second)
    either = masks.union(width, differ, one, other)
    none: Operand = chosen or Immediate("int", 0)
    return (masks.operation(f"selp.b{width}", width, _sure(either), none, unknown),)


def _in_register(masks: Masks, width: int, operand: Operand) -> tuple[Operand]:
    """Return an operand as the first of an instruction on bits."""
    if isinstance(operand, Immediate):
        return (masks.operation(f"mov.b{width}", width, integer(operand)),)
    return (operand,)


def _shuffled(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``shfl``: the lanes exchange their masks in the same way."""
    mask = masks.of(instruction.operands[1])
    found: list[Mask] = [None] * len(destinations(instruction))
    if mask is not None and instruction.guard is None and found:
        operands = instruction.operands[2:]
        text = ".".join((instruction.opcode, *instruction.modifiers))
        found[0] = masks.operation(text, 32, mask, *operands)
    return tuple(found)


def _ballot(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``vote.ballot``: one bit for each lane; other votes are taken for clean."""
    mask = masks.of(instruction.operands[1])
    if mask is None or "ballot" not in instruction.modifiers or instruction.guard is not None:
        return (None,) * len(destinations(instruction))
    text = ".".join((instruction.opcode, *instruction.modifiers))
    return (masks.operation(text, 32, mask, *instruction.operands[2:]),)


# --- logic --------------------------------------------------------------------------------------


def conjunction(masks: Masks, width: int, left: Operand, right: Operand, *, invert: bool = False) -> Mask:
    """Return the mask of ``left & right``, or of ``~left & ~right``, which is that of ``left | right``."""
    one, other = masks.of(left), masks.of(right)
    both: Mask = masks.bits("and", width, one, other) if one and other else None

    def value(operand: Operand) -> Operand:
        return masks.complement(width, integer(operand)) if invert else masks.plain(integer(operand))

    return masks.union(
        width,
        both,
        masks.where(width, one, value(right)) if one else None,
        masks.where(width, other, value(left)) if other else None,
    )


def _and(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    to, left, right = instruction.operands
    return (conjunction(masks, masks.width(to), left, right),)


def _or(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    to, left, right = instruction.operands
    return (conjunction(masks, masks.width(to), left, right, invert=True),)


def _either(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``xor`` and ``not``: each bit of the result comes from the same bit of the operands."""
    width = masks.width(instruction.operands[0])
    return (masks.union(width, *map(masks.of, instruction.operands[1:])),)


def _zero_test(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``cnot``: 1 for 0; known where a bit that is known is set."""
    to, value = instruction.operands
    width = masks.width(to)
    mask = masks.of(value)
    if mask is None:
        return (None,)
    unknown = _equality(masks, width, value, Immediate("int", 0))
    return (masks.operation(f"selp.b{width}", width, 1, 0, _sure(unknown)),)


def _any_logic(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``lop3``: a bit is unknown if both 0 and 1 are among what the table gives for what is possible."""
    *_, table = instruction.operands
    values = instruction.operands[1:4]
    if not isinstance(table, Immediate) or not any(map(masks.of, values)) or len(instruction.operands) != 5:
        return _anything(instruction, masks)
    possible: list[tuple[Operand, Operand]] = []  # where it can be 0, and 1
    for value in values:
        mask = masks.of(value)
        inverse = masks.complement(32, integer(value))
        known = integer(value)
        possible.append((inverse, known) if mask is None else (
            masks.bits("or", 32, mask, inverse), masks.bits("or", 32, mask, known)
        ))  # fmt: skip
    can: list[Mask] = [None, None]
    for row in range(8):
        a, b, c = (possible[at][row >> (2 - at) & 1] for at in range(3))
        here = masks.bits("and", 32, masks.bits("and", 32, *_in_register(masks, 32, a), b), c)
        result = table.value >> row & 1
        can[result] = masks.union(32, can[result], here)
    zero, one = can
    return (masks.bits("and", 32, zero, one) if zero and one else None,)


def _leading(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``clz``: known where a bit that is known to be set stands above all that aren't known."""
    to, value = instruction.operands
    mask = masks.of(value)
    if mask is None:
        return (None,)
    width = masks.width(value)
    known = masks.bits("and", width, value, masks.complement(width, mask))
    hidden = masks.operation(f"setp.le.u{width}", 1, known, mask)
    unknown = masks.bits("and", 1, hidden, _sure(masks.any(width, mask)))
    return (masks.spread(masks.width(to), unknown),)


# --- comparisons --------------------------------------------------------------------------------


def _equality(masks: Masks, width: int, left: Operand, right: Operand) -> Mask:
    """Whether it isn't known if two numbers are equal: the bits that are known are."""
    mask = masks.union(width, masks.of(left), masks.of(right))
    if mask is None:
        return None
    differ = masks.bits("xor", width, *_in_register(masks, width, left), right)
    sure = masks.bits("and", width, differ, masks.complement(width, mask))
    same = masks.operation(f"setp.eq.b{width}", 1, sure, 0)
    return masks.bits("and", 1, same, _sure(masks.any(width, mask)))


def _order(masks: Masks, kind: str, relation: str, left: Operand, right: Operand) -> Mask:
    """Whether it isn't known how two numbers compare: their lowest and highest values disagree."""
    width = 8 * TYPE_SIZES[kind]
    bounds = []
    for value in (left, right):
        mask = masks.of(value)
        if mask is None:
            bounds.append((value, value))
            continue
        sign = 1 << (width - 1) if kind[0] == "s" else 0
        up = masks.bits("and", width, mask, ~sign & ((1 << width) - 1)) if sign else mask
        down = masks.bits("and", width, mask, sign) if sign else None
        low = masks.bits("and", width, value, masks.complement(width, up))
        high = masks.bits("or", width, value, up)
        if down is not None:
            low = masks.bits("or", width, low, down)
            high = masks.bits("and", width, high, masks.complement(width, down))
        bounds.append((low, high))
    (left_low, left_high), (right_low, right_high) = bounds
    text = f"setp.{relation}.{kind}"
    less = relation in ("lt", "le", "lo", "ls")
    can = (left_low, right_high) if less else (left_high, right_low)
    must = (left_high, right_low) if less else (left_low, right_high)
    possible = masks.operation(text, 1, *_in_register(masks, width, can[0]), can[1])
    certain = masks.operation(text, 1, *_in_register(masks, width, must[0]), must[1])
    return masks.bits("xor", 1, possible, certain)


def _comparison(instruction: Instruction, masks: Masks, left: Operand, right: Operand) -> Mask:
    """Return whether the outcome of an instruction's comparison isn't known."""
    relation = instruction.modifiers[0]
    kind = kind_of(instruction)
    if masks.of(left) is None and masks.of(right) is None:
        return None
    if is_float(kind):
        return masks.any_of((left, right))
    if relation in ("eq", "ne"):
        return _equality(masks, 8 * TYPE_SIZES[kind], left, right)
    return _order(masks, kind, relation, left, right)


def _compared(instruction: Instruction, masks: Masks) -> tuple[Mask, ...]:
    """``setp`` and ``set``, also with a predicate that is combined with the comparison's."""
    to = destinations(instruction)
    left, right = instruction.operands[1:3]
    unknown = _comparison(instruction, masks, left, right)
    if len(instruction.operands) == 3:
        return tuple(masks.spread(masks.width(register), unknown) for register in to)
    third = instruction.operands[3]
    logic = next((word for word in instruction.modifiers if word in _COMBINED), "")
    if instruction.opcode != "setp" or not logic or kind_of(instruction).endswith("x2"):
        found = masks.union(1, unknown, masks.of(third))
        return tuple(masks.spread(masks.width(register), found) for register in to)
    if unknown is None and masks.of(third) is None:
        return (None,) * len(to)
    words = [word for word in instruction.modifiers if word not in _COMBINED]
    holds: Operand = masks.operation(".".join(("setp", *words)), 1, left, right)
    combined: list[Mask] = []
    for _ in to:
        combined.append(_combined(masks, logic, (holds, unknown), (third, masks.of(third))))
        holds = masks.complement(1, holds)
    return tuple(combined)


_COMBINED = frozenset({"and", "or", "xor"})


def _combined(masks: Masks, logic: str, left: tuple[Operand, Mask], right: tuple[Operand, Mask]) -> Mask:
    """Return the mask of two predicates, each given with its mask, combined."""
    (one, unknown), (other, unsure) = left, right
    if logic == "xor":
        return masks.union(1, unknown, unsure)

    def value(operand: Operand) -> Operand:
        return masks.complement(1, operand) if logic == "or" else masks.plain(operand)

    return masks.union(
        1,
        masks.bits("and", 1, unknown, unsure) if unknown and unsure else None,
        masks.where(1, unknown, value(other)) if unknown else None,
        masks.where(1, unsure, value(one)) if unsure else None,
    )


# --- the table ----------------------------------------------------------------------------------


def _table() -> dict[str, Rule]:
    rows: list[tuple[str, Flow, Formula, tuple[int, ...]]] = [
        ("mov cvta", Flow.MOVE, _moved, ()),
        ("cvt", Flow.MOVE, _converted, ()),
        ("selp slct", Flow.MOVE, _selected, (3,)),
        ("prmt", Flow.MOVE, _same(1, 2), (3,)),
        ("shfl", Flow.MOVE, _shuffled, (2, 3, 4)),
        ("bfe", Flow.MOVE, _same(1), (2, 3)),
        ("bfi", Flow.JOIN, _same(1, 2), (3, 4)),
        ("shf", Flow.JOIN, _same(1, 2), (3,)),
        ("and", Flow.JOIN, _and, ()),
        ("or", Flow.JOIN, _or, ()),
        ("lop3", Flow.JOIN, _any_logic, ()),
        ("shl shr", Flow.SHIFT, _same(1), (2,)),
        ("brev", Flow.COMPUTE, _same(1), ()),
        ("xor not", Flow.COMPUTE, _either, ()),
        ("cnot", Flow.COMPUTE, _zero_test, ()),
        ("clz", Flow.COMPUTE, _leading, ()),
        ("setp set", Flow.COMPUTE, _compared, ()),
        ("vote", Flow.COMPUTE, _ballot, ()),
        ("add sub mul mad neg", Flow.COMPUTE, _carried, ()),
        ("fma abs min max tanh ex2", Flow.COMPUTE, _lanewise, ()),
        (_ARITHMETIC, Flow.COMPUTE, _anything, ()),
    ]
    return {
        name: Rule(flow, formula, control) for names, flow, formula, control in rows for name in names.split()
    }


_ARITHMETIC = (
    "rcp sqrt rsqrt popc bfind mul24 div rem copysign szext bmsk mad24 sad dp2a dp4a fns addc subc madc "
    "sin cos lg2 testp isspacep "
    "vadd vsub vabsdiff vmin vmax vshl vshr vset vmad vadd2 vsub2 vavrg2 vabsdiff2 vmin2 vmax2 vset2 "
    "vadd4 vsub4 vavrg4 vabsdiff4 vmin4 vmax4 vset4"
)

#: how each opcode propagates; memory, calls and branches are not here
RULES: dict[str, Rule] = _table()
