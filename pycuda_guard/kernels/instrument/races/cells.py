"""The device functions that enter an access in the cells of its words, and report what it races with.

A word has two cells, 16 bytes together: its last write, and its readers since. Whoever comes second sees
the other, in whatever order the hardware works: a write enters itself and then looks at the readers,
a read enters itself and then looks at the last write, and each waits for the first to be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.races import identity as fields
from pycuda_guard.kernels.instrument.races.identity import Readers, Strength
from pycuda_guard.kernels.ptx.ir import Function
from pycuda_guard.kernels.ptx.parser import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTER = "pg_enter"
UNORDERED = "pg_unordered"

#: bytes of the cells of one word
CELLS = 16
#: what ``pg_enter`` is told of an access beside its width in bytes: the shift of its cells, that it writes,
#: and that it is to shared memory
SHIFT_BITS, WRITES, SHARED = 8, 1 << 10, 1 << 11
#: a thread's frame in local memory: the header, then where what orders blocks is, then the table of
#: allocations with cells, abi.RANGEs by address with the address of the cells in ``shadow``
FRAME_BYTES = abi.HEADER.size + 32
FRAME_FIELDS = {"order": abi.HEADER.size, "rows": abi.HEADER.size + 8, "rows_count": abi.HEADER.size + 16}
#: what a block did so far, in memory of 8 bytes a block: releases, and whether it acquired anything
RELEASES, ACQUIRED = 0, 4
ORDER_BYTES = 8

_TEXT = """
.func (.param .b32 pg_races) pg_unordered(.param .b64 pg_old, .param .b64 pg_me, .param .b64 pg_order)
{{
    .reg .pred %p;
    .reg .b64 %old, %me, %other, %field, %order, %mine, %theirs;
    .reg .b32 %races, %readers, %one, %two;
    ld.param.b64 %old, [pg_old];
    ld.param.b64 %me, [pg_me];
    mov.u32 %races, 0;
    setp.eq.u64 %p, %old, 0;
    @%p bra PG_DONE;
    xor.b64 %other, %old, %me;
    shr.u64 %field, %old, {readers_shift};
    cvt.u32.u64 %readers, %field;
    and.b32 %readers, %readers, 3;
    // the weaker of the two
    shr.u64 %field, %old, {strength_shift};
    cvt.u32.u64 %one, %field;
    and.b32 %one, %one, 3;
    shr.u64 %field, %me, {strength_shift};
    cvt.u32.u64 %two, %field;
    and.b32 %two, %two, 3;
    min.u32 %one, %one, %two;
    setp.eq.u32 %p, %readers, {grid};
    @%p bra PG_ACROSS;
    shr.u64 %field, %other, {block_shift};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_ACROSS;
    // of one block
    setp.ge.u32 %p, %one, {strong_in_block};
    @%p bra PG_DONE;
    and.b64 %field, %other, {epoch};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_DONE;
    and.b64 %field, %old, {epoch};
    setp.eq.u64 %p, %field, {epoch};
    @%p bra PG_DONE;
    setp.eq.u32 %p, %readers, {readers_block};
    @%p bra PG_FENCES;
    and.b64 %field, %other, {warp};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_FENCES;
    // of one warp
    and.b64 %field, %other, {warp_epoch};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_DONE;
    and.b64 %field, %old, {warp_epoch};
    setp.eq.u64 %p, %field, {warp_epoch};
    @%p bra PG_DONE;
    setp.ne.u32 %p, %readers, {one};
    @%p bra PG_FENCES;
    and.b64 %field, %other, {thread};
    setp.eq.u64 %p, %field, 0;
    @%p bra PG_DONE;
    bra PG_FENCES;
PG_ACROSS:
    setp.ge.u32 %p, %one, {strong_on_device};
    @%p bra PG_DONE;
PG_FENCES:
    mov.u32 %races, 1;
    ld.param.b64 %order, [pg_order];
    setp.eq.u64 %p, %order, 0;
    @%p bra PG_DONE;
    shr.u64 %mine, %me, {block_shift};
    mad.lo.u64 %mine, %mine, {order_bytes}, %order;
    shr.u64 %theirs, %old, {block_shift};
    mad.lo.u64 %theirs, %theirs, {order_bytes}, %order;
    // an atomic after a fence comes before what a block does that has acquired; its entry may be late
    setp.eq.u32 %p, %readers, {grid};
    @%p bra PG_ACQUIRED;
    and.b64 %field, %me, {strength};
    setp.eq.u64 %p, %field, 0;
    @%p bra PG_ACQUIRED;
    and.b64 %field, %me, {releases_mask};
    setp.eq.u64 %p, %field, 0;
    @%p bra PG_ACQUIRED;
    ld.volatile.global.b32 %two, [%theirs+{acquired}];
    setp.ne.u32 %p, %two, 0;
    @%p bra PG_ORDERED;
PG_ACQUIRED:
    ld.volatile.global.b32 %two, [%mine+{acquired}];
    setp.eq.u32 %p, %two, 0;
    @%p bra PG_DONE;
    // the own block has acquired: ordered if the other's block has released since
    setp.eq.u32 %p, %readers, {grid};
    @%p bra PG_ORDERED;
    shr.u64 %field, %old, {releases_shift};
    cvt.u32.u64 %one, %field;
    and.b32 %one, %one, 3;
    setp.eq.u32 %p, %one, 3;
    @%p bra PG_ORDERED;
    ld.volatile.global.b32 %two, [%theirs+{releases}];
    setp.gt.u32 %p, %two, %one;
    @%p bra PG_ORDERED;
    // or before, where the other's access is atomic
    and.b64 %field, %old, {strength};
    setp.eq.u64 %p, %field, 0;
    @%p bra PG_DONE;
    setp.eq.u32 %p, %one, 0;
    @%p bra PG_DONE;
PG_ORDERED:
    mov.u32 %races, 0;
PG_DONE:
    st.param.b32 [pg_races], %races;
    ret;
}}

.func pg_enter(.param .b64 pg_cells, .param .b64 pg_me, .param .b64 pg_address, .param .b32 pg_what,
    .param .b32 pg_site, .param .b64 pg_frame)
{{
    .local .align 8 .b8 pg_entry[32];
    .reg .pred %p, %q;
    .reg .b64 %cells, %me, %order, %found, %last, %readers, %new, %old, %field, %difference, %zero, %frame;
    .reg .b64 %address, %row, %base;
    .reg .b32 %count, %what, %shift, %races, %one, %two;
    ld.param.b64 %cells, [pg_cells];
    ld.param.b64 %me, [pg_me];
    ld.param.b32 %what, [pg_what];
    ld.param.b64 %frame, [pg_frame];
    shr.u32 %shift, %what, {shift_bits};
    and.b32 %shift, %shift, 3;
    setp.ne.u64 %p, %cells, 0;
    @%p bra PG_FOUND;

    // which allocation the address is in, by halving
    ld.param.b64 %address, [pg_address];
    ld.local.b32 %two, [%frame+{rows_count}];
    mov.u32 %one, 0;
    mov.u64 %row, 0;
PG_HALF:
    .pragma "nounroll";
    setp.ge.u32 %p, %one, %two;
    @%p bra PG_SEARCHED;
    add.u32 %count, %one, %two;
    shr.u32 %count, %count, 1;
    ld.local.b64 %field, [%frame+{rows}];
    mad.wide.u32 %field, %count, {row_size}, %field;
    ld.global.b64 %base, [%field+{row_base}];
    setp.gt.u64 %p, %base, %address;
    @%p bra PG_LOWER;
    mov.u64 %row, %field;
    add.u32 %one, %count, 1;
    bra PG_HALF;
PG_LOWER:
    mov.u32 %two, %count;
    bra PG_HALF;
PG_SEARCHED:
    setp.eq.u64 %p, %row, 0;
    @%p bra PG_LEAVE;
    ld.global.b64 %base, [%row+{row_base}];
    ld.global.b64 %field, [%row+{row_bytes}];
    sub.u64 %base, %address, %base;
    setp.ge.u64 %p, %base, %field;
    @%p bra PG_LEAVE;
    ld.global.b32 %shift, [%row+{row_shift}];
    ld.global.b64 %cells, [%row+{row_cells}];
    shr.u64 %base, %base, %shift;
    mad.lo.u64 %cells, %base, {cells}, %cells;

PG_FOUND:
    and.b32 %count, %what, 255;
    shr.u32 %count, %count, %shift;
    max.u32 %count, %count, 1;
    ld.local.b64 %order, [%frame+{order}];
    mov.u64 %found, 0;
    // the releases of the own block so far
    setp.eq.u64 %p, %order, 0;
    @%p bra PG_NEXT;
    shr.u64 %field, %me, {block_shift};
    mad.lo.u64 %field, %field, {order_bytes}, %order;
    ld.volatile.global.b32 %one, [%field+{releases}];
    min.u32 %one, %one, 3;
    cvt.u64.u32 %field, %one;
    shl.b64 %field, %field, {releases_shift};
    or.b64 %me, %me, %field;
PG_NEXT:
    and.b32 %one, %what, {writes};
    setp.eq.u32 %p, %one, 0;
    @%p bra PG_READ;

    atom.exch.b64 %last, [%cells], %me;
    {unordered_last}
    // a plain write stays what it is when the same thread goes on with atomic ones
    xor.b64 %difference, %last, %me;
    and.b64 %field, %difference, {same_time};
    setp.eq.u64 %p, %field, 0;
    and.b64 %old, %last, {strength};
    and.b64 %new, %me, {strength};
    setp.lt.and.u64 %p, %old, %new, %p;
    @!%p bra PG_READERS;
    atom.cas.b64 %field, [%cells], %me, %last;
PG_READERS:
    and.b64 %zero, %last, 0;
    add.u64 %zero, %zero, %cells;
    ld.volatile.b64 %readers, [%zero+8];
    {unordered_readers}
    bra PG_ENTERED;

PG_READ:
    ld.volatile.b64 %readers, [%cells+8];
PG_AGAIN:
    mov.b64 %new, %me;
    setp.eq.u64 %p, %readers, 0;
    @%p bra PG_PUT;
    and.b64 %old, %readers, {strength};
    and.b64 %field, %me, {strength};
    setp.gt.u64 %p, %field, %old;
    @%p bra PG_LAST;
    setp.lt.u64 %p, %field, %old;
    @%p bra PG_PUT;
    shr.u64 %field, %readers, {readers_shift};
    cvt.u32.u64 %one, %field;
    and.b32 %one, %one, 3;
    setp.eq.u32 %p, %one, {grid};
    @%p bra PG_LAST;
    xor.b64 %difference, %readers, %me;
    shr.u64 %field, %difference, {block_shift};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_OTHER_BLOCK;
    and.b64 %field, %difference, {epoch};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_PUT;
    setp.eq.u32 %p, %one, {readers_block};
    @%p bra PG_LAST;
    and.b64 %field, %difference, {warp};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_OTHER_WARP;
    and.b64 %field, %difference, {warp_epoch};
    setp.ne.u64 %p, %field, 0;
    @%p bra PG_PUT;
    setp.eq.u32 %p, %one, {readers_warp};
    @%p bra PG_LAST;
    and.b64 %field, %difference, {thread};
    setp.eq.u64 %p, %field, 0;
    @%p bra PG_LAST;
    or.b64 %new, %readers, {several_in_warp};
    bra PG_PUT;
PG_OTHER_WARP:
    and.b64 %new, %readers, {not_readers};
    or.b64 %new, %new, {several_in_block};
    bra PG_PUT;
PG_OTHER_BLOCK:
    {unordered_reading}
    or.b64 %field, %readers, {several_in_grid};
    setp.ne.u32 %p, %races, 0;
    selp.b64 %new, %field, %me, %p;
PG_PUT:
    atom.cas.b64 %old, [%cells+8], %readers, %new;
    setp.ne.u64 %p, %old, %readers;
    mov.b64 %readers, %old;
    @%p bra PG_AGAIN;
PG_LAST:
    and.b64 %zero, %readers, 0;
    add.u64 %zero, %zero, %cells;
    ld.volatile.b64 %last, [%zero];
    {unordered_last}
PG_ENTERED:
    setp.ne.u64 %p, %found, 0;
    @%p bra PG_REPORT;
    add.u64 %cells, %cells, {cells};
    sub.u32 %count, %count, 1;
    setp.ne.u32 %p, %count, 0;
    @%p bra PG_NEXT;
PG_LEAVE:
    ret;
PG_REPORT:
    ld.param.b64 %address, [pg_address];
    ld.param.b32 %one, [pg_site];
    and.b32 %two, %what, {shared};
    setp.ne.u32 %p, %two, 0;
    selp.b32 %two, {shared_race}, {race}, %p;
    mov.u64 %row, pg_entry;
    st.local.b64 [%row+{in_address}], %address;
    st.local.b64 [%row+{in_detail}], %found;
    st.local.b32 [%row+{in_reason}], %two;
    st.local.b32 [%row+{in_site}], %one;
    {{
        .param .b64 pg_a_entry;
        .param .b64 pg_a_frame;
        st.param.b64 [pg_a_entry], %row;
        st.param.b64 [pg_a_frame], %frame;
        call.uni pg_report, (pg_a_entry, pg_a_frame);
    }}
    ret;
}}
"""

#: a call of pg_unordered: what is done with its answer comes after
_CALL = """{{
        .param .b64 pg_a_old;
        .param .b64 pg_a_me;
        .param .b64 pg_a_order;
        .param .b32 pg_a_races;
        st.param.b64 [pg_a_old], %{old};
        st.param.b64 [pg_a_me], %me;
        st.param.b64 [pg_a_order], %order;
        call.uni (pg_a_races), pg_unordered, (pg_a_old, pg_a_me, pg_a_order);
        ld.param.b32 %races, [pg_a_races];
    }}"""
_NOTE = """
    setp.ne.u32 %p, %races, 0;
    setp.eq.and.u64 %p, %found, 0, %p;
    @%p mov.b64 %found, %{old};"""


def cell_functions() -> list[Function]:
    """Return the device functions, for a module in which kernels call them."""
    text = ".version 7.0\n.target sm_70\n.address_size 64\n" + _TEXT.format_map(_numbers())
    return [item for item in parse(text).items if isinstance(item, Function)]


def _numbers() -> Mapping[str, object]:
    everything = (1 << 64) - 1
    same_time = fields.BLOCK.mask | fields.THREAD.mask | fields.BLOCK_EPOCH.mask | fields.WARP_EPOCH.mask
    return {
        "readers_shift": fields.READERS.shift,
        "strength_shift": fields.STRENGTH.shift,
        "block_shift": fields.BLOCK.shift,
        "releases_shift": fields.RELEASES.shift,
        "releases_mask": fields.RELEASES.mask,
        "epoch": fields.BLOCK_EPOCH.mask,
        "warp_epoch": fields.WARP_EPOCH.mask,
        "thread": fields.THREAD.mask,
        "warp": fields.THREAD.mask & ~fields.LANES,
        "strength": fields.STRENGTH.mask,
        "not_readers": everything ^ fields.READERS.mask,
        "same_time": same_time,
        "one": int(Readers.ONE),
        "readers_warp": int(Readers.WARP),
        "readers_block": int(Readers.BLOCK),
        "grid": int(Readers.GRID),
        "several_in_warp": fields.READERS.put(Readers.WARP),
        "several_in_block": fields.READERS.put(Readers.BLOCK),
        "several_in_grid": fields.READERS.put(Readers.GRID),
        "strong_in_block": int(Strength.BLOCK),
        "strong_on_device": int(Strength.DEVICE),
        "order_bytes": ORDER_BYTES,
        "acquired": ACQUIRED,
        "releases": RELEASES,
        "cells": CELLS,
        "shift_bits": SHIFT_BITS,
        "writes": WRITES,
        "shared": SHARED,
        **FRAME_FIELDS,
        "row_size": abi.RANGE.size,
        "row_base": abi.RANGE_FIELDS["base"],
        "row_bytes": abi.RANGE_FIELDS["size"],
        "row_cells": abi.RANGE_FIELDS["shadow"],
        "row_shift": abi.RANGE_FIELDS["shift"],
        "race": int(abi.Reason.RACE),
        "shared_race": int(abi.Reason.SHARED_RACE),
        **{f"in_{name}": offset for name, offset in reports.ENTRY.items()},
        "unordered_last": _CALL.format(old="last") + _NOTE.format(old="last"),
        "unordered_readers": _CALL.format(old="readers") + _NOTE.format(old="readers"),
        "unordered_reading": _CALL.format(old="readers"),
    }
