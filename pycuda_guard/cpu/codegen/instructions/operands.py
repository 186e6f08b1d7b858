"""Reading and writing several operands, or operands that hold several values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.instructions.values import integer
from pycuda_guard.cpu.codegen.types import I16, I32

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


def read_all(e: Emitter, i: Instruction, ptx_type: str) -> list[ir.Value]:
    """Return the source operands, all of one type."""
    return [e.read(operand, ptx_type) for operand in i.operands[1:]]


def halves(e: Emitter, operand: Operand) -> list[ir.Value]:
    """Return both 16-bit halves of a 32-bit operand, the low one first."""
    word = e.read(operand, "b32")
    return [e.builder.trunc(word, I16), e.builder.trunc(e.builder.lshr(word, integer(32, 16)), I16)]


def write_halves(e: Emitter, operand: Operand, low: ir.Value, high: ir.Value) -> None:
    """Write two 16-bit values to a 32-bit destination."""
    b = e.builder
    e.write(operand, b.or_(b.zext(low, I32), b.shl(b.zext(high, I32), integer(32, 16))), "b32")
