"""The device functions by which kernels look addresses up and report, and calls of them.

``pg_check`` is for an access that its own quick check did not pass: it looks for the range, reports, and
may note what is written. ``pg_report`` makes a report.

Arguments are in local memory, in the caller's *frame*: a kernel has as many registers as the most demanding
function that it calls, and how many it has decides how many of its threads run at a time.
"""

from __future__ import annotations

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
    from pycuda_guard.kernels.instrument.ranges import Range
    from pycuda_guard.kernels.ptx.ir import Operand, Statement

CHECK = "pg_check"
REPORT = "pg_report"

#: what ``pg_check`` answers instead of a range: skip the access; do it, nothing is known of that memory
SKIP, ELSEWHERE = 0, 1
#: in what ``pg_check`` is told about the access, beside its width: the address is generic; if the access
#: is right, note that it writes
GENERIC, NOTES = 0x100, 0x200

#: where the arguments are in the frame; the header follows
_FRAME = {"address": 0, "base": 8, "size": 16, "what": 24, "detail": 8, "reason": 16, "site": 28}
_FRAME_HEADER = 32
_FRAME_NAME = "pg_frame"

_TEXT = """
.func pg_report(.param .b64 frame)
{{
    .reg .pred %p;
    .reg .b64 %frame, %address, %counter, %ring, %record, %low;
    .reg .b32 %site, %count, %slot, %x, %y, %z;
    ld.param.b64 %frame, [frame];
    ld.local.b32 %site, [%frame+{in_site}];
    ld.local.b64 %address, [%frame+{in_address}];
    mov.u64 %counter, {counters};
    mad.wide.u32 %counter, %site, {counter_size}, %counter;
    not.b64 %low, %address;
    red.global.max.u64 [%counter+{lowest}], %low;
    red.global.max.u64 [%counter+{highest}], %address;
    atom.global.add.u32 %count, [%counter+{count}], 1;
    setp.ge.u32 %p, %count, {reports_per_site};
    @%p bra DONE;
    ld.local.b64 %ring, [%frame+{in_reports}];
    setp.eq.u64 %p, %ring, 0;
    @%p bra DONE;
    atom.global.add.u32 %slot, [%ring], 1;
    rem.u32 %x, %slot, {capacity};
    mad.wide.u32 %record, %x, {record_size}, %ring;
    ld.local.b32 %x, [%frame+{in_launch}];
    st.global.b32 [%record+{at_launch}], %x;
    ld.local.b32 %x, [%frame+{in_site}];
    st.global.b32 [%record+{at_site}], %x;
    ld.local.b32 %x, [%frame+{in_reason}];
    st.global.b32 [%record+{at_reason}], %x;
    ld.local.b64 %low, [%frame+{in_address}];
    st.global.b64 [%record+{at_address}], %low;
    ld.local.b64 %low, [%frame+{in_detail}];
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
DONE:
    ret;
}}

.func (.param .b64 found) pg_check(.param .b64 frame)
{{
    .reg .pred %p, %aligned;
    .reg .b64 %frame, %address, %base, %size, %last, %offset, %table, %found, %word;
    .reg .b32 %what, %low, %high, %middle, %reason, %shift;
    ld.param.b64 %frame, [frame];
    ld.local.b64 %address, [%frame+{in_address}];
    ld.local.b32 %what, [%frame+{in_what}];
    and.b32 %low, %what, 255;
    cvt.u64.u32 %last, %low;
    sub.u64 %last, %last, 1;
    and.b64 %offset, %address, %last;
    setp.eq.u64 %aligned, %offset, 0;
    mov.u64 %found, {elsewhere};
    and.b32 %low, %what, {generic};
    setp.eq.u32 %p, %low, 0;
    @%p bra IN_GLOBAL;
    isspacep.shared %p, %address;
    @%p bra ALIGNMENT;
    isspacep.local %p, %address;
    @%p bra ALIGNMENT;
    isspacep.const %p, %address;
    @%p bra ALIGNMENT;
IN_GLOBAL:
    ld.local.b64 %size, [%frame+{in_size}];
    setp.eq.u64 %p, %size, 0;
    @%p bra SEARCH;
    ld.local.b64 %base, [%frame+{in_base}];
    bra INSIDE;
SEARCH:
    ld.local.b32 %high, [%frame+{in_entries}];
    ld.local.b64 %table, [%frame+{in_table}];
    mov.u32 %low, 0;
NEXT:
    setp.ge.u32 %p, %low, %high;
    @%p bra SEARCHED;
    add.u32 %middle, %low, %high;
    shr.u32 %middle, %middle, 1;
    mad.wide.u32 %offset, %middle, {range_size}, %table;
    ld.global.b64 %base, [%offset+{at_base}];
    setp.gt.u64 %p, %base, %address;
    @%p bra LOWER;
    mov.u64 %found, %offset;
    add.u32 %low, %middle, 1;
    bra NEXT;
LOWER:
    mov.u32 %high, %middle;
    bra NEXT;
SEARCHED:
    setp.eq.u64 %p, %found, {elsewhere};
    @%p bra MISSED;
    ld.global.b64 %base, [%found+{at_base}];
    ld.global.b64 %size, [%found+{at_size}];
INSIDE:
    sub.u64 %offset, %address, %base;
    max.u64 %size, %size, %last;
    sub.u64 %size, %size, %last;
    setp.lt.u64 %p, %offset, %size;
    @%p bra ALIGNMENT;
    ld.local.b64 %word, [%frame+{in_size}];
    setp.ne.u64 %p, %word, 0;
    @%p bra OUTSIDE;
MISSED:
    mov.u64 %found, {elsewhere};
    ld.local.b32 %low, [%frame+{in_flags}];
    and.b32 %low, %low, {permissive};
    setp.ne.u32 %p, %low, 0;
    @%p bra ALIGNMENT;
OUTSIDE:
    mov.u32 %reason, {outside};
    bra REPORT;
ALIGNMENT:
    mov.u32 %reason, {misaligned};
    @!%aligned bra REPORT;
    and.b32 %low, %what, {notes};
    setp.eq.u32 %p, %low, 0;
    @%p bra DONE;
    setp.eq.u64 %p, %found, {elsewhere};
    @%p bra DONE;
    ld.global.b32 %shift, [%found+{at_shift}];
    setp.ge.u32 %p, %shift, {untracked};
    @%p bra DONE;
    ld.global.b64 %base, [%found+{at_base}];
    sub.u64 %offset, %address, %base;
    add.u64 %last, %last, %offset;
    ld.global.b64 %word, [%found+{at_shadow}];
    shr.u64 %offset, %offset, %shift;
    shr.u64 %last, %last, %shift;
    add.u64 %offset, %offset, %word;
    add.u64 %last, %last, %word;
    mov.u32 %low, {stray};
NOTE:
    st.global.b8 [%offset], %low;
    add.u64 %offset, %offset, 1;
    setp.le.u64 %p, %offset, %last;
    @%p bra NOTE;
DONE:
    st.param.b64 [found], %found;
    ret;
REPORT:
    st.local.b32 [%frame+{in_reason}], %reason;
    mov.u64 %word, 0;
    st.local.b64 [%frame+{in_detail}], %word;
    {{
        .param .b64 frame_;
        st.param.b64 [frame_], %frame;
        call.uni pg_report, (frame_);
    }}
    mov.u64 %found, {skip};
    st.param.b64 [found], %found;
    ret;
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
        "generic": GENERIC,
        "elsewhere": ELSEWHERE,
        "skip": SKIP,
        "notes": NOTES,
        "untracked": abi.UNTRACKED,
        "stray": abi.STRAY,
        "permissive": int(abi.Flag.PERMISSIVE),
        "outside": int(abi.Reason.OUTSIDE),
        "misaligned": int(abi.Reason.MISALIGNED),
        **abi.SITE_COUNTER_FIELDS,
        **{f"in_{name}": offset for name, offset in _FRAME.items()},
        **{f"in_{name}": _FRAME_HEADER + offset for name, offset in abi.HEADER_FIELDS.items()},
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


def call_check(frame: Frame, address: Register, known: Range | None, site: int, shape: int) -> Register:
    """Call ``pg_check`` here with an address and the range of its root, if it has one.

    Return the register that has its answer.
    """
    values: list[tuple[str, Operand | int]] = [
        ("address", address),
        ("base", known.base if known else 0),
        ("size", known.size if known else 0),
    ]
    _fill(frame, values)
    _store(frame, _FRAME["what"], site << 32 | shape, "b64")
    found = frame.builder.register("b64")
    _call(frame, CHECK, found)
    return found


def call_report(
    frame: Frame,
    site: Operand | int,
    reason: Operand | int,
    address: Operand | int,
    detail: Operand | int = 0,
) -> None:
    """Report from here."""
    _fill(frame, [("address", address), ("detail", detail)])
    _store(frame, _FRAME["reason"], reason, "b32")
    _store(frame, _FRAME["site"], site, "b32")
    _call(frame, REPORT, None)


def pass_header(frame: Frame, name: str) -> list[Statement]:
    """Return statements that declare the parameter ``name`` of a call and put the header in it."""
    statements: list[Statement] = [Variable(name, Space.PARAM, "b8", align=16, dims=(abi.HEADER.size,))]
    for start in range(0, abi.HEADER.size, 16):
        words = Vector((frame.builder.register("b64"), frame.builder.register("b64")))
        source, target = at(Symbol(abi.LAUNCH_PARAMETER), start), at(Symbol(name), start)
        statements.append(Instruction("ld", ("param", "v2", "b64"), (words, source)))
        statements.append(Instruction("st", ("param", "v2", "b64"), (target, words)))
    return statements


def _fill(frame: Frame, values: list[tuple[str, Operand | int]]) -> None:
    """Store arguments of 64 bits and the header in the frame."""
    builder = frame.builder
    builder.need(Variable(_FRAME_NAME, Space.LOCAL, "b8", align=16, dims=(_FRAME_HEADER + abi.HEADER.size,)))
    for name, value in values:
        _store(frame, _FRAME[name], value, "b64")
    for start in range(0, abi.HEADER.size, 16):
        words = Vector((builder.register("b64"), builder.register("b64")))
        builder.emit("ld.param.v2.b64", words, at(Symbol(abi.LAUNCH_PARAMETER), start))
        builder.emit("st.local.v2.b64", at(Symbol(_FRAME_NAME), _FRAME_HEADER + start), words)


def _store(frame: Frame, offset: int, value: Operand | int, kind: str) -> None:
    frame.builder.emit(f"st.local.{kind}", at(Symbol(_FRAME_NAME), offset), value)


def _call(frame: Frame, function: str, result: Register | None) -> None:
    """Call a function of ours with the frame."""
    where = frame.builder.value("mov.u64", "b64", Symbol(_FRAME_NAME))
    argument, returned = Symbol("pg_argument"), Symbol("pg_result")
    body: list[Statement] = [
        Variable(argument.name, Space.PARAM, "b64"),
        Instruction("st", ("param", "b64"), (at(argument), where)),
    ]
    operands: tuple[Operand, ...] = (Symbol(function), Arguments((argument,)))
    if result is not None:
        body.append(Variable(returned.name, Space.PARAM, "b64"))
        operands = (Arguments((returned,)), *operands)
    body.append(Instruction("call", ("uni",), operands))
    if result is not None:
        body.append(Instruction("ld", ("param", "b64"), (result, at(returned))))
    frame.builder.keep(Scope(body))
