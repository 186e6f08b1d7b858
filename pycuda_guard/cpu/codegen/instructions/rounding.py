"""Correct rounding in every direction, into every format.

LLVM rounds to nearest. What it cannot do directly is done through an *exact pair*: two doubles (for f16,
floats) ``value`` and ``error``, where value + error is the exact result and value the nearest to it. A pair
knows on which side of any narrower number the exact result lies, which is all that rounding asks.

Where no pair is at hand (f64 arithmetic, division, roots), a small function changes the processor's rounding
mode around the one operation. Its operands and result pass through memory that an empty piece of assembly
seems to change, so that the compiler can neither fold the operation nor move it out.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.values import integer, intrinsic, is_nan, number
from pycuda_guard.cpu.codegen.types import DOUBLE, FLOAT, HALF, I16, I32, scalar_width

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter

#: rounding modifiers of arithmetic: to nearest even, towards zero, down, up
MODES = ("rn", "rz", "rm", "rp")

#: C's FE_* numbers of the modes
_ENVIRONMENT = {
    "x86_64": {"rn": 0, "rm": 0x400, "rp": 0x800, "rz": 0xC00},
    "aarch64": {"rn": 0, "rp": 0x400000, "rm": 0x800000, "rz": 0xC00000},
}

#: of f16 and bf16, as a GPU gives it
_QUIET_NAN = 0x7FFF


@dataclass(frozen=True, slots=True)
class Pair:
    """An exact number: ``value + error``, both of one type; value is the sum rounded to nearest."""

    value: ir.Value
    error: ir.Value


def exactly(value: ir.Value) -> Pair:
    """The pair of a number that is a double."""
    return Pair(value, ir.Constant(DOUBLE, 0.0))


def exact_sum(e: Emitter, a: ir.Value, b: ir.Value) -> Pair:
    """The exact sum of two numbers that are far from overflow (Knuth's TwoSum)."""
    f = e.builder
    total = f.fadd(a, b)
    part = f.fsub(total, a)
    error = f.fadd(f.fsub(a, f.fsub(total, part)), f.fsub(b, part))
    return Pair(total, error)


def widen(e: Emitter, value: ir.Value) -> ir.Value:
    """A float as a double."""
    return value if value.type == DOUBLE else e.builder.fpext(value, DOUBLE)


def round_pair(e: Emitter, pair: Pair, target: str, mode: str) -> ir.Value:
    """Round doubles to ``target`` (f64, f32, f16, bf16); 16-bit formats come back as their bits (``i16``)."""
    if target == "f64":
        return pair.value if mode == "rn" else _directed(e, pair, pair.value, pair.value, mode)
    if target == "f32":
        if mode == "rn":
            return e.builder.fptrunc(to_odd(e, pair), FLOAT)
        nearest = e.builder.fptrunc(pair.value, FLOAT)
        return _directed(e, pair, nearest, widen(e, nearest), mode)
    if mode == "rn":
        return nearest_16(e, _odd_float(e, pair), target)
    nearest_bits = nearest_16(e, e.builder.fptrunc(pair.value, FLOAT), target)
    return _directed(e, pair, nearest_bits, widen(e, float_of_16(e, nearest_bits, target)), mode)


def to_odd(e: Emitter, pair: Pair) -> ir.Value:
    """The pair as one number whose last bit is set if it is not exact, so that rounding it again is right."""
    f = e.builder
    size = scalar_width(pair.value.type)
    bits = ir.IntType(size)
    pattern = f.bitcast(pair.value, bits)
    inexact = f.fcmp_ordered("!=", pair.error, ir.Constant(pair.error.type, 0.0))
    even = f.icmp_unsigned("==", f.and_(pattern, integer(size, 1)), integer(size, 0))
    # same signs: the exact number is farther from zero
    outwards = f.icmp_signed(">=", f.xor(pattern, f.bitcast(pair.error, bits)), integer(size, 0))
    step = f.select(outwards, integer(size, 1), integer(size, -1))
    odd = f.add(pattern, f.select(f.and_(inexact, even), step, integer(size, 0)))
    return f.bitcast(odd, pair.value.type)


def _odd_float(e: Emitter, pair: Pair) -> ir.Value:
    """The pair as one float whose last bit is set if it is not exact."""
    f = e.builder
    odd = to_odd(e, pair)
    narrow = f.fptrunc(odd, FLOAT)
    back = widen(e, narrow)
    pattern = f.bitcast(narrow, I32)
    inexact = f.fcmp_ordered("!=", back, odd)
    even = f.icmp_unsigned("==", f.and_(pattern, integer(32, 1)), integer(32, 0))
    outwards = f.fcmp_ordered("<", intrinsic(e, "fabs", back), intrinsic(e, "fabs", odd))
    step = f.select(outwards, integer(32, 1), integer(32, -1))
    return f.bitcast(f.add(pattern, f.select(f.and_(inexact, even), step, integer(32, 0))), FLOAT)


def _directed(e: Emitter, pair: Pair, nearest: ir.Value, nearest_double: ir.Value, mode: str) -> ir.Value:
    """Move the nearest number of a format one step if it lies on the wrong side of the exact one."""
    f = e.builder
    zero = ir.Constant(DOUBLE, 0.0)
    above = f.fcmp_ordered(">", nearest_double, pair.value)
    below = f.fcmp_ordered("<", nearest_double, pair.value)
    same = f.fcmp_ordered("==", nearest_double, pair.value)
    above = f.or_(above, f.and_(same, f.fcmp_ordered("<", pair.error, zero)))
    below = f.or_(below, f.and_(same, f.fcmp_ordered(">", pair.error, zero)))
    if mode == "rz":
        positive = f.fcmp_ordered(">", pair.value, zero)
        down, up = f.and_(above, positive), f.and_(below, f.not_(positive))
    else:
        down = above if mode == "rm" else None
        up = below if mode == "rp" else None
    kind = nearest.type
    pattern = nearest if isinstance(kind, ir.IntType) else f.bitcast(nearest, ir.IntType(scalar_width(kind)))
    result = pattern
    if down is not None:
        result = f.select(down, _next(e, pattern, negative_step=True), result)
    if up is not None:
        result = f.select(up, _next(e, pattern, negative_step=False), result)
    return result if isinstance(kind, ir.IntType) else f.bitcast(result, kind)


def _next(e: Emitter, pattern: ir.Value, negative_step: bool) -> ir.Value:
    """The next number below (or above) by its bits, over zero and infinity."""
    f = e.builder
    sign = 1 << (pattern.type.width - 1)
    negative = f.icmp_signed("<", pattern, number(pattern, 0))
    away = f.select(negative, number(pattern, 1), number(pattern, -1))
    step = away if negative_step else f.neg(away)
    is_zero = f.icmp_unsigned("==", f.shl(pattern, number(pattern, 1)), number(pattern, 0))
    smallest = number(pattern, sign | 1 if negative_step else 1)
    return f.select(is_zero, smallest, f.add(pattern, step))


# --- 16-bit formats -----------------------------------------------------------------------------


def float_of_16(e: Emitter, pattern: ir.Value, kind: str) -> ir.Value:
    """The float of an f16's or bf16's bits."""
    f = e.builder
    if kind == "f16":
        return f.fpext(f.bitcast(pattern, HALF), FLOAT)
    return f.bitcast(f.shl(f.zext(pattern, I32), integer(32, 16)), FLOAT)


def nearest_16(e: Emitter, value: ir.Value, kind: str) -> ir.Value:
    """The bits of the f16 or bf16 nearest to a float, ties to even; any NaN becomes 0x7fff."""
    f = e.builder
    if kind == "f16":
        rounded = f.bitcast(f.fptrunc(value, HALF), I16)
    else:
        pattern = f.bitcast(value, I32)
        odd = f.and_(f.lshr(pattern, integer(32, 16)), integer(32, 1))
        shifted = f.lshr(f.add(pattern, f.add(odd, integer(32, 0x7FFF))), integer(32, 16))
        rounded = f.trunc(shifted, I16)
    return f.select(is_nan(e, value), integer(16, _QUIET_NAN), rounded)


# --- by the processor's rounding mode -----------------------------------------------------------


def by_environment(
    e: Emitter,
    name: str,
    mode: str,
    arguments: list[ir.Value],
    operation: Callable[[ir.IRBuilder, list[ir.Value]], ir.Value],
) -> ir.Value:
    """Call a function that does ``operation`` in a rounding mode; made once a module, called ``name``."""
    kind = arguments[0].type
    full_name = f"pg.{name}.{mode}.{kind.intrinsic_name}"
    function = e.module.globals.get(full_name)
    if function is None:
        function = ir.Function(e.module, ir.FunctionType(kind, [kind] * len(arguments)), full_name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        _fill(e, function, mode, operation)
    return e.call(function, arguments)


def _fill(
    e: Emitter,
    function: ir.Function,
    mode: str,
    operation: Callable[[ir.IRBuilder, list[ir.Value]], ir.Value],
) -> None:
    numbers = _ENVIRONMENT.get(platform.machine())
    if numbers is None:
        e.unsupported(f"rounding .{mode} on a processor of kind {platform.machine()}")
    set_mode = e.declare("fesetround", I32, [I32])
    b = ir.IRBuilder(function.append_basic_block("entry"))
    kind = function.return_value.type
    slots = [b.alloca(kind) for _ in function.args]
    result = b.alloca(kind)
    for slot, argument in zip(slots, function.args, strict=True):
        b.store(argument, slot)
    b.call(set_mode, [integer(32, numbers[mode])])
    _unknown(b, slots)
    b.store(operation(b, [b.load(slot, typ=kind) for slot in slots]), result)
    _unknown(b, [result])
    b.call(set_mode, [integer(32, numbers["rn"])])
    b.ret(b.load(result, typ=kind))


def _unknown(b: ir.IRBuilder, slots: list[ir.Value]) -> None:
    """Make the compiler believe that memory changes here, at this point between two calls."""
    for slot in slots:
        kind = ir.FunctionType(ir.VoidType(), [slot.type])
        b.asm(kind, "", "r,~{memory}", [slot], side_effect=True)
