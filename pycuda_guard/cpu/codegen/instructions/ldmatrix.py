"""8 by 8 matrices of 16-bit numbers, by their rows: ``ldmatrix``, ``stmatrix``, ``movmatrix``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen import exchange
from pycuda_guard.cpu.codegen.instructions.addresses import take_space
from pycuda_guard.cpu.codegen.instructions.lanes import (
    elements,
    generic_address,
    group_index,
    index_in_group,
    packed,
    take_flags,
    thread_of_lane,
    unpacked,
    wait_for_warp,
)
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, resumes, suspends
from pycuda_guard.cpu.codegen.instructions.values import integer
from pycuda_guard.cpu.codegen.types import I16, I32, I64
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.abi import Suspension
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction


#: of a row of eight, which must be a multiple of that
_ROW_BYTES = 16


def _take_small(e: Emitter, m: Modifiers) -> tuple[int, bool, Space]:
    """Take the modifiers of ``ldmatrix`` and ``stmatrix``: how many matrices, transposed, space."""
    take_flags(m)
    m.one_of("m8n8")
    count = int(m.one_of("x1", "x2", "x4")[1])
    transposed, space = m.flag("trans"), take_space(m)
    m.type("b16")
    return count, transposed, space


def _row_places(e: Emitter, matrix: int, transposed: bool) -> list[ir.Value]:
    """Return host pointers to the lane's two numbers of a matrix, whose rows' addresses were given."""
    b = e.builder
    two = b.shl(index_in_group(e), integer(32, 1))
    found = []
    for neighbour in range(2):
        beside = b.add(two, integer(32, neighbour))
        row, column = (beside, group_index(e)) if transposed else (group_index(e), beside)
        start = exchange.given(e, thread_of_lane(e, b.add(row, integer(32, 8 * matrix))))
        offset = b.shl(b.zext(column, I64), integer(64, 1))
        found.append(e.offset_pointer(e.translate(start, _ROW_BYTES), offset))
    return found


@suspends("ldmatrix", "stmatrix", limits="16-bit numbers only")
def give_row(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the address of a row."""
    _, _, space = _take_small(e, m)
    place = i.operands[1 if i.opcode == "ldmatrix" else 0]
    exchange.give(e, generic_address(e, place, space))
    return wait_for_warp(e)


@resumes("ldmatrix")
def load_matrices(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``ldmatrix``: one, two or four matrices; lane 8 * i + r gave the address of row r of matrix i."""
    count, transposed, _ = _take_small(e, m)
    for matrix, register in zip(range(count), elements(e, i.operands[0]), strict=True):
        numbers = [e.load(place, I16, Space.GENERIC) for place in _row_places(e, matrix, transposed)]
        e.write(register, packed(e, numbers)[0], "b32")


@resumes("stmatrix")
def store_matrices(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``stmatrix``: the reverse of ``ldmatrix``."""
    count, transposed, _ = _take_small(e, m)
    for matrix, register in zip(range(count), elements(e, i.operands[1]), strict=True):
        numbers = unpacked(e, e.read(register, "b32"), 16)
        for number, place in zip(numbers, _row_places(e, matrix, transposed), strict=True):
            e.store(number, place, Space.GENERIC)


@suspends("movmatrix")
def give_cell(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the lane's two numbers."""
    m.flag(*i.modifiers)
    exchange.give(e, e.read(i.operands[1], "b32"))
    return wait_for_warp(e)


@resumes("movmatrix")
def transpose(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``movmatrix``: the transpose of a matrix of 16-bit numbers."""
    take_flags(m)
    m.one_of("m8n8")
    m.one_of("trans")
    m.type("b16")
    b = e.builder
    numbers = []
    for neighbour in range(2):
        row = b.add(b.shl(index_in_group(e), integer(32, 1)), integer(32, neighbour))
        column = group_index(e)
        lane = b.add(b.shl(row, integer(32, 2)), b.lshr(column, integer(32, 1)))
        word = b.trunc(exchange.given(e, thread_of_lane(e, lane)), I32)
        place = b.shl(b.and_(column, integer(32, 1)), integer(32, 4))
        numbers.append(b.trunc(b.lshr(word, place), I16))
    e.write(i.operands[0], packed(e, numbers)[0], "b32")
