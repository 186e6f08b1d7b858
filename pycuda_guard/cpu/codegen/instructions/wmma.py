"""``wmma``: matrices that a warp loads, multiplies and stores together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.addresses import take_space
from pycuda_guard.cpu.codegen.instructions.fragments import accumulator, factor
from pycuda_guard.cpu.codegen.instructions.lanes import (
    elements,
    generic_address,
    group_index,
    index_in_group,
    outlined,
    packed,
    take_flags,
    take_shape,
    unpacked,
    wait_for_warp,
)
from pycuda_guard.cpu.codegen.instructions.mma import FACTORS, Product, lend_factors, multiply
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, resumes, suspends
from pycuda_guard.cpu.codegen.instructions.values import extend, integer
from pycuda_guard.cpu.codegen.types import I64, POINTER, width
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from pycuda_guard.cpu.abi import Suspension
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


@suspends("wmma", limits="no sub-byte numbers; the layout of fragments is that of mma")
def lend_to_wmma(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Lend A and B for ``wmma.mma``; wait for the warp also before loads and stores."""
    if "mma" in i.modifiers:
        lend_factors(e, i, Product(e, i, m))
    else:
        m.flag(*i.modifiers)
    return wait_for_warp(e)


@resumes("wmma")
def use_fragments(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wmma.load``, ``wmma.store``, ``wmma.mma``."""
    if "mma" in i.modifiers:
        return multiply(e, i, Product(e, i, m))
    take_flags(m)
    if m.flag("load"):
        return _load_fragment(e, i, m)
    m.flag("store")
    return _store_fragment(e, i, m)


class _InMemory:
    """A matrix in memory, of which a lane loads or stores its part.

    The manual asks for more, but a GPU goes on as long as its own accesses are aligned: of what a lane has
    side by side, else of words of 32 bits, or of bytes where those of a word lie apart (as ptxas 13.0 does).
    """

    def __init__(self, e: Emitter, i: Instruction, m: Modifiers) -> None:
        matrix = m.one_of("a", "b", "c", "d")
        by_rows = m.one_of("row", "col") == "row"
        shape = take_shape(e, i, m)
        self.space = take_space(m)
        self.bits = width(m.type(*FACTORS, "f32", "s32"))
        if matrix in "ab":
            self.fragment = factor(shape, matrix, self.bits)
            extents = (shape.m, shape.k) if matrix == "a" else (shape.k, shape.n)
        else:
            self.fragment = accumulator(shape)
            extents = shape.m, shape.n
        if not self.fragment.fits():
            e.unsupported("this shape")
        self.transposed = by_rows == (matrix == "b")  # B is held as its transpose
        beside = 1 if self.transposed else self.fragment.per_cell
        by_bytes = self.transposed and self.bits == 8
        self._alignment = 1 if by_bytes else max(beside * self.bits // 8, 4)
        self.stride = extents[by_rows]

    def inputs(self, e: Emitter, address: Operand, stride: tuple[Operand, ...]) -> list[ir.Value]:
        """Return the address and the stride (in numbers, ``i64``)."""
        step = e.read(stride[0], "u32") if stride else integer(32, self.stride)
        return [generic_address(e, address, self.space), extend(e, step, 64, False)]

    def places(self, e: Emitter, start: ir.Value, stride: ir.Value) -> list[ir.Value]:
        """Return the host pointers to the lane's numbers, tile by tile; they fault if one is misaligned."""
        b = e.builder
        found = []
        step = b.mul(stride, integer(64, self.bits // 8))
        aligned = e.is_aligned(b.or_(start, step), 0, self._alignment)
        misaligned = b.inttoptr(e.misaligned_address, POINTER)
        for tile in range(self.fragment.tiles):
            top, left = self.fragment.corner(tile)
            row = b.add(b.zext(group_index(e), I64), integer(64, top))
            cell = b.mul(b.zext(index_in_group(e), I64), integer(64, self.fragment.per_cell))
            for index in range(self.fragment.per_cell):
                column = b.add(cell, integer(64, left + index))
                major, minor = (column, row) if self.transposed else (row, column)
                offset = b.add(b.mul(major, stride), minor)
                pointer = e.translate(b.add(start, b.mul(offset, integer(64, self.bits // 8))))
                found.append(pointer if aligned is None else b.select(aligned, pointer, misaligned))
        return found


def _load_fragment(e: Emitter, i: Instruction, m: Modifiers) -> None:
    target, address, *stride = i.operands
    memory = _InMemory(e, i, m)

    def load(inner: Emitter, given: list[ir.Value]) -> list[ir.Value]:
        kind = ir.IntType(memory.bits)
        numbers = [inner.load(place, kind, Space.GENERIC) for place in memory.places(inner, *given)]
        return packed(inner, numbers) if memory.bits < 32 else numbers

    size = max(32, memory.bits)
    count = memory.fragment.tiles * memory.fragment.per_cell * memory.bits // size
    words = outlined(e, i, memory.inputs(e, address, tuple(stride)), load, count)
    for index, register in enumerate(elements(e, target)):
        e.write(register, extend(e, words[index % count], size, False), f"b{size}")


def _store_fragment(e: Emitter, i: Instruction, m: Modifiers) -> None:
    address, source, *stride = i.operands
    memory = _InMemory(e, i, m)
    size = max(32, memory.bits)
    registers = elements(e, source)
    if len(registers) != memory.fragment.tiles * memory.fragment.per_cell * memory.bits // size:
        e.unsupported(f"{len(registers)} registers")

    def store(inner: Emitter, given: list[ir.Value]) -> list[ir.Value]:
        words = [extend(inner, word, size, False) for word in given[2:]]
        numbers = [number for word in words for number in unpacked(inner, word, memory.bits)]
        for number, place in zip(numbers, memory.places(inner, *given[:2]), strict=True):
            inner.store(number, place, Space.GENERIC)
        return []

    words = [e.read(register, f"b{size}") for register in registers]
    outlined(e, i, [*memory.inputs(e, address, tuple(stride)), *words], store, 0)
