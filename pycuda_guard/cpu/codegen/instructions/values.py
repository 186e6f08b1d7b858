"""Small steps that several families share: constants, calls of intrinsics, shifts as PTX defines them.

Everything here is about values; nothing reads or writes PTX registers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.cpu.codegen.emitter import Emitter


def integer(width: int, value: int) -> ir.Constant:
    """A constant of ``width`` bits; ``value`` is taken modulo its range."""
    return ir.Constant(ir.IntType(width), value & ((1 << width) - 1))


def number(like: ir.Value, value: int) -> ir.Constant:
    """An integer constant of the type of ``like``."""
    return integer(like.type.width, value)


def _mangled(kind: ir.Type) -> str:
    return str(kind.intrinsic_name)


def intrinsic(e: Emitter, name: str, *arguments: ir.Value) -> ir.Value:
    """Call ``llvm.<name>`` overloaded on, and returning, the type of the first argument."""
    kind = arguments[0].type
    function = e.declare(f"llvm.{name}.{_mangled(kind)}", kind, [value.type for value in arguments])
    return e.call(function, arguments)


def convert(e: Emitter, name: str, value: ir.Value, kind: ir.Type) -> ir.Value:
    """Call ``llvm.<name>`` overloaded on its result ``kind`` and its argument."""
    function = e.declare(f"llvm.{name}.{_mangled(kind)}.{_mangled(value.type)}", kind, [value.type])
    return e.call(function, [value])


def runtime(e: Emitter, name: str, return_type: ir.Type, arguments: Sequence[ir.Value]) -> ir.Value:
    """Call a function of the C runtime or of libm."""
    return e.call(e.declare(name, return_type, [value.type for value in arguments]), arguments)


def extend(e: Emitter, value: ir.Value, width: int, signed: bool) -> ir.Value:
    """Change an integer's width: truncate it, or extend it by its signedness."""
    target = ir.IntType(width)
    if value.type.width == width:
        return value
    if value.type.width > width:
        return e.builder.trunc(value, target)
    return e.builder.sext(value, target) if signed else e.builder.zext(value, target)


def minimum(e: Emitter, a: ir.Value, b: ir.Value, signed: bool = False) -> ir.Value:
    """Smaller of two integers."""
    return intrinsic(e, "smin" if signed else "umin", a, b)


def maximum(e: Emitter, a: ir.Value, b: ir.Value, signed: bool = False) -> ir.Value:
    """Larger of two integers."""
    return intrinsic(e, "smax" if signed else "umax", a, b)


def clamp(e: Emitter, value: ir.Value, low: int, high: int) -> ir.Value:
    """A signed integer limited to ``low`` … ``high``."""
    return minimum(e, maximum(e, value, number(value, low), True), number(value, high), True)


def shift_left(e: Emitter, value: ir.Value, count: ir.Value) -> ir.Value:
    """``value << count``, 0 from the width on. Both have the same type; ``count`` is unsigned."""
    width = value.type.width
    if isinstance(count, ir.Constant):
        return e.builder.shl(value, count) if count.constant < width else number(value, 0)
    inside = e.builder.icmp_unsigned("<", count, number(value, width))
    shifted = e.builder.shl(value, e.builder.and_(count, number(value, width - 1)))
    return e.builder.select(inside, shifted, number(value, 0))


def shift_right(e: Emitter, value: ir.Value, count: ir.Value, signed: bool) -> ir.Value:
    """``value >> count``, 0 or copies of the sign from the width on. Both have the same type."""
    width = value.type.width
    if isinstance(count, ir.Constant):
        if signed:
            return e.builder.ashr(value, number(value, min(count.constant, width - 1)))
        return e.builder.lshr(value, count) if count.constant < width else number(value, 0)
    if signed:
        return e.builder.ashr(value, minimum(e, count, number(value, width - 1)))
    inside = e.builder.icmp_unsigned("<", count, number(value, width))
    shifted = e.builder.lshr(value, e.builder.and_(count, number(value, width - 1)))
    return e.builder.select(inside, shifted, number(value, 0))


def low_mask(e: Emitter, width: int, count: ir.Value) -> ir.Value:
    """The lowest ``count`` bits set (all from the width on); ``count`` has that width."""
    return e.builder.not_(shift_left(e, integer(width, -1), count))


def is_nan(e: Emitter, value: ir.Value) -> ir.Value:
    """Whether a floating-point value is NaN."""
    return e.builder.fcmp_unordered("uno", value, value)


def extremum(e: Emitter, a: ir.Value, b: ir.Value, *, least: bool, propagates: bool = False) -> ir.Value:
    """The least or the greatest of two floating-point values: -0 is below +0.

    Of a NaN and a number it is the number, or with ``propagates`` NaN. LLVM's ``minimumnum`` and ``minimum``
    are not asked: for AVX-512, LLVM 22 forgets signalling NaNs where it knows that the other one is a number.
    """
    f = e.builder
    result = f.select(f.fcmp_ordered("<" if least else ">", a, b), a, b)
    merge = f.or_ if least else f.and_  # equal numbers differ in the sign of zeros alone
    result = f.select(f.fcmp_ordered("==", a, b), f.bitcast(merge(e.bits(a), e.bits(b)), a.type), result)
    if propagates:
        return f.select(f.fcmp_unordered("uno", a, b), ir.Constant(a.type, float("nan")), result)
    return f.select(is_nan(e, b), a, result)


def without_release(ordering: str) -> str:
    """The ordering of a compare-and-swap that fails, which stores nothing."""
    return {"acq_rel": "acquire", "release": "monotonic"}.get(ordering, ordering)


def replace_word(
    e: Emitter, place: ir.Value, ordering: str, operation: Callable[[ir.Value], ir.Value], size: int
) -> ir.Value:
    """Replace a word by a function of it, by compare-and-swap until nobody interferes; return the old one."""
    b = e.builder
    first = b.load_atomic(place, "monotonic", size // 8, typ=ir.IntType(size))
    before = b.block
    loop, after = b.append_basic_block("atomic"), b.append_basic_block("atomic.done")
    b.branch(loop)
    b.position_at_end(loop)
    old = b.phi(ir.IntType(size))
    old.add_incoming(first, before)
    outcome = b.cmpxchg(place, old, operation(old), ordering, without_release(ordering))
    old.add_incoming(b.extract_value(outcome, 0), b.block)
    b.cbranch(b.extract_value(outcome, 1), after, loop)
    b.position_at_end(after)
    return old
