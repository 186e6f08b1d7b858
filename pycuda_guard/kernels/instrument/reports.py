"""The device functions by which kernels look addresses up and report, and calls of them.

``pg_check`` is for accesses that their own quick check did not pass: it looks for their ranges, reports, and
may note what is written. ``pg_report`` makes a report.

Arguments are in local memory, in the caller's *frame*: a kernel has as many registers as the most demanding
function that it calls, and how many it has decides how many of its threads run at a time.
"""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.builder import at
from pycuda_guard.kernels.ptx.ir import (
    Arguments,
    Function,
    Instruction,
    Register,
    Scope,
    Space,
    Symbol,
    Variable,
    Vector,
)
from pycuda_guard.kernels.ptx.parser import parse

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Operand, Statement

CHECK = "pg_check"
REPORT = "pg_report"

#: what ``pg_check`` leaves in an entry instead of the address of a range: the access is to be skipped; it may
#: be done, nothing is known of that memory
SKIP, ELSEWHERE = 0, 1


class Shape(IntFlag):
    """What ``pg_check`` is told about an access, beside its width in bytes."""

    GENERIC = 0x100  # the address is generic
    NOTES = 0x200  # if it may be done and a range is found, note that it writes
    SHARED = 0x400  # to a shared variable; the address is the offset in it
    VARIABLE = 0x800  # to another variable
    UNALIGNED = 0x1000  # whether it is aligned can't be told
    LAST = 0x2000  # no entry follows


#: the frame: the header, then an entry for each access
_FRAME = "pg_frame"
_ENTRY_SIZE = 32
#: offsets in an entry; what ``pg_report`` is told
ENTRY = {"address": 0, "base": 8, "size": 16, "what": 24, "detail": 8, "reason": 16, "site": 28}

_TEXT = """
.func pg_report(.param .b64 pg_entry, .param .b64 pg_header)
{{
    .reg .pred %p;
    .reg .b64 %entry, %header, %address, %counter, %ring, %record, %low;
    .reg .b32 %site, %count, %slot, %x, %y, %z;
    ld.param.b64 %entry, [pg_entry];
    ld.local.b32 %site, [%entry+{in_site}];
    ld.local.b64 %address, [%entry+{in_address}];
    mov.u64 %counter, {counters};
    mad.wide.u32 %counter, %site, {counter_size}, %counter;
    not.b64 %low, %address;
    red.global.max.u64 [%counter+{lowest}], %low;
    red.global.max.u64 [%counter+{highest}], %address;
    atom.global.add.u32 %count, [%counter+{count}], 1;
    setp.ge.u32 %p, %count, {reports_per_site};
    @%p bra PG_DONE;
    ld.param.b64 %header, [pg_header];
    ld.local.b64 %ring, [%header+{reports}];
    setp.eq.u64 %p, %ring, 0;
    @%p bra PG_DONE;
    atom.global.add.u32 %slot, [%ring], 1;
    rem.u32 %x, %slot, {capacity};
    mad.wide.u32 %record, %x, {record_size}, %ring;
    ld.local.b32 %x, [%header+{launch}];
    st.global.b32 [%record+{at_launch}], %x;
    ld.local.b32 %x, [%entry+{in_site}];
    st.global.b32 [%record+{at_site}], %x;
    ld.local.b32 %x, [%entry+{in_reason}];
    st.global.b32 [%record+{at_reason}], %x;
    ld.local.b64 %low, [%entry+{in_address}];
    st.global.b64 [%record+{at_address}], %low;
    ld.local.b64 %low, [%entry+{in_detail}];
    st.global.b64 [%record+{at_detail}], %low;
    mov.u32 %x, %ctaid.x;
    mov.u32 %y, %ctaid.y;
    mov.u32 %z, %ctaid.z;
    st.global.b32 [%record+{block_x}], %x;
    st.global.b32 [%record+{block_y}], %y;
    st.global.b32 [%record+{block_z}], %z;
    mov.u32 %x, %tid.x;
    mov.u32 %y, %tid.y;
    mov.u32 %z, %tid.z;
    st.global.b32 [%record+{thread_x}], %x;
    st.global.b32 [%record+{thread_y}], %y;
    st.global.b32 [%record+{thread_z}], %z;
    add.u32 %slot, %slot, 1;
    membar.sys;
    st.volatile.global.b32 [%record+{at_number}], %slot;
PG_DONE:
    ret;
}}

.func pg_check(.param .b64 pg_frame)
{{
    .reg .pred %p, %aligned;
    .reg .b64 %frame, %entry, %address, %base, %size, %last, %offset, %found, %word;
    .reg .b32 %what, %low, %high, %middle, %shift;
    ld.param.b64 %frame, [pg_frame];
    add.u64 %entry, %frame, {first_entry};
PG_ACCESS:
    .pragma "nounroll";
    ld.local.b32 %what, [%entry+{in_what}];
    mov.u64 %found, {skip};
    and.b32 %low, %what, 255;
    setp.eq.u32 %p, %low, 0;
    @%p bra PG_JUDGED;
    ld.local.b64 %address, [%entry+{in_address}];
    cvt.u64.u32 %last, %low;
    sub.u64 %last, %last, 1;
    and.b64 %offset, %address, %last;
    setp.eq.u64 %aligned, %offset, 0;
    mov.u64 %found, {elsewhere};
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %low, %what, {in_variable};
    setp.ne.u32 %p, %low, 0;
    @%p bra PG_TOLD;
    and.b32 %low, %what, {generic};
    setp.eq.u32 %p, %low, 0;
    @%p bra PG_IN_GLOBAL;
    isspacep.shared %p, %address;
    @%p bra PG_ALIGNMENT;
    isspacep.local %p, %address;
    @%p bra PG_ALIGNMENT;
    isspacep.const %p, %address;
    @%p bra PG_ALIGNMENT;
PG_IN_GLOBAL:
    ld.local.b64 %size, [%entry+{in_size}];
    setp.eq.u64 %p, %size, 0;
    @%p bra PG_SEARCH;
PG_TOLD:
    ld.local.b64 %size, [%entry+{in_size}];
    ld.local.b64 %base, [%entry+{in_base}];
    bra PG_INSIDE;
PG_SEARCH:
    ld.local.b32 %high, [%frame+{entries}];
    mov.u32 %low, 0;
PG_NEXT:
    .pragma "nounroll";
    setp.ge.u32 %p, %low, %high;
    @%p bra PG_SEARCHED;
    add.u32 %middle, %low, %high;
    shr.u32 %middle, %middle, 1;
    ld.local.b64 %word, [%frame+{table}];
    mad.wide.u32 %offset, %middle, {range_size}, %word;
    ld.global.b64 %base, [%offset+{at_base}];
    setp.gt.u64 %p, %base, %address;
    @%p bra PG_LOWER;
    mov.u64 %found, %offset;
    add.u32 %low, %middle, 1;
    bra PG_NEXT;
PG_LOWER:
    mov.u32 %high, %middle;
    bra PG_NEXT;
PG_SEARCHED:
    setp.eq.u64 %p, %found, {elsewhere};
    @%p bra PG_MISSED;
    ld.global.b64 %base, [%found+{at_base}];
    ld.global.b64 %size, [%found+{at_size}];
PG_INSIDE:
    sub.u64 %offset, %address, %base;
    max.u64 %size, %size, %last;
    sub.u64 %size, %size, %last;
    setp.lt.u64 %p, %offset, %size;
    @%p bra PG_ALIGNMENT;
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %low, %what, {in_variable};
    setp.ne.u32 %p, %low, 0;
    @%p bra PG_OUTSIDE;
    ld.local.b64 %word, [%entry+{in_size}];
    setp.ne.u64 %p, %word, 0;
    @%p bra PG_OUTSIDE;
PG_MISSED:
    mov.u64 %found, {elsewhere};
    ld.local.b32 %low, [%frame+{flags}];
    and.b32 %low, %low, {permissive};
    setp.ne.u32 %p, %low, 0;
    @%p bra PG_ALIGNMENT;
PG_OUTSIDE:
    mov.u32 %low, {outside};
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %high, %what, {shared};
    setp.eq.u32 %p, %high, 0;
    @%p bra PG_REPORT;
    mov.u32 %low, {shared_outside};
    bra PG_REPORT;
PG_ALIGNMENT:
    mov.u32 %low, {misaligned};
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %high, %what, {unaligned};
    setp.ne.u32 %p, %high, 0;
    or.pred %aligned, %aligned, %p;
    @!%aligned bra PG_REPORT;
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %low, %what, {notes};
    setp.eq.u32 %p, %low, 0;
    @%p bra PG_JUDGED;
    setp.eq.u64 %p, %found, {elsewhere};
    @%p bra PG_JUDGED;
    ld.global.b32 %shift, [%found+{at_shift}];
    setp.ge.u32 %p, %shift, {untracked};
    @%p bra PG_JUDGED;
    ld.global.b64 %base, [%found+{at_base}];
    sub.u64 %offset, %address, %base;
    add.u64 %last, %last, %offset;
    ld.global.b64 %word, [%found+{at_shadow}];
    shr.u64 %offset, %offset, %shift;
    shr.u64 %last, %last, %shift;
    add.u64 %offset, %offset, %word;
    add.u64 %last, %last, %word;
    mov.u32 %low, {stray};
PG_NOTE:
    .pragma "nounroll";
    st.global.b8 [%offset], %low;
    add.u64 %offset, %offset, 1;
    setp.le.u64 %p, %offset, %last;
    @%p bra PG_NOTE;
PG_JUDGED:
    st.local.b64 [%entry+{in_address}], %found;
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %low, %what, {last};
    add.u64 %entry, %entry, {entry_size};
    setp.eq.u32 %p, %low, 0;
    @%p bra PG_ACCESS;
    ret;
PG_REPORT:
    mov.u64 %word, 0;
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %high, %what, {in_variable};
    setp.eq.u32 %p, %high, 0;
    @%p bra PG_DETAILED;
    ld.local.b64 %word, [%entry+{in_size}];
    ld.local.b32 %what, [%entry+{in_what}];
    and.b32 %high, %what, {shared};
    setp.ne.u32 %p, %high, 0;
    @%p bra PG_DETAILED;
    sub.u64 %word, %address, %base;
PG_DETAILED:
    st.local.b64 [%entry+{in_detail}], %word;
    st.local.b32 [%entry+{in_reason}], %low;
    {{
        .param .b64 pg_entry_;
        .param .b64 pg_frame_;
        st.param.b64 [pg_entry_], %entry;
        st.param.b64 [pg_frame_], %frame;
        call.uni pg_report, (pg_entry_, pg_frame_);
    }}
    mov.u64 %found, {skip};
    bra PG_JUDGED;
}}
"""


def support_items(sites: int) -> list[Variable | Function]:
    """Return what stands before the functions of an instrumented module with this many sites."""
    numbers = {
        "counters": abi.SITE_COUNTERS,
        "counter_size": abi.SITE_COUNTER.size,
        "reports_per_site": abi.REPORTS_PER_SITE,
        "capacity": abi.RING_CAPACITY,
        "record_size": abi.RECORD.size,
        "range_size": abi.RANGE.size,
        "elsewhere": ELSEWHERE,
        "skip": SKIP,
        "first_entry": abi.HEADER.size,
        "entry_size": _ENTRY_SIZE,
        "in_variable": int(Shape.SHARED | Shape.VARIABLE),
        "shared_outside": int(abi.Reason.SHARED_OUTSIDE),
        **{shape.name.lower(): int(shape) for shape in Shape if shape.name},
        "untracked": abi.UNTRACKED,
        "stray": abi.STRAY,
        "permissive": int(abi.Flag.PERMISSIVE),
        "outside": int(abi.Reason.OUTSIDE),
        "misaligned": int(abi.Reason.MISALIGNED),
        **abi.SITE_COUNTER_FIELDS,
        **abi.HEADER_FIELDS,
        **{f"in_{name}": offset for name, offset in ENTRY.items()},
        **{f"at_{name}": abi.RING_HEADER + offset for name, offset in abi.RECORD_FIELDS.items()},
        **{f"at_{name}": offset for name, offset in abi.RANGE_FIELDS.items()},
    }
    for number, axis in enumerate("xyz"):
        for what in ("block", "thread"):
            numbers[f"{what}_{axis}"] = abi.RING_HEADER + abi.RECORD_FIELDS[what] + 4 * number
    counters = Variable(
        abi.SITE_COUNTERS,
        Space.GLOBAL,
        "b8",
        align=8,
        dims=(max(sites, 1) * abi.SITE_COUNTER.size,),
        linkage=("visible",),
    )
    text = ".version 7.0\n.target sm_52\n.address_size 64\n" + _TEXT.format(**numbers)
    functions = [item for item in parse(text).items if isinstance(item, Function)]
    return [counters, *functions]


def fill(frame: Frame, index: int, **fields: Operand | int) -> None:
    """Store fields of 64 bits of an entry of the frame: what is to be known of an access."""
    for name, value in fields.items():
        _store(frame, index, name, value, "b64")


def call_check(frame: Frame, count: int) -> None:
    """Call ``pg_check`` here for the first entries of the frame, the last of which says that it is."""
    _call(frame, CHECK, count, with_entry=False)


def found_range(frame: Frame, index: int) -> Register:
    """Load what ``pg_check`` has left in an entry: SKIP, ELSEWHERE or the address of an abi.RANGE."""
    found = frame.builder.register("b64")
    frame.builder.emit("ld.local.b64", found, at(Symbol(_FRAME), abi.HEADER.size + index * _ENTRY_SIZE))
    return found


def call_report(
    frame: Frame,
    site: Operand | int,
    reason: Operand | int,
    address: Operand | int,
    detail: Operand | int = 0,
) -> None:
    """Report from here."""
    fill(frame, 0, address=address, detail=detail)
    _store(frame, 0, "reason", reason, "b32")
    _store(frame, 0, "site", site, "b32")
    _call(frame, REPORT, 1, with_entry=True)


def pass_header(frame: Frame, name: str) -> list[Statement]:
    """Return statements that declare the parameter ``name`` of a call and put the header in it."""
    statements: list[Statement] = [Variable(name, Space.PARAM, "b8", align=16, dims=(abi.HEADER.size,))]
    for start in range(0, abi.HEADER.size, 16):
        words = Vector((frame.builder.register("b64"), frame.builder.register("b64")))
        source, target = at(Symbol(abi.LAUNCH_PARAMETER), start), at(Symbol(name), start)
        statements.append(Instruction("ld", ("param", "v2", "b64"), (words, source)))
        statements.append(Instruction("st", ("param", "v2", "b64"), (target, words)))
    return statements


def _store(frame: Frame, index: int, name: str, value: Operand | int, kind: str) -> None:
    offset = abi.HEADER.size + index * _ENTRY_SIZE + ENTRY[name]
    frame.builder.emit(f"st.local.{kind}", at(Symbol(_FRAME), offset), value)


def _call(frame: Frame, function: str, entries: int, with_entry: bool) -> None:
    """Call a function of ours with the frame, to which the header is added."""
    builder = frame.builder
    builder.need_local(_FRAME, abi.HEADER.size + entries * _ENTRY_SIZE)
    for start in range(0, abi.HEADER.size, 16):
        words = Vector((builder.register("b64"), builder.register("b64")))
        builder.emit("ld.param.v2.b64", words, at(Symbol(abi.LAUNCH_PARAMETER), start))
        builder.emit("st.local.v2.b64", at(Symbol(_FRAME), start), words)
    where = builder.value("mov.u64", "b64", Symbol(_FRAME))
    values = [where]
    if with_entry:
        values = [builder.value("add.u64", "b64", where, abi.HEADER.size), where]
    names = tuple(Symbol(f"pg_argument_{index}") for index in range(len(values)))
    body: list[Statement] = []
    for name, value in zip(names, values, strict=True):
        body.append(Variable(name.name, Space.PARAM, "b64"))
        body.append(Instruction("st", ("param", "b64"), (at(name), value)))
    body.append(Instruction("call", ("uni",), (Symbol(function), Arguments(names))))
    builder.keep(Scope(body))
