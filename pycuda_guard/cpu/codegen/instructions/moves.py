"""``mov``, with packing and unpacking of vectors, and the constants of the running launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.values import extend, number
from pycuda_guard.cpu.codegen.types import FLOAT, width
from pycuda_guard.kernels.ptx.ir import Immediate, Register, Vector

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


def read_bits(e: Emitter, operand: Operand, kind: str) -> ir.Value:
    """Return an operand's bits as an integer of the width of ``kind``, whatever number they stand for."""
    if isinstance(operand, Immediate):
        return e.bits(e.read(operand, kind))
    return e.read(operand, "pred" if kind == "pred" else f"b{width(kind)}")


def is_unsettled(e: Emitter, operand: Operand) -> bool:
    """Whether an operand is a register that may keep the host's NaN."""
    return isinstance(operand, Register) and operand.name in e.context.unsettled


def read_unsettled(e: Emitter, operand: Operand, kind: str) -> ir.Value:
    """Return an operand of a 32-bit copy as a float, a NaN as it is."""
    if isinstance(operand, Immediate):
        return e.builder.bitcast(read_bits(e, operand, kind), FLOAT)
    return e.read(operand, "f32")


@lowers("mov")
def move(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mov``: of a value, an address, a special register, or between a word and its parts."""
    kind = m.type()
    destination, source = i.operands
    if isinstance(source, Vector):
        _pack(e, destination, source, kind)
    elif isinstance(destination, Vector):
        _unpack(e, destination, source, kind)
    elif is_unsettled(e, destination):
        e.write(destination, read_unsettled(e, source, kind), "f32")
    else:
        e.write(destination, read_bits(e, source, kind), kind)


def _pack(e: Emitter, destination: Operand, source: Vector, kind: str) -> None:
    size = width(kind) // len(source.elements)
    word: ir.Value | None = None
    for index, element in enumerate(source.elements):
        part = extend(e, e.read(element, f"b{size}"), width(kind), False)
        if index:
            part = e.builder.shl(part, number(part, index * size))
        word = part if word is None else e.builder.or_(word, part)
    e.write(destination, word, kind)


def _unpack(e: Emitter, destination: Vector, source: Operand, kind: str) -> None:
    size = width(kind) // len(destination.elements)
    word = e.read(source, f"b{width(kind)}")
    for index, element in enumerate(destination.elements):
        part = e.builder.lshr(word, number(word, index * size)) if index else word
        e.write(element, extend(e, part, size, False), f"b{size}")
