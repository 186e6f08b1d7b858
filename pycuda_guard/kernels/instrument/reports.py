"""The device functions by which kernels look addresses up and report, and calls of them.

``pg_check`` is for an access that its own quick check did not pass: it looks for the range, reports, and
may note what is written. ``pg_report`` makes a report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.builder import at
from pycuda_guard.kernels.ptx.ir import (
    Arguments,
    Function,
    Immediate,
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

_TEXT = """
.func pg_report(.param .b32 site, .param .b32 reason, .param .b64 address, .param .b64 detail,
    .param .b64 reports, .param .b32 launch)
{{
    .reg .pred %p;
    .reg .b64 %address, %detail, %counter, %ring, %record, %low;
    .reg .b32 %site, %reason, %count, %slot, %launch, %x, %y, %z;
    ld.param.b32 %site, [site];
    ld.param.b64 %address, [address];
    mov.u64 %counter, {counters};
    mad.wide.u32 %counter, %site, {counter_size}, %counter;
    not.b64 %low, %address;
    red.global.max.u64 [%counter+{lowest}], %low;
    red.global.max.u64 [%counter+{highest}], %address;
    atom.global.add.u32 %count, [%counter+{count}], 1;
    setp.ge.u32 %p, %count, {reports_per_site};
    @%p bra DONE;
    ld.param.b64 %ring, [reports];
    setp.eq.u64 %p, %ring, 0;
    @%p bra DONE;
    ld.param.b32 %reason, [reason];
    ld.param.b64 %detail, [detail];
    ld.param.b32 %launch, [launch];
    atom.global.add.u32 %slot, [%ring], 1;
    rem.u32 %x, %slot, {capacity};
    mad.wide.u32 %record, %x, {record_size}, %ring;
    st.global.b32 [%record+{at_launch}], %launch;
    st.global.b32 [%record+{at_site}], %site;
    st.global.b32 [%record+{at_reason}], %reason;
    st.global.b64 [%record+{at_address}], %address;
    st.global.b64 [%record+{at_detail}], %detail;
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

.func (.param .b64 found) pg_check(.param .b64 address, .param .b64 base, .param .b64 size,
    .param .b64 what, .param .align 16 .b8 launch[{header_size}])
{{
    .reg .pred %p, %aligned;
    .reg .b64 %address, %base, %size, %last, %offset, %table, %found, %word;
    .reg .b32 %what, %low, %high, %middle, %reason, %shift;
    ld.param.b64 %address, [address];
    ld.param.b64 %size, [size];
    ld.param.b32 %what, [what];
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
    setp.eq.u64 %p, %size, 0;
    @%p bra SEARCH;
    ld.param.b64 %base, [base];
    bra INSIDE;
SEARCH:
    ld.param.b32 %high, [launch+{entries}];
    ld.param.b64 %table, [launch+{table}];
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
    ld.param.b64 %word, [size];
    setp.ne.u64 %p, %word, 0;
    @%p bra OUTSIDE;
MISSED:
    mov.u64 %found, {elsewhere};
    ld.param.b32 %low, [launch+{flags}];
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
    {{
        .param .b32 site_;
        .param .b32 reason_;
        .param .b64 address_;
        .param .b64 detail_;
        .param .b64 reports_;
        .param .b32 launch_;
        ld.param.b32 %low, [what+4];
        st.param.b32 [site_], %low;
        st.param.b32 [reason_], %reason;
        st.param.b64 [address_], %address;
        mov.u64 %word, 0;
        st.param.b64 [detail_], %word;
        ld.param.b64 %word, [launch+{reports}];
        st.param.b64 [reports_], %word;
        ld.param.b32 %low, [launch+{launch}];
        st.param.b32 [launch_], %low;
        call.uni pg_report, (site_, reason_, address_, detail_, reports_, launch_);
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
        "header_size": abi.HEADER.size,
        "elsewhere": ELSEWHERE,
        "skip": SKIP,
        "notes": NOTES,
        "untracked": abi.UNTRACKED,
        "stray": abi.STRAY,
        "permissive": int(abi.Flag.PERMISSIVE),
        "outside": int(abi.Reason.OUTSIDE),
        "misaligned": int(abi.Reason.MISALIGNED),
        **abi.SITE_COUNTER_FIELDS,
        **abi.HEADER_FIELDS,
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
    found = frame.builder.register("b64")
    base, size = (known.base, known.size) if known else (0, 0)
    values: list[tuple[int, Operand | int]] = [(8, address), (8, base), (8, size), (8, site << 32 | shape)]
    _call(frame, CHECK, values, found)
    return found


def call_report(
    frame: Frame,
    site: Operand | int,
    reason: Operand | int,
    address: Operand | int,
    detail: Operand | int = 0,
) -> None:
    """Report from here."""
    reports, launch = frame.header("reports"), frame.header("launch")
    values = [(4, site), (4, reason), (8, address), (8, detail), (8, reports), (4, launch)]
    _call(frame, REPORT, values, None)


def pass_header(frame: Frame, name: str) -> list[Statement]:
    """Return statements that declare the parameter ``name`` of a call and put the header in it."""
    statements: list[Statement] = [Variable(name, Space.PARAM, "b8", align=16, dims=(abi.HEADER.size,))]
    for start in range(0, abi.HEADER.size, 16):
        words = Vector((frame.builder.register("b64"), frame.builder.register("b64")))
        source, target = at(Symbol(abi.LAUNCH_PARAMETER), start), at(Symbol(name), start)
        statements.append(Instruction("ld", ("param", "v2", "b64"), (words, source)))
        statements.append(Instruction("st", ("param", "v2", "b64"), (target, words)))
    return statements


def _call(
    frame: Frame, function: str, values: list[tuple[int, Operand | int]], result: Register | None
) -> None:
    body: list[Statement] = []
    names = []
    for index, (width, value) in enumerate(values):
        name = f"pg_argument_{index}"
        names.append(Symbol(name))
        kind = f"b{8 * width}"
        body.append(Variable(name, Space.PARAM, kind))
        operand = Immediate("int", value) if isinstance(value, int) else value
        body.append(Instruction("st", ("param", kind), (at(Symbol(name)), operand)))
    if result is not None:
        names.append(Symbol("pg_argument_launch"))
        body += pass_header(frame, "pg_argument_launch")
    operands: tuple[Operand, ...] = (Symbol(function), Arguments(tuple(names)))
    if result is not None:
        body.append(Variable("pg_result", Space.PARAM, "b64"))
        operands = (Arguments((Symbol("pg_result"),)), *operands)
    body.append(Instruction("call", ("uni",), operands))
    if result is not None:
        body.append(Instruction("ld", ("param", "b64"), (result, at(Symbol("pg_result")))))
    frame.builder.keep(Scope(body))
