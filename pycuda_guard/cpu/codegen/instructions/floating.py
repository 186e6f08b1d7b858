"""Arithmetic of f32 and f64.

Rounding to nearest is the processor's own; the other directions are exact too (see
:mod:`pycuda_guard.cpu.codegen.instructions.rounding`). An f32 result that is NaN is 0x7fffffff, as on a GPU
(see :mod:`pycuda_guard.cpu.codegen.instructions.nans`).
``.ftz`` takes denormal inputs as zero and gives zero for denormal results, with their signs. A result is
denormal if it is below the smallest normal number when rounded to 24 bits, as on a GPU: what only the coarser
steps of denormal numbers would round up to that is zero too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.moves import is_unsettled
from pycuda_guard.cpu.codegen.instructions.nans import settled
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.rounding import (
    MODES,
    Pair,
    by_environment,
    exact_sum,
    exactly,
    round_pair,
    widen,
)
from pycuda_guard.cpu.codegen.instructions.values import extremum, integer, intrinsic
from pycuda_guard.cpu.codegen.types import DOUBLE, FLOAT, I1, I32, I64, value_type, width
from pycuda_guard.kernels.ptx.ir import Immediate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_SMALLEST_NORMAL = {FLOAT: 2.0**-126, DOUBLE: 2.0**-1022}
#: what rounds to numbers below the smallest normal float, by mode: the limits, and whether they belong to it
_BELOW = 2.0**-126 * (1 - 2.0**-24)
_HALFWAY = 2.0**-126 * (1 - 2.0**-25)
_TINY = {
    "rn": ((-_HALFWAY, False), (_HALFWAY, False)),
    "rz": ((-(2.0**-126), False), (2.0**-126, False)),
    "rm": ((-_BELOW, True), (2.0**-126, False)),
    "rp": ((-(2.0**-126), False), (_BELOW, True)),
}


def canonical(e: Emitter, value: ir.Value) -> ir.Value:
    """An f32 result with the one NaN that a GPU has; f64 as it is."""
    if value.type != FLOAT:
        return value
    return e.builder.bitcast(settled(e.builder, e.builder.bitcast(value, I32)), FLOAT)


def write_result(e: Emitter, destination: Operand, value: ir.Value, kind: str) -> None:
    """Write the result of f32 or f64 arithmetic."""
    if not is_unsettled(e, destination):
        value = canonical(e, value)
    e.write(destination, value, kind)


def flush(e: Emitter, value: ir.Value) -> ir.Value:
    """A number with denormals replaced by zeros of their sign."""
    kind = value.type
    size = intrinsic(e, "fabs", value)
    is_denormal = e.builder.fcmp_ordered("<", size, ir.Constant(kind, _SMALLEST_NORMAL[kind]))
    zero = intrinsic(e, "copysign", ir.Constant(kind, 0.0), value)
    return e.builder.select(is_denormal, zero, value)


def flush_rounded(e: Emitter, value: ir.Value, exact: Pair, mode: str) -> ir.Value:
    """An f32 that was rounded from an exact number, or a zero of its sign where ``.ftz`` gives that."""
    zero = intrinsic(e, "copysign", ir.Constant(FLOAT, 0.0), value)
    return e.builder.select(_is_tiny(e, exact, mode), zero, value)


def _is_tiny(e: Emitter, exact: Pair, mode: str) -> ir.Value:
    """Tell whether an exact number is below the smallest normal float when it is rounded to 24 bits."""
    b = e.builder
    sides = []
    for (limit, belongs), inside in zip(_TINY[mode], ("><"), strict=True):
        bound = ir.Constant(DOUBLE, limit)
        rest = b.fcmp_ordered(inside + "=" * belongs, exact.error, ir.Constant(DOUBLE, 0.0))
        at = b.and_(b.fcmp_ordered("==", exact.value, bound), rest)
        sides.append(b.or_(b.fcmp_ordered(inside, exact.value, bound), at))
    return b.and_(*sides)


def saturated(e: Emitter, value: ir.Value) -> ir.Value:
    """A number limited to 0 … 1; NaN becomes 0."""
    b, zero, one = e.builder, ir.Constant(value.type, 0.0), ir.Constant(value.type, 1.0)
    value = b.select(b.fcmp_ordered(">", value, zero), value, zero)
    return b.select(b.fcmp_ordered("<", value, one), value, one)


def clipped(e: Emitter, value: ir.Value) -> ir.Value:
    """``.relu``: a number with 0 for negative ones; NaN stays."""
    zero = ir.Constant(value.type, 0.0)
    return e.builder.select(e.builder.fcmp_unordered(">", value, zero), value, zero)


class Operation:
    """The modifiers that most f32 and f64 instructions share, and what they mean for operands and result."""

    def __init__(self, e: Emitter, i: Instruction, m: Modifiers) -> None:
        self.kind = m.type("f32", "f64")
        self.mode = m.one_of(*MODES, default="rn")
        self.approximate = m.flag("approx")
        self.flushes = m.flag("ftz")
        self._saturate = m.flag("sat")
        self._emitter = e
        self._instruction = i

    def inputs(self) -> list[ir.Value]:
        """Return the source operands."""
        return [self.input(operand) for operand in self._instruction.operands[1:]]

    def input(self, operand: Operand) -> ir.Value:
        """Return one operand, flushed if the instruction says so."""
        return self.flushed(self._emitter.read(operand, self.kind))

    def flushed(self, value: ir.Value) -> ir.Value:
        """Return a number, flushed if the instruction says so."""
        return flush(self._emitter, value) if self.flushes else value

    @property
    def flushes_inexact(self) -> bool:
        """Whether :meth:`output` wants the exact number: f32 with ``.ftz``, not approximate."""
        return self.flushes and self.kind == "f32" and not self.approximate

    def output(self, value: ir.Value, exact: Pair | None = None) -> None:
        """Write the result, flushed and saturated if the instruction says so.

        ``exact`` is the number before it was rounded, of which a quotient may be the nearest double: it is
        nowhere near enough to a limit to be on its other side.
        """
        e = self._emitter
        if exact is not None and self.flushes_inexact:
            value = flush_rounded(e, value, exact, self.mode)
        else:
            value = self.flushed(value)
        if self._saturate:
            value = saturated(e, value)
        write_result(e, self._instruction.operands[0], value, self.kind)


@lowers("add", "sub", "mul", kind="float")
def arithmetic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``add``, ``sub``, ``mul``."""
    operation = Operation(e, i, m)
    a, b = operation.inputs()
    name, mode = i.opcode, operation.mode
    exact = None  # sums of normal floats are denormal only if they are exact
    if name == "mul" and a.type == FLOAT and (operation.flushes or mode != "rn"):
        exact = exactly(e.builder.fmul(widen(e, a), widen(e, b)))
    if mode == "rn":
        step = {"add": e.builder.fadd, "sub": e.builder.fsub, "mul": e.builder.fmul}[name]
        return operation.output(step(a, b), exact)
    if a.type == DOUBLE:
        return operation.output(_by_environment(e, name, mode, [a, b]))
    if exact is not None:
        return operation.output(round_pair(e, exact, "f32", mode), exact)
    if name == "sub":
        b = e.builder.fneg(b)
    return operation.output(round_pair(e, _directed_sum(e, widen(e, a), widen(e, b), mode), "f32", mode))


@lowers("fma", "mad", kind="float")
def fused(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``fma``: one rounding; ``mad`` of floating-point numbers is the same."""
    operation = Operation(e, i, m)
    a, b, c = operation.inputs()
    if operation.mode != "rn" and a.type == DOUBLE:
        return operation.output(_by_environment(e, "fma", operation.mode, [a, b, c]))
    exact = None
    if operation.mode != "rn" or operation.flushes_inexact:
        product = e.builder.fmul(widen(e, a), widen(e, b))  # exact: 48 bits
        exact = _directed_sum(e, product, widen(e, c), operation.mode)
    if operation.mode == "rn":
        return operation.output(intrinsic(e, "fma", a, b, c), exact)
    assert exact is not None
    return operation.output(round_pair(e, exact, "f32", operation.mode), exact)


def _directed_sum(e: Emitter, a: ir.Value, b: ir.Value, mode: str) -> Pair:
    """Sum of two doubles that came from floats, as it is to be rounded."""
    f = e.builder
    pair = exact_sum(e, a, b)
    if mode == "rm":
        # x - x is -0 when rounding down
        either = f.and_(f.or_(f.bitcast(a, I64), f.bitcast(b, I64)), integer(64, 1 << 63))
        is_zero = f.fcmp_ordered("==", pair.value, ir.Constant(DOUBLE, 0.0))
        pair = Pair(f.select(is_zero, f.bitcast(either, DOUBLE), pair.value), pair.error)
    return pair


_BUILDERS: dict[str, Callable[[ir.IRBuilder, list[ir.Value]], ir.Value]] = {
    "add": lambda b, values: b.fadd(*values),
    "sub": lambda b, values: b.fsub(*values),
    "mul": lambda b, values: b.fmul(*values),
    "div": lambda b, values: b.fdiv(*values),
    "rcp": lambda b, values: b.fdiv(ir.Constant(values[0].type, 1.0), values[0]),
}


def _by_environment(e: Emitter, name: str, mode: str, values: list[ir.Value]) -> ir.Value:
    kind = values[0].type
    if name in _BUILDERS:
        return by_environment(e, name, mode, values, _BUILDERS[name])
    function = e.declare(f"llvm.{name}.{kind.intrinsic_name}", kind, [kind] * len(values))
    return by_environment(e, name, mode, values, lambda b, arguments: b.call(function, arguments))


@lowers("div", kind="float", limits="approximate forms are rounded correctly")
def divide(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``div``; ``.approx`` gives 0 for divisors above 2^126, as its reciprocal would be denormal."""
    full = m.flag("full")
    operation = Operation(e, i, m)
    a, b = operation.inputs()
    exact = None
    if operation.flushes_inexact and not full:
        exact = exactly(e.builder.fdiv(widen(e, a), widen(e, b)))
    if operation.mode != "rn":
        return operation.output(_by_environment(e, "div", operation.mode, [a, b]), exact)
    quotient = e.builder.fdiv(a, b)
    if operation.approximate:
        size = intrinsic(e, "fabs", b)
        huge = e.builder.fcmp_ordered(">", size, ir.Constant(FLOAT, 2.0**126))
        finite = e.builder.fcmp_ordered("<", size, ir.Constant(FLOAT, float("inf")))
        nothing = e.builder.fmul(a, intrinsic(e, "copysign", ir.Constant(FLOAT, 0.0), b))
        quotient = e.builder.select(e.builder.and_(huge, finite), nothing, quotient)
    return operation.output(quotient, exact)


@lowers(
    "rcp", "sqrt", "rsqrt", limits="approximate forms are rounded correctly, .approx.ftz.f64 to its high word"
)
def reciprocal_or_root(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``rcp``, ``sqrt``, ``rsqrt``; ``.approx.ftz.f64`` gives the high word only."""
    operation = Operation(e, i, m)
    (a,) = operation.inputs()
    one = ir.Constant(a.type, 1.0)
    exact = None
    if i.opcode == "rcp" and operation.flushes_inexact:
        exact = exactly(e.builder.fdiv(ir.Constant(DOUBLE, 1.0), widen(e, a)))
    if operation.mode != "rn":
        return operation.output(_by_environment(e, i.opcode, operation.mode, [a]), exact)
    if i.opcode == "rcp":
        result = e.builder.fdiv(one, a)
    elif i.opcode == "sqrt":
        result = intrinsic(e, "sqrt", a)
    else:
        result = _reciprocal_root(e, a)
    if operation.approximate and operation.flushes and operation.kind == "f64":
        high = e.builder.and_(e.builder.bitcast(result, I64), integer(64, 0xFFFF_FFFF_0000_0000))
        result = e.builder.bitcast(high, DOUBLE)
    return operation.output(result, exact)


def _reciprocal_root(e: Emitter, a: ir.Value) -> ir.Value:
    """``1/sqrt(a)``; of a float through double, which leaves one rounding that counts."""
    root = intrinsic(e, "sqrt", widen(e, a))
    result = e.builder.fdiv(ir.Constant(DOUBLE, 1.0), root)
    return e.builder.fptrunc(result, FLOAT) if a.type == FLOAT else result


@lowers("abs", "neg", kind="float")
def sign_operation(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``abs``, ``neg``."""
    kind, flushes = m.type("f32", "f64"), m.flag("ftz")
    value = e.read(i.operands[1], kind)
    if flushes:
        value = flush(e, value)
    result = intrinsic(e, "fabs", value) if i.opcode == "abs" else e.builder.fneg(value)
    write_result(e, i.operands[0], result, kind)


@lowers("min", "max", kind="float")
def least_or_greatest(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``min``, ``max`` of two or three numbers: -0 is below +0; NaN only wins with ``.NaN``."""
    propagates = m.flag("NaN")
    sign_of_product, absolute = m.flag("xorsign"), m.flag("abs")
    operation = Operation(e, i, m)
    values = operation.inputs()
    signs = [_signed(e, operand, operation.kind) for operand in i.operands[1:]] if sign_of_product else []
    if absolute:
        values = [intrinsic(e, "fabs", value) for value in values]
    result = values[0]
    for value in values[1:]:
        result = extremum(e, result, value, least=i.opcode == "min", propagates=propagates)
    result = operation.flushed(result)
    if sign_of_product:
        sign = e.builder.xor(*signs)
        result = intrinsic(e, "copysign", result, e.builder.bitcast(sign, result.type))
    write_result(e, i.operands[0], result, operation.kind)


@lowers("copysign")
def copy_sign(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``copysign d, a, b``: the size of b with the sign of a."""
    kind = m.type("f32", "f64")
    sign, size = (
        e.builder.bitcast(_signed(e, i.operands[1], kind), value_type(kind)),
        e.read(i.operands[2], kind),
    )
    e.write(i.operands[0], intrinsic(e, "copysign", size, sign), kind)


def _signed(e: Emitter, operand: Operand, kind: str) -> ir.Value:
    """Return an operand whose sign counts, as its bits: those of a GPU if it is NaN."""
    return e.bits(e.read(operand, kind if isinstance(operand, Immediate) else f"b{width(kind)}"))


#: LLVM's classes of numbers; zeros count as normal
_CLASSES = {
    "finite": 0x1F8,
    "infinite": 0x204,
    "number": 0x3FC,
    "notanumber": 0x003,
    "normal": 0x168,
    "subnormal": 0x090,
}


@lowers("testp")
def test_property(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``testp``: finite, infinite, number, notanumber, normal or subnormal."""
    mask = _CLASSES[m.one_of(*_CLASSES)]
    kind = m.type("f32", "f64")
    value = e.read(i.operands[1], kind)
    function = e.declare(f"llvm.is.fpclass.{kind}", I1, [value_type(kind), I32])
    e.write(i.operands[0], e.call(function, [value, integer(32, mask)]), "pred")
