"""Integer arithmetic: modular, except where ``.sat`` asks for clamping.

Division by zero gives all bits set, as quotient and as remainder; the smallest number divided by -1 gives
itself. The manual leaves these open; this is what an H200 returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.operands import halves, read_all, write_halves
from pycuda_guard.cpu.codegen.instructions.registry import PACKED_INTEGERS, Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.values import (
    extend,
    integer,
    intrinsic,
    maximum,
    minimum,
    number,
)
from pycuda_guard.cpu.codegen.types import I1, I8, I16, I32, is_signed, width

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction

_PARTS = ("lo", "hi", "wide")


def _per_half(e: Emitter, i: Instruction, operation: Callable[[ir.Value, ir.Value], ir.Value]) -> None:
    first, second = (halves(e, operand) for operand in i.operands[1:])
    write_halves(e, i.operands[0], *map(operation, first, second))


@lowers("add", "sub", kind="integer")
def add(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``add``, ``sub``; with ``.cc`` the start of a carry chain."""
    kind = m.type()
    step = e.builder.add if i.opcode == "add" else e.builder.sub
    if kind in PACKED_INTEGERS:
        return _per_half(e, i, step)
    if m.flag("cc"):
        return _carry(e, i, e.read(i.operands[1], kind), kind, sets=True, takes=False)
    a, b = read_all(e, i, kind)
    if m.flag("sat"):
        if kind != "s32":
            e.unsupported(f"saturation of type .{kind}")
        return e.write(i.operands[0], intrinsic(e, f"s{i.opcode}.sat", a, b), kind)
    return e.write(i.operands[0], step(a, b), kind)


@lowers("addc", "subc")
def add_with_carry(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``addc``, ``subc``: go on with a carry chain."""
    kind = m.type()
    _carry(e, i, e.read(i.operands[1], kind), kind, sets=m.flag("cc"), takes=True)


def _carry(e: Emitter, i: Instruction, a: ir.Value, kind: str, *, sets: bool, takes: bool) -> None:
    """Add (or subtract) the last operand and the carry (or borrow) to ``a``, in twice the width."""
    b = e.builder
    size = width(kind)
    step = b.sub if i.opcode.startswith("sub") else b.add
    total = step(extend(e, a, 2 * size, False), extend(e, e.read(i.operands[-1], kind), 2 * size, False))
    if takes:
        total = step(total, b.zext(b.load(e.carry, typ=I1), total.type))
    if sets:
        b.store(b.trunc(b.lshr(total, number(total, size)), I1), e.carry)
    e.write(i.operands[0], extend(e, total, size, False), kind)


def _product(e: Emitter, a: ir.Value, b: ir.Value, kind: str, part: str) -> tuple[ir.Value, str]:
    """Return the wanted part of a product and its type."""
    size, signed = width(kind), is_signed(kind)
    if part == "lo":
        return e.builder.mul(a, b), kind
    whole = e.builder.mul(extend(e, a, 2 * size, signed), extend(e, b, 2 * size, signed))
    if part == "wide":
        return whole, f"{kind[0]}{2 * size}"
    return extend(e, e.builder.lshr(whole, number(whole, size)), size, False), kind


@lowers("mul", kind="integer")
def multiply(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mul`` of integers: ``.lo``, ``.hi`` or ``.wide``."""
    part, kind = m.one_of(*_PARTS), m.type()
    a, b = read_all(e, i, kind)
    product, result_kind = _product(e, a, b, kind, part)
    return e.write(i.operands[0], product, result_kind)


@lowers("mad", "madc", kind="integer")
def multiply_add(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mad`` of integers, also in carry chains."""
    part, kind = m.one_of(*_PARTS), m.type()
    first, second = (e.read(operand, kind) for operand in i.operands[1:3])
    product, result_kind = _product(e, first, second, kind, part)
    takes, sets = i.opcode == "madc", m.flag("cc")
    if takes or sets:
        if part == "wide":
            e.unsupported("wide product in a carry chain")
        return _carry(e, i, product, kind, sets=sets, takes=takes)
    addend = e.read(i.operands[3], result_kind)
    if m.flag("sat"):
        if (kind, part) != ("s32", "hi"):
            e.unsupported("saturation of anything but .hi.s32")
        return e.write(i.operands[0], intrinsic(e, "sadd.sat", product, addend), kind)
    return e.write(i.operands[0], e.builder.add(product, addend), result_kind)


@lowers("mul24", "mad24")
def multiply_24(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mul24``, ``mad24``: product of the low 24 bits, its low 32 or its bits 16 … 47."""
    b = e.builder
    part, kind = m.one_of("lo", "hi"), m.type("u32", "s32")
    shift = b.ashr if is_signed(kind) else b.lshr
    first, second = (
        shift(b.shl(extend(e, e.read(operand, kind), 64, False), integer(64, 40)), integer(64, 40))
        for operand in i.operands[1:3]
    )
    whole = b.mul(first, second)
    result = b.trunc(whole if part == "lo" else b.lshr(whole, integer(64, 16)), I32)
    if i.opcode == "mad24":
        addend = e.read(i.operands[3], kind)
        if m.flag("sat"):
            if (kind, part) != ("s32", "hi"):
                e.unsupported("saturation of anything but .hi.s32")
            return e.write(i.operands[0], intrinsic(e, "sadd.sat", result, addend), kind)
        result = b.add(result, addend)
    return e.write(i.operands[0], result, kind)


@lowers("div", kind="integer")
def divide(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``div`` of integers."""
    kind = m.type()
    a, b = read_all(e, i, kind)
    safe, is_zero, is_minus_one = _safe_divisor(e, b, kind)
    quotient = (e.builder.sdiv if is_signed(kind) else e.builder.udiv)(a, safe)
    if is_minus_one is not None:
        quotient = e.builder.select(is_minus_one, e.builder.neg(a), quotient)
    return e.write(i.operands[0], e.builder.select(is_zero, number(a, -1), quotient), kind)


@lowers("rem")
def remainder(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``rem``: remainder with the sign of the dividend."""
    kind = m.type()
    a, b = read_all(e, i, kind)
    safe, is_zero, is_minus_one = _safe_divisor(e, b, kind)
    rest = (e.builder.srem if is_signed(kind) else e.builder.urem)(a, safe)
    if is_minus_one is not None:
        rest = e.builder.select(is_minus_one, number(a, 0), rest)
    e.write(i.operands[0], e.builder.select(is_zero, number(a, -1), rest), kind)


def _safe_divisor(e: Emitter, b: ir.Value, kind: str) -> tuple[ir.Value, ir.Value, ir.Value | None]:
    """Return the divisor with 0 and, if signed, -1 replaced by 1, and whether it was one of them."""
    is_zero = e.builder.icmp_unsigned("==", b, number(b, 0))
    unsafe, is_minus_one = is_zero, None
    if is_signed(kind):
        is_minus_one = e.builder.icmp_unsigned("==", b, number(b, -1))
        unsafe = e.builder.or_(is_zero, is_minus_one)
    return e.builder.select(unsafe, number(b, 1), b), is_zero, is_minus_one


@lowers("abs", "neg", kind="integer")
def absolute_or_negative(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``abs``, ``neg``; of the smallest number both give it back."""
    kind = m.type("s16", "s32", "s64")
    value = e.read(i.operands[1], kind)
    if i.opcode == "neg":
        return e.write(i.operands[0], e.builder.neg(value), kind)
    return e.write(i.operands[0], intrinsic(e, "abs", value, ir.Constant(I1, 0)), kind)


@lowers("min", "max", kind="integer")
def extremum(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``min``, ``max``; ``.relu`` clamps negative results to 0."""
    relu, kind = m.flag("relu"), m.type()
    choose = minimum if i.opcode == "min" else maximum

    def choice(a: ir.Value, b: ir.Value) -> ir.Value:
        value = choose(e, a, b, is_signed(kind))
        return maximum(e, value, number(value, 0), True) if relu else value

    if kind in PACKED_INTEGERS:
        return _per_half(e, i, choice)
    a, b = read_all(e, i, kind)
    return e.write(i.operands[0], choice(a, b), kind)


@lowers("sad")
def sum_of_difference(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``sad``: ``|a - b| + c``."""
    kind = m.type()
    a, b, c = read_all(e, i, kind)
    signed = is_signed(kind)
    difference = e.builder.sub(maximum(e, a, b, signed), minimum(e, a, b, signed))
    e.write(i.operands[0], e.builder.add(c, difference), kind)


@lowers("dp4a", "dp2a")
def dot_product(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``dp4a``: sum of four products of bytes, plus c; ``dp2a``: of two 16-bit numbers and two bytes."""
    b = e.builder
    part = m.one_of("lo", "hi") if i.opcode == "dp2a" else ""
    first_kind, second_kind = m.types(2)
    first, second = e.read(i.operands[1], "b32"), e.read(i.operands[2], "b32")
    total = e.read(i.operands[3], "b32")
    count, first_type = (2, I16) if part else (4, I8)
    for index in range(count):
        second_index = index + (2 if part == "hi" else 0)
        x = b.trunc(b.lshr(first, integer(32, index * first_type.width)), first_type)
        y = b.trunc(b.lshr(second, integer(32, second_index * 8)), I8)
        product = b.mul(extend(e, x, 32, is_signed(first_kind)), extend(e, y, 32, is_signed(second_kind)))
        total = b.add(total, product)
    e.write(i.operands[0], total, "b32")
