"""Logic, shifts, bit fields and counting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.operands import read_all
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.values import (
    extend,
    integer,
    intrinsic,
    low_mask,
    maximum,
    minimum,
    number,
    shift_left,
    shift_right,
)
from pycuda_guard.cpu.codegen.types import I1, I8, I32, I64, is_signed, width
from pycuda_guard.kernels.ptx.ir import Immediate, Pair

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


@lowers("and", "or", "xor")
def logic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``and``, ``or``, ``xor`` of bits or predicates."""
    kind = m.type("pred", "b16", "b32", "b64")
    a, b = read_all(e, i, kind)
    operation = {"and": e.builder.and_, "or": e.builder.or_, "xor": e.builder.xor}[i.opcode]
    e.write(i.operands[0], operation(a, b), kind)


@lowers("not")
def complement(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``not``: one's complement."""
    kind = m.type("pred", "b16", "b32", "b64")
    e.write(i.operands[0], e.builder.not_(e.read(i.operands[1], kind)), kind)


@lowers("cnot")
def logical_not(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cnot``: 1 for zero, else 0."""
    kind = m.type("b16", "b32", "b64")
    value = e.read(i.operands[1], kind)
    is_zero = e.builder.icmp_unsigned("==", value, number(value, 0))
    e.write(i.operands[0], e.builder.zext(is_zero, value.type), kind)


@lowers("shl", "shr")
def shift(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``shl``, ``shr``: the count is an unsigned 32-bit number; from the width on, only filling is left.

    Of a constant count of a 16-bit shift ptxas takes the low 16 bits.
    """
    kind = m.type()
    size = width(kind)
    value = e.read(i.operands[1], kind)
    if isinstance(i.operands[2], Immediate):
        amount = i.operands[2].value & (0xFFFF if size == 16 else 0xFFFF_FFFF)
        count: ir.Value = number(value, min(amount, size))
    else:
        # a 16-bit shift must see counts such as 65536, so limit before narrowing
        count = extend(e, minimum(e, e.read(i.operands[2], "u32"), integer(32, size)), size, False)
    if i.opcode == "shl":
        e.write(i.operands[0], shift_left(e, value, count), kind)
    else:
        e.write(i.operands[0], shift_right(e, value, count, is_signed(kind)), kind)


@lowers("shf")
def funnel_shift(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``shf``: shift the 64-bit number ``b:a``; its high word for ``.l``, its low word for ``.r``."""
    b = e.builder
    direction, mode = m.one_of("l", "r"), m.one_of("clamp", "wrap")
    m.type("b32")
    low, high = e.read(i.operands[1], "b32"), e.read(i.operands[2], "b32")
    count = e.read(i.operands[3], "u32")
    if mode == "wrap":
        return e.write(i.operands[0], intrinsic(e, f"fsh{direction}", high, low, count), "b32")
    count = b.zext(minimum(e, count, integer(32, 32)), I64)
    pair = b.or_(b.shl(b.zext(high, I64), integer(64, 32)), b.zext(low, I64))
    result = b.lshr(b.shl(pair, count), integer(64, 32)) if direction == "l" else b.lshr(pair, count)
    return e.write(i.operands[0], b.trunc(result, I32), "b32")


@lowers("popc", "clz")
def count_bits(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``popc``, ``clz``: a 32-bit count; ``clz`` of 0 is the width."""
    value = e.read(i.operands[1], m.type("b32", "b64"))
    if i.opcode == "popc":
        count = intrinsic(e, "ctpop", value)
    else:
        count = intrinsic(e, "ctlz", value, ir.Constant(I1, 0))
    e.write(i.operands[0], extend(e, count, 32, False), "u32")


@lowers("brev")
def reverse(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``brev``: bits in reverse order."""
    kind = m.type("b32", "b64")
    e.write(i.operands[0], intrinsic(e, "bitreverse", e.read(i.operands[1], kind)), kind)


@lowers("bfind")
def find_highest(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bfind``: position of the highest bit that is no copy of the sign, or all ones."""
    shift_amount, kind = m.flag("shiftamt"), m.type("u32", "s32", "u64", "s64")
    size = width(kind)
    value = e.read(i.operands[1], kind)
    if is_signed(kind):
        value = e.builder.xor(value, e.builder.ashr(value, number(value, size - 1)))
    zeros = extend(e, intrinsic(e, "ctlz", value, ir.Constant(I1, 0)), 32, False)
    position = zeros if shift_amount else e.builder.sub(integer(32, size - 1), zeros)
    none = e.builder.icmp_unsigned("==", zeros, integer(32, size))
    e.write(i.operands[0], e.builder.select(none, integer(32, -1), position), "u32")


@lowers("fns")
def find_nth_set(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``fns``: position of the n-th set bit from a base, upwards or downwards; all ones if there is none.

    A bit is the one sought if it is set and as many as wanted are set from the base to it.
    """
    m.type("b32")
    b = e.builder
    mask, base = e.read(i.operands[1], "b32"), e.read(i.operands[2], "u32")
    offset = e.read(i.operands[3], "s32")
    at_base = b.not_(low_mask(e, 32, base))  # base and above
    up_to_base = low_mask(e, 32, b.add(base, integer(32, 1)))
    upward, downward = (
        b.icmp_signed(">=", offset, integer(32, 0)),
        b.icmp_signed("<=", offset, integer(32, 0)),
    )
    # offset 0 asks about the base itself: it is the first from itself, in both directions
    wanted = maximum(e, intrinsic(e, "abs", offset, ir.Constant(I1, 0)), integer(32, 1))
    exact = b.icmp_signed("==", offset, integer(32, 0))
    result: ir.Value = integer(32, -1)
    for position in range(32):
        bit, below, above = 1 << position, (2 << position) - 1, -(1 << position)
        is_set = b.icmp_unsigned("!=", b.and_(mask, integer(32, bit)), integer(32, 0))
        rank_up = intrinsic(e, "ctpop", b.and_(mask, b.and_(at_base, integer(32, below))))
        rank_down = intrinsic(e, "ctpop", b.and_(mask, b.and_(up_to_base, integer(32, above))))
        found = b.or_(
            b.and_(upward, b.icmp_unsigned("==", rank_up, wanted)),
            b.and_(downward, b.icmp_unsigned("==", rank_down, wanted)),
        )
        allowed = b.or_(b.not_(exact), b.icmp_unsigned("==", base, integer(32, position)))
        result = b.select(b.and_(b.and_(is_set, found), allowed), integer(32, position), result)
    e.write(i.operands[0], result, "b32")


def _place(e: Emitter, operand: Operand, size: int) -> ir.Value:
    """Return a bit field's position or length as ``iN`` of the field's width.

    Of 32-bit fields the low 8 bits count. The manual says so of 64-bit ones too, but an H200 takes all.
    """
    value = e.read(operand, "u32")
    return e.builder.and_(value, integer(32, 255)) if size == 32 else e.builder.zext(value, I64)


@lowers("bfe")
def extract_field(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bfe``: ``length`` bits from ``position`` on, extended by their type's signedness."""
    b = e.builder
    kind = m.type("u32", "s32", "u64", "s64")
    size = width(kind)
    value = e.read(i.operands[1], kind)
    position, length = (_place(e, operand, size) for operand in i.operands[2:4])
    field = shift_right(e, value, position, is_signed(kind))
    if not is_signed(kind):
        return e.write(i.operands[0], b.and_(field, low_mask(e, size, length)), kind)
    spare = b.sub(number(value, size), minimum(e, length, number(value, size)))
    spare = minimum(e, spare, number(value, size - 1))
    field = b.ashr(b.shl(field, spare), spare)
    is_empty = b.icmp_unsigned("==", length, number(value, 0))
    return e.write(i.operands[0], b.select(is_empty, number(value, 0), field), kind)


@lowers("bfi")
def insert_field(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bfi``: the low ``length`` bits of a put into b from ``position`` on."""
    b = e.builder
    kind = m.type("b32", "b64")
    size = width(kind)
    field, target = e.read(i.operands[1], kind), e.read(i.operands[2], kind)
    position, length = (_place(e, operand, size) for operand in i.operands[3:5])
    mask = shift_left(e, low_mask(e, size, length), position)
    placed = b.and_(shift_left(e, field, position), mask)
    e.write(i.operands[0], b.or_(placed, b.and_(target, b.not_(mask))), kind)


@lowers("bmsk")
def bit_mask(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``bmsk``: ``b`` bits set from ``a`` on; both modulo 32 (``.wrap``) or as they are (``.clamp``)."""
    mode = m.one_of("clamp", "wrap")
    m.type("b32")
    start, count = e.read(i.operands[1], "u32"), e.read(i.operands[2], "u32")
    if mode == "wrap":
        start, count = (e.builder.and_(value, integer(32, 31)) for value in (start, count))
    e.write(i.operands[0], shift_left(e, low_mask(e, 32, count), start), "b32")


@lowers("szext")
def extend_from(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``szext``: extend the low ``b`` bits of a by the type's signedness."""
    b = e.builder
    mode, kind = m.one_of("clamp", "wrap"), m.type("u32", "s32")
    value, count = e.read(i.operands[1], "b32"), e.read(i.operands[2], "u32")
    if mode == "wrap":
        count = b.and_(count, integer(32, 31))
    kept = b.and_(value, low_mask(e, 32, count))
    if is_signed(kind):
        inside = b.icmp_unsigned("<", b.sub(count, integer(32, 1)), integer(32, 31))  # 1 … 31
        spare = b.and_(b.sub(integer(32, 32), count), integer(32, 31))
        kept = b.select(inside, b.ashr(b.shl(value, spare), spare), kept)
    e.write(i.operands[0], kept, "b32")


#: selectors of ``prmt``'s modes for each value of c's low two bits, as its default mode takes them
_PERMUTATIONS = {
    "f4e": (0x3210, 0x4321, 0x5432, 0x6543),
    "b4e": (0x5670, 0x6701, 0x7012, 0x0123),
    "rc8": (0x0000, 0x1111, 0x2222, 0x3333),
    "ecl": (0x3210, 0x3211, 0x3222, 0x3333),
    "ecr": (0x0000, 0x1110, 0x2210, 0x3210),
    "rc16": (0x1010, 0x3232, 0x1010, 0x3232),
}


@lowers("prmt")
def permute_bytes(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``prmt``: four bytes chosen from the eight of ``b:a``, or copies of their signs."""
    b = e.builder
    mode = m.one_of(*_PERMUTATIONS, default="default")
    m.type("b32")
    low, high, control = read_all(e, i, "b32")
    if mode != "default":
        table = sum(selector << 16 * index for index, selector in enumerate(_PERMUTATIONS[mode]))
        place = b.mul(b.zext(b.and_(control, integer(32, 3)), I64), integer(64, 16))
        control = b.and_(b.trunc(b.lshr(integer(64, table), place), I32), integer(32, 0xFFFF))
    pair = b.or_(b.shl(b.zext(high, I64), integer(64, 32)), b.zext(low, I64))
    result: ir.Value = integer(32, 0)
    for index in range(4):
        selector = b.lshr(control, integer(32, 4 * index))
        place = b.zext(b.shl(b.and_(selector, integer(32, 7)), integer(32, 3)), I64)
        byte = b.trunc(b.lshr(pair, place), I8)
        if mode == "default":
            wants_sign = b.icmp_unsigned("!=", b.and_(selector, integer(32, 8)), integer(32, 0))
            byte = b.select(wants_sign, b.ashr(byte, integer(8, 7)), byte)
        result = b.or_(result, b.shl(b.zext(byte, I32), integer(32, 8 * index)))
    e.write(i.operands[0], result, "b32")


@lowers("lop3")
def three_input_logic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``lop3``: any function of three bits, by its truth table; ``d|p`` also compares the result with 0."""
    b = e.builder
    combine = m.one_of("or", "and", default="none")
    m.type("b32")
    inputs = [e.read(operand, "b32") for operand in i.operands[1:4]]
    table = i.operands[4]
    if not isinstance(table, Immediate):
        e.unsupported("truth table that is no constant")
    result: ir.Value = integer(32, 0)
    for row in range(8):
        if table.value >> row & 1:
            a, c, d = (value if row >> 2 - index & 1 else b.not_(value) for index, value in enumerate(inputs))
            result = b.or_(result, b.and_(b.and_(a, c), d))
    destination = i.operands[0]
    if combine != "none":
        if not isinstance(destination, Pair):
            e.unsupported("boolean operator without a predicate destination")
        other = e.read(i.operands[5], "pred")
        found = b.icmp_unsigned("!=", result, integer(32, 0))
        e.write(destination.second, (b.or_ if combine == "or" else b.and_)(found, other), "pred")
        destination = destination.first
    e.write(destination, result, "b32")
