"""What the threads of a block hand each other around a suspension point.

Before it each thread gives an integer, or lends some; after it each reads those of others. What was given is
there until the next suspension, what was lent until the one after that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.types import I64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.cpu.codegen.emitter import Emitter


def give(e: Emitter, value: ir.Value) -> None:
    """Give an integer (up to 64 bits) to the other threads; done before a suspension."""
    wide = value if value.type.width == 64 else e.builder.zext(value, I64)
    _store_slot(e, "exchange", wide, 8)


def set_members(e: Emitter, mask: ir.Value) -> None:
    """State the member mask (``i32``) of a warp operation; done before a suspension of kind WARP."""
    _store_slot(e, "warp_mask", mask, 4)


def given(e: Emitter, thread: ir.Value) -> ir.Value:
    """Return what a thread of the block (linear index, ``i32``) gave, as ``i64``; after a suspension."""
    place = e.builder.mul(e.builder.zext(thread, I64), ir.Constant(I64, 8))
    load = e.builder.load(e.offset_pointer(e.block_pointer("snapshot"), place), typ=I64, align=8)
    e.context.metadata.frame(load)
    return load


def lend(e: Emitter, words: Sequence[ir.Value]) -> None:
    """Lend integers (up to 64 bits) to the warp, until the suspension after the next."""
    context = e.context
    context.lent_slots = max(context.lent_slots, len(words))
    for index, word in enumerate(words):
        wide = word if word.type.width == 64 else e.builder.zext(word, I64)
        store = e.builder.store(wide, _lent_place(e, e.thread_linear, index), align=8)
        context.metadata.frame(store)


def lent(e: Emitter, thread: ir.Value, index: int) -> ir.Value:
    """Return an integer (``i64``) that a thread of the block (linear index, ``i32``) lent."""
    load = e.builder.load(_lent_place(e, thread, index), typ=I64, align=8)
    e.context.metadata.frame(load)
    return load


def _lent_place(e: Emitter, thread: ir.Value, index: int) -> ir.Value:
    """Return the place of a lent integer: in the frame, after the slots of registers."""
    slot = ir.Constant(I64, 8 * (e.context.first_lent_slot + index))
    start = e.builder.mul(e.builder.zext(e.threads, I64), slot)
    place = e.builder.add(start, e.builder.mul(e.builder.zext(thread, I64), ir.Constant(I64, 8)))
    return e.offset_pointer(e.block_pointer("frame"), place)


def _store_slot(e: Emitter, field: str, value: ir.Value, size: int) -> None:
    place = e.builder.mul(e.builder.zext(e.thread_linear, I64), ir.Constant(I64, size))
    store = e.builder.store(value, e.offset_pointer(e.block_pointer(field), place), align=size)
    e.context.metadata.frame(store)
