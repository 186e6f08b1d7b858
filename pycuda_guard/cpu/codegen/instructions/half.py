"""f16 and bf16, one number or two in a 32-bit register.

Every number is computed with as a float, one lane after the other: the loop over threads vectorizes that
better than pairs. 24 bits are more than twice the 11 or 8 of the formats, so that the second rounding of
sums, products and quotients changes nothing; ``fma`` goes through an exact pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.comparison import combined, compare, destinations
from pycuda_guard.cpu.codegen.instructions.floating import clipped, saturated
from pycuda_guard.cpu.codegen.instructions.operands import halves, write_halves
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.rounding import (
    exact_sum,
    float_of_16,
    nearest_16,
    round_pair,
    to_odd,
    widen,
)
from pycuda_guard.cpu.codegen.instructions.values import extremum, integer, intrinsic
from pycuda_guard.cpu.codegen.types import FLOAT, I16, value_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

#: below these, a number rounded to all bits of a normal one is less than the smallest of those
_TINY = {"f16": 2.0**-14 * (1 - 2.0**-12), "bf16": 2.0**-126 * (1 - 2.0**-9)}


class Lanes:
    """How the operands of one instruction hold numbers: of which format, one or two."""

    def __init__(self, e: Emitter, ptx_type: str, flushes: bool = False) -> None:
        self.format = ptx_type.removesuffix("x2")
        self.packed = ptx_type.endswith("x2")
        self._emitter = e
        self._flushes = flushes

    def patterns(self, operand: Operand) -> list[ir.Value]:
        """Return the bits of each number."""
        return halves(self._emitter, operand) if self.packed else [self._emitter.read(operand, "b16")]

    def read(self, operand: Operand) -> list[ir.Value]:
        """Return each number as a float."""
        values = [float_of_16(self._emitter, bits, self.format) for bits in self.patterns(operand)]
        return [self.flush(value) for value in values]

    def write(self, operand: Operand, values: list[ir.Value]) -> None:
        """Round floats to the format and write them."""
        values = [self.flush(value) for value in values]
        self.write_patterns(operand, [nearest_16(self._emitter, value, self.format) for value in values])

    def write_patterns(self, operand: Operand, patterns: list[ir.Value]) -> None:
        """Write numbers given by their bits."""
        if self.packed:
            write_halves(self._emitter, operand, *patterns)
        else:
            self._emitter.write(operand, patterns[0], "b16")

    def flush(self, value: ir.Value) -> ir.Value:
        """Replace a number that becomes denormal by a zero of its sign, if ``.ftz`` is set.

        As on a GPU, what only the coarser steps of denormal numbers would round up to a normal one is zero.
        """
        if not self._flushes:
            return value
        b = self._emitter.builder
        limit = ir.Constant(FLOAT, _TINY[self.format])
        is_tiny = b.fcmp_ordered("<", intrinsic(self._emitter, "fabs", value), limit)
        zero = intrinsic(self._emitter, "copysign", ir.Constant(FLOAT, 0.0), value)
        return b.select(is_tiny, zero, value)


@lowers("add", "sub", "mul", kind="half")
def arithmetic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``add``, ``sub``, ``mul``; only to nearest."""
    m.flag("rn")
    saturates = m.flag("sat")
    lanes = Lanes(e, m.type(), m.flag("ftz"))
    step = {"add": e.builder.fadd, "sub": e.builder.fsub, "mul": e.builder.fmul}[i.opcode]
    results = [step(a, b) for a, b in zip(*map(lanes.read, i.operands[1:3]), strict=True)]
    lanes.write(i.operands[0], [saturated(e, value) if saturates else value for value in results])


@lowers("fma", kind="half")
def fused(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``fma``: the product is exact as a double (of f16 as a float), the sum is rounded once."""
    m.flag("rn")
    saturates, relu = m.flag("sat"), m.flag("relu")
    lanes = Lanes(e, m.type(), m.flag("ftz"))
    patterns = []
    for a, b, c in zip(*map(lanes.read, i.operands[1:4]), strict=True):
        pattern = _fused(e, a, b, c, lanes)
        if saturates or relu:
            value = float_of_16(e, pattern, lanes.format)
            value = saturated(e, value) if saturates else clipped(e, value) if relu else value
            pattern = nearest_16(e, value, lanes.format)
        patterns.append(pattern)
    lanes.write_patterns(i.operands[0], patterns)


def _fused(e: Emitter, a: ir.Value, b: ir.Value, c: ir.Value, lanes: Lanes) -> ir.Value:
    """The bits of ``a * b + c``, rounded once."""
    if lanes.format == "f16":
        exact = exact_sum(e, e.builder.fmul(a, b), c)
        return nearest_16(e, lanes.flush(to_odd(e, exact)), lanes.format)
    product = e.builder.fmul(widen(e, a), widen(e, b))
    return round_pair(e, exact_sum(e, product, widen(e, c)), lanes.format, "rn")


@lowers("abs", "neg", kind="half")
def sign_operation(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``abs``, ``neg``; any NaN becomes 0x7fff."""
    lanes = Lanes(e, m.type(), m.flag("ftz"))
    values = lanes.read(i.operands[1])
    absolute = i.opcode == "abs"
    lanes.write(
        i.operands[0],
        [intrinsic(e, "fabs", value) if absolute else e.builder.fneg(value) for value in values],
    )


@lowers("min", "max", kind="half")
def least_or_greatest(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``min``, ``max``: as for f32."""
    propagates = m.flag("NaN")
    sign_of_product, absolute = m.flag("xorsign"), m.flag("abs")
    lanes = Lanes(e, m.type(), m.flag("ftz"))
    results = []
    for a, b in zip(*map(lanes.read, i.operands[1:3]), strict=True):
        sizes = [intrinsic(e, "fabs", value) for value in (a, b)] if absolute else [a, b]
        result = extremum(e, *sizes, least=i.opcode == "min", propagates=propagates)
        if sign_of_product:
            one = ir.Constant(FLOAT, 1.0)
            sign = e.builder.fmul(*(intrinsic(e, "copysign", one, value) for value in (a, b)))
            result = intrinsic(e, "copysign", result, sign)
        results.append(result)
    lanes.write(i.operands[0], results)


def unary(e: Emitter, i: Instruction, m: Modifiers, function: Callable[[ir.Value], ir.Value]) -> None:
    """Lower an approximate function of one operand, given as a function of floats."""
    if not m.flag("approx"):
        e.unsupported("without .approx")
    flushes = m.flag("ftz")
    lanes = Lanes(e, m.type(), flushes)
    lanes.write(i.operands[0], [function(value) for value in lanes.read(i.operands[1])])


@lowers("setp", kind="half")
def set_predicate(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``setp``; of packed numbers ``p|q`` are the comparisons of the low and the high one."""
    test = compare(e, m)
    boolean = m.one_of("and", "or", "xor", default="none")
    lanes = Lanes(e, m.type(), m.flag("ftz"))
    other = e.read(i.operands[3], "pred") if boolean != "none" else None
    results = [test.floats(a, b) for a, b in zip(*map(lanes.read, i.operands[1:3]), strict=True)]
    if not lanes.packed:
        results.append(e.builder.not_(results[0]))
    for destination, result in zip(destinations(i.operands[0]), results, strict=False):
        e.write(destination, combined(e, boolean, result, other), "pred")


@lowers("set", kind="half")
def set_value(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``set``: 1.0 or, for integer destinations, all bits set where the comparison holds; else 0."""
    test = compare(e, m)
    boolean = m.one_of("and", "or", "xor", default="none")
    flushes = m.flag("ftz")
    target, source = m.types(2)
    lanes = Lanes(e, source, flushes)
    other = e.read(i.operands[3], "pred") if boolean != "none" else None
    results = [
        combined(e, boolean, test.floats(a, b), other)
        for a, b in zip(*map(lanes.read, i.operands[1:3]), strict=True)
    ]
    if lanes.packed and target not in (source, "b32", "u32", "s32"):
        e.unsupported(f"result type .{target}")
    if target == source or target in ("f16", "bf16", "f16x2", "bf16x2"):
        one = nearest_16(e, ir.Constant(FLOAT, 1.0), lanes.format)
        lanes.write_patterns(
            i.operands[0], [e.builder.select(result, one, integer(16, 0)) for result in results]
        )
    elif lanes.packed:
        write_halves(e, i.operands[0], *(e.builder.sext(result, I16) for result in results))
    elif target == "f32":
        e.write(i.operands[0], e.builder.uitofp(results[0], FLOAT), target)
    else:
        e.write(i.operands[0], e.builder.sext(results[0], value_type(target)), target)
