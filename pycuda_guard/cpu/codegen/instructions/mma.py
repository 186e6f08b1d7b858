"""Products of matrices that a warp holds together: ``mma``, and that of ``wmma``.

Before the suspension point each lane lends its part of A and B; after it each computes its own part of D. A
second suspension point, which the control-flow graph adds, keeps lanes from lending anew while others
still read. Products are exact, and their sum with C is rounded once (f64: each time): at least as precise as
the manual asks for, which leaves order and rounding open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen import exchange
from pycuda_guard.cpu.codegen.instructions.floating import canonical
from pycuda_guard.cpu.codegen.instructions.fragments import COLUMNS, Fragment, accumulator, factor
from pycuda_guard.cpu.codegen.instructions.lanes import (
    elements,
    group_index,
    index_in_group,
    outlined,
    packed,
    take_flags,
    take_shape,
    thread_of_lane,
    unpacked,
    wait_for_warp,
)
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, resumes, suspends
from pycuda_guard.cpu.codegen.instructions.rounding import exactly, float_of_16, round_pair, widen
from pycuda_guard.cpu.codegen.instructions.values import clamp, extend, integer, intrinsic
from pycuda_guard.cpu.codegen.types import DOUBLE, FLOAT, I32, I64, is_signed, width

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.abi import Suspension
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction

#: types of A and B
FACTORS = frozenset({"f16", "bf16", "tf32", "s8", "u8", "f64"})
#: and of C and D, by them; integers are summed as s32
_SUMS = {"f16": ("f16", "f32"), "bf16": ("f32",), "tf32": ("f32",), "f64": ("f64",)}


class Product:
    """What ``mma`` and ``wmma.mma`` say: shape, types, fragments."""

    def __init__(self, e: Emitter, i: Instruction, m: Modifiers) -> None:
        take_flags(m)
        m.flag("mma", "row", "col", "rn")
        self.saturates = m.flag("satfinite")
        shape = take_shape(e, i, m)
        if m.count_types() == 2:  # of f16 only D and C are named
            self.first = self.second = "f16"
            self.result, self.start = m.types(2)
        else:
            self.result, self.first, self.second, self.start = m.types(4)
        self.bits = width(self.first)
        known = {self.first, self.second} <= FACTORS and self.bits == width(self.second)
        sums = _SUMS.get(self.first, ("s32",))
        if not known or self.result not in sums or self.start not in sums:
            e.unsupported("these types")
        self.a = factor(shape, "a", self.bits)
        self.b = factor(shape, "b", self.bits)
        self.c = accumulator(shape)
        self.k = shape.k
        if not (self.a.fits() and self.b.fits() and self.c.fits()):
            e.unsupported("this shape")

    def size(self, kind: str) -> int:
        """Return the bits of a register of C or D."""
        return max(32, width(kind))

    def registers(self, kind: str) -> int:
        """Return how many registers C or D has."""
        return 2 * self.c.tiles * width(kind) // self.size(kind)


def lend_factors(e: Emitter, i: Instruction, product: Product) -> None:
    """Lend the lane's part of A and B to the warp; done before the suspension."""
    kind = "b64" if product.bits == 64 else "b32"
    words = []
    for operand, fragment in zip(i.operands[1:3], (product.a, product.b), strict=True):
        registers = elements(e, operand)
        if len(registers) < fragment.tiles:
            e.unsupported(f"{len(registers)} registers")
        words += [e.read(register, kind) for register in registers[: fragment.tiles]]
    exchange.lend(e, words)


def multiply(e: Emitter, i: Instruction, product: Product) -> None:
    """Write the lane's part of D; done after the suspension."""
    sources, targets = (elements(e, i.operands[place]) for place in (3, 0))
    needed = product.registers(product.start), product.registers(product.result)
    if (len(sources), len(targets)) != needed:
        e.unsupported(f"{len(sources)} and {len(targets)} registers instead of {needed[0]} and {needed[1]}")
    given = [e.read(source, f"b{product.size(product.start)}") for source in sources]
    words = outlined(e, i, given, lambda inner, words: _results(inner, product, words), needed[1])
    size = product.size(product.result)
    for target, word in zip(targets, words, strict=True):
        e.write(target, extend(e, word, size, False), f"b{size}")


def _results(e: Emitter, product: Product, words: list[ir.Value]) -> list[ir.Value]:
    """Return the registers of D, from those of C and the rows of A and the columns of B that they need."""
    b = e.builder
    group = b.shl(group_index(e), integer(32, 2))
    rows = [_numbers(e, product, product.a, 0, b.add(group, integer(32, t))) for t in range(4)]
    columns = []
    for neighbour in range(2):
        first = b.shl(b.add(b.shl(index_in_group(e), integer(32, 1)), integer(32, neighbour)), integer(32, 2))
        lanes = [b.add(first, integer(32, t)) for t in range(4)]
        columns.append([_numbers(e, product, product.b, product.a.tiles, lane) for lane in lanes])
    starts = _starts(e, product, words)
    sums = []
    for tile in range(product.c.tiles):
        top, left = product.c.corner(tile)
        for neighbour in range(2):
            pairs = []
            for k in range(product.k):
                lane, part = divmod(k % (COLUMNS * product.a.per_cell), product.a.per_cell)
                first = rows[lane][product.a.tile(top, k)][part]
                pairs.append((first, columns[neighbour][lane][product.b.tile(left, k)][part]))
            sums.append(_sum(e, product, starts[2 * tile + neighbour], pairs))
    return _rounded(e, product, sums)


def _numbers(
    e: Emitter, product: Product, fragment: Fragment, first: int, lane: ir.Value
) -> list[list[ir.Value]]:
    """Return what a lane lent of a factor: for each tile its numbers, ready to be multiplied."""
    thread = thread_of_lane(e, lane)
    found = []
    for tile in range(fragment.tiles):
        word = exchange.lent(e, thread, first + tile)
        word = word if product.bits == 64 else e.builder.trunc(word, I32)
        kind = product.first if first == 0 else product.second
        found.append([_number(e, part, kind) for part in unpacked(e, word, product.bits)])
    return found


def _number(e: Emitter, bits: ir.Value, kind: str) -> ir.Value:
    """Return a factor as a double, or an 8-bit integer as one of 32 bits."""
    if kind in ("f16", "bf16"):
        return widen(e, float_of_16(e, bits, kind))
    if kind == "tf32":
        return widen(e, e.builder.bitcast(e.builder.and_(bits, integer(32, ~0x1FFF)), FLOAT))
    if kind == "f64":
        return e.builder.bitcast(bits, DOUBLE)
    return extend(e, bits, 32, is_signed(kind))


def _starts(e: Emitter, product: Product, words: list[ir.Value]) -> list[ir.Value]:
    """Return the lane's numbers of C as doubles, or as integers of 64 bits."""
    kind = product.start
    if kind == "s32":
        return [e.builder.sext(e.builder.trunc(word, I32), I64) for word in words]
    bits = width(kind)
    parts = [part for word in words for part in unpacked(e, extend(e, word, max(32, bits), False), bits)]
    if kind == "f16":
        return [widen(e, float_of_16(e, part, kind)) for part in parts]
    return [widen(e, e.builder.bitcast(part, FLOAT if kind == "f32" else DOUBLE)) for part in parts]


def _sum(e: Emitter, product: Product, total: ir.Value, pairs: list[tuple[ir.Value, ir.Value]]) -> ir.Value:
    b = e.builder
    if product.result == "s32":
        for first, second in pairs:
            total = b.add(total, b.sext(b.mul(first, second), I64))
        if product.saturates:
            total = clamp(e, total, -(1 << 31), (1 << 31) - 1)
        return b.trunc(total, I32)
    for first, second in pairs:
        total = intrinsic(e, "fma", first, second, total)
    return total


def _rounded(e: Emitter, product: Product, sums: list[ir.Value]) -> list[ir.Value]:
    """Return sums as registers of D, as integers."""
    if product.result == "s32":
        return sums
    if product.result == "f16":
        return packed(e, [round_pair(e, exactly(total), "f16", "rn") for total in sums])
    return [e.bits(canonical(e, round_pair(e, exactly(total), product.result, "rn"))) for total in sums]


@suspends("mma", limits="no sparse ones, no numbers of 8 bits or less but integers, no m8n8k4 of f16")
def lend_to_mma(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Lend A and B."""
    lend_factors(e, i, Product(e, i, m))
    return wait_for_warp(e)


@resumes("mma")
def multiply_and_add(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mma``: D = A * B + C."""
    multiply(e, i, Product(e, i, m))
