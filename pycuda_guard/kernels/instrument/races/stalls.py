"""The device functions by which threads wait for their block and find out that nobody comes any more.

A barrier of the hardware holds its threads until all have come; those whose partners don't come would hang
there for ever. Threads that may hang wait in software first, until it is sure that the barrier lets them go.

Each thread has a note in shared memory that says where it waits, or that it has left. Where all threads of
a block have waited in the same places for a while, or have left, nobody will ever come: those at barriers
leave the kernel, which lets lanes go that wait for them. A thread that computes waits nowhere, however long
it takes.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from pycuda_guard.kernels.ptx.ir import Function
from pycuda_guard.kernels.ptx.parser import parse

ARRIVE = "pg_arrive"
WAIT = "pg_wait"


class Note(IntEnum):
    """What a thread does, in the lowest bits of its note; then the site follows, and how often it waited."""

    RUNS = 0
    LEFT = 1
    AT_BARRIER = 2  # of all threads
    AT_COUNTED = 3  # for a number of threads
    AT_OPERATION = 4  # of its warp


SITE_SHIFT, SITE_BITS = 3, 10
ROUND_SHIFT = SITE_SHIFT + SITE_BITS


class Verdict(IntEnum):
    """What ``pg_wait`` returns."""

    GO = 0
    LEAVE = 1
    TELL = 2  # and leave


class Ending(IntEnum):
    """What is known of a block."""

    NONE = 0
    STUCK = 1
    #: named barriers may count the lanes of a warp that have left: the hardware decides
    UNKNOWN = 2


#: bits of ``need`` for ``pg_wait``: a generation, not a number of threads
GENERATION = 1 << 31
#: what ``pg_arrive`` returns where the barrier is complete: a generation that never comes
COMPLETE = 1 << 16

NAMED = 16
MEETING_SLOTS = 3
#: shared memory: Ending; threads that have left; how many wait at the site that tells (16 bits), have left
#: (16) and wait elsewhere; the first of those (thread 16 bits, site 16); a word for each barrier with a
#: number of threads (its generation, threads that have come); for each barrier of all threads how many have
#: come, in turn; a note for each thread
COUNTS = struct.Struct("<HHI")
AREA_FIELDS = {"ending": 0, "left": 4, "counts": 8, "other": 16, "named": 24, "meetings": 88, "notes": 288}
NO_OTHER = 0xFFFFFFFF
_MOST_THREADS = 1024
AREA_BYTES = AREA_FIELDS["notes"] + 4 * _MOST_THREADS

#: nanoseconds between two looks at all notes, and how many that are the same it takes
_PERIOD, _LOOKS = 100_000_000, 10

_TEXT = """
.func (.param .b32 pg_generation) pg_arrive(.param .b32 pg_place, .param .b32 pg_threads,
    .param .b32 pg_needed)
{{
    .reg .pred %p, %q;
    .reg .b32 %place, %threads, %needed, %old, %next, %count, %found;
    ld.param.b32 %place, [pg_place];
    ld.param.b32 %threads, [pg_threads];
    ld.param.b32 %needed, [pg_needed];
PG_AGAIN:
    .pragma "nounroll";
    ld.volatile.shared.b32 %old, [%place];
    and.b32 %count, %old, 0xffff;
    add.u32 %count, %count, %threads;
    setp.ge.u32 %p, %count, %needed;
    add.u32 %next, %old, %threads;
    and.b32 %found, %old, 0xffff0000;
    @%p add.u32 %next, %found, 0x10000;
    atom.shared.cas.b32 %found, [%place], %old, %next;
    setp.ne.u32 %q, %found, %old;
    @%q bra PG_AGAIN;
    shr.u32 %old, %old, 16;
    @%p mov.u32 %old, {complete};
    st.param.b32 [pg_generation], %old;
    ret;
}}

.func (.param .b32 pg_verdict) pg_wait(.param .b32 pg_area, .param .b32 pg_thread, .param .b32 pg_threads,
    .param .b32 pg_state, .param .b32 pg_place, .param .b32 pg_need)
{{
    .reg .pred %p, %q, %counted, %partial;
    .reg .b32 %area, %threads, %state, %place, %need, %found, %word, %polls, %looks, %sum, %last;
    .reg .b32 %index, %at, %here, %left, %elsewhere, %other, %lanes, %verdict;
    .reg .b64 %now, %next, %counts;
    ld.param.b32 %area, [pg_area];
    ld.param.b32 %threads, [pg_threads];
    ld.param.b32 %state, [pg_state];
    ld.param.b32 %place, [pg_place];
    ld.param.b32 %need, [pg_need];
    ld.param.b32 %at, [pg_thread];
    mad.lo.u32 %at, %at, 4, %area;
    st.volatile.shared.b32 [%at+{notes}], %state;
    mov.u32 %polls, 0;
    mov.u32 %looks, 0;
    mov.u32 %last, 0;
    mov.u64 %next, 0;
PG_POLL:
    .pragma "nounroll";
    mov.u32 %verdict, {go};
    ld.volatile.shared.b32 %found, [%place];
    ld.volatile.shared.b32 %left, [%area+{left}];
    ld.volatile.shared.b32 %word, [%area+{ending}];
    add.u32 %left, %left, %found;
    shr.u32 %found, %found, 16;
    or.b32 %found, %found, {generation};
    setp.ne.u32 %p, %found, %need;
    setp.ge.u32 %q, %left, %need;
    setp.lt.s32 %counted, %need, 0;
    and.pred %p, %p, %counted;
    not.pred %counted, %counted;
    and.pred %q, %q, %counted;
    or.pred %p, %p, %q;
    @%p bra PG_DONE;
    setp.eq.u32 %p, %word, {unknown};
    @%p bra PG_DONE;
    mov.u32 %verdict, {leave};
    setp.eq.u32 %p, %word, {stuck};
    @%p bra PG_DONE;
    nanosleep.u32 100;
    add.u32 %polls, %polls, 1;
    and.b32 %found, %polls, 63;
    setp.ne.u32 %p, %found, 0;
    @%p bra PG_POLL;
    mov.u64 %now, %globaltimer;
    setp.lt.u64 %p, %now, %next;
    @%p bra PG_POLL;
    add.u64 %next, %now, {period};
    mov.u32 %index, 0;
    mov.u32 %sum, 0;
    mov.u32 %here, 0;
    mov.u32 %left, 0;
    mov.u32 %elsewhere, 0;
    mov.u32 %other, {no_other};
    mov.u32 %lanes, 0;
    setp.ne.u32 %counted, %index, 0;
    setp.ne.u32 %partial, %index, 0;
PG_NEXT:
    .pragma "nounroll";
    setp.ge.u32 %p, %index, %threads;
    @%p bra PG_LOOKED;
    mad.lo.u32 %at, %index, 4, %area;
    ld.shared.b32 %found, [%at+{notes}];
    and.b32 %word, %found, {kind_mask};
    setp.eq.u32 %p, %word, {runs};
    @%p bra PG_RUNS;
    setp.eq.u32 %p, %word, {at_counted};
    or.pred %counted, %counted, %p;
    and.b32 %at, %index, 31;
    setp.eq.u32 %p, %at, 0;
    @%p mov.u32 %lanes, 0;
    setp.eq.u32 %p, %word, {has_left};
    selp.u32 %at, 1, 2, %p;
    or.b32 %lanes, %lanes, %at;
    setp.eq.u32 %q, %lanes, 3;
    or.pred %partial, %partial, %q;
    shr.u32 %at, %found, {round_shift};
    add.u32 %sum, %sum, %at;
    @%p bra PG_HAS_LEFT;
    xor.b32 %at, %found, %state;
    and.b32 %at, %at, {site_mask};
    setp.eq.u32 %p, %at, 0;
    @%p bra PG_IS_HERE;
    and.b32 %found, %found, {site_mask};
    shr.u32 %found, %found, {site_shift};
    shl.b32 %at, %index, 16;
    or.b32 %at, %at, %found;
    setp.eq.u32 %p, %elsewhere, 0;
    selp.b32 %other, %at, %other, %p;
    add.u32 %elsewhere, %elsewhere, 1;
    add.u32 %index, %index, 1;
    bra PG_NEXT;
PG_IS_HERE:
    add.u32 %here, %here, 1;
    add.u32 %index, %index, 1;
    bra PG_NEXT;
PG_HAS_LEFT:
    add.u32 %left, %left, 1;
    add.u32 %index, %index, 1;
    bra PG_NEXT;
PG_RUNS:
    mov.u32 %looks, 0;
    bra PG_POLL;
PG_LOOKED:
    setp.eq.u32 %p, %sum, %last;
    add.u32 %looks, %looks, 1;
    selp.u32 %looks, %looks, 0, %p;
    mov.u32 %last, %sum;
    setp.lt.u32 %p, %looks, {looks};
    @%p bra PG_POLL;
    and.pred %p, %counted, %partial;
    selp.u32 %found, {unknown}, {stuck}, %p;
    atom.shared.cas.b32 %word, [%area+{ending}], {none}, %found;
    @%p bra PG_POLL;
    setp.ne.u32 %p, %word, {none};
    @%p bra PG_POLL;
    shl.b32 %left, %left, 16;
    or.b32 %here, %here, %left;
    mov.b64 %counts, {{%here, %elsewhere}};
    st.shared.b64 [%area+{counts}], %counts;
    st.shared.b32 [%area+{other}], %other;
    mov.u32 %verdict, {tell};
PG_DONE:
    st.param.b32 [pg_verdict], %verdict;
    ret;
}}
"""


def stall_functions() -> list[Function]:
    """Return the device functions, for a module in which kernels call them."""
    numbers = {
        **AREA_FIELDS,
        **{verdict.name.lower(): int(verdict) for verdict in Verdict},
        **{ending.name.lower(): int(ending) for ending in Ending},
        "runs": int(Note.RUNS),
        "has_left": int(Note.LEFT),
        "at_counted": int(Note.AT_COUNTED),
        "kind_mask": (1 << SITE_SHIFT) - 1,
        "site_mask": ((1 << SITE_BITS) - 1) << SITE_SHIFT,
        "site_shift": SITE_SHIFT,
        "round_shift": ROUND_SHIFT,
        "generation": GENERATION,
        "complete": COMPLETE,
        "no_other": NO_OTHER,
        "period": _PERIOD,
        "looks": _LOOKS,
    }
    text = ".version 7.0\n.target sm_70\n.address_size 64\n" + _TEXT.format_map(numbers)
    return [item for item in parse(text).items if isinstance(item, Function)]
