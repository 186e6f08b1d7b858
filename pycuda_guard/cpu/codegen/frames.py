"""Registers that live across a cut, kept in the block's frame.

A slot is an array over the threads of the block, in elements of the register's own width, so that
neighbouring threads' values are neighbours in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.operands import reads_after_cut, writes
from pycuda_guard.cpu.codegen.types import I8

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.cpu.codegen.graph import Cut


def restore(e: Emitter, name: str, slot: int) -> None:
    """Load a register from its frame slot."""
    kind = e.registers.kind(name)
    stored = I8 if kind.width == 1 else kind
    value = e.builder.load(_element(e, slot, stored), typ=stored, align=min(8, stored.width // 8))
    e.context.metadata.frame(value)
    e.registers.set(name, e.builder.trunc(value, kind) if stored is not kind else value)


def keep(e: Emitter, name: str, slot: int) -> None:
    """Store a register to its frame slot."""
    value = e.registers.bits(name)
    stored = value.type
    if stored.width == 1:
        stored = I8
        value = e.builder.zext(value, stored)
    store = e.builder.store(value, _element(e, slot, stored), align=min(8, stored.width // 8))
    e.context.metadata.frame(store)


def written_at(cut: Cut) -> set[str]:
    """Return the registers that the second half of a cut's instruction writes and does not read."""
    if cut.instruction is None:
        return set()
    return set(writes(cut.instruction)) - set(reads_after_cut(cut.instruction))


def _element(e: Emitter, slot: int, kind: ir.IntType) -> ir.Value:
    """Return the host pointer to the thread's element of a slot."""
    return e.offset_pointer(e.frame_place(kind.width // 8), e.frame_start(slot))
