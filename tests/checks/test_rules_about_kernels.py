"""What instrumented kernels report, over hand-made events: PG202 to PG205, PG303, PG504 to PG506, PG901."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from made_up.accesses import stores
from made_up.copies import dtoh, host, htod
from made_up.kernels import arg, kernel, launch, module, ptr, reported
from made_up.memory import A, B, alloc, contents, free
from made_up.process import ILLEGAL, ended, failed
from made_up.streams import synchronize
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

MODULE = module(
    kernel("add", "float *y", "const float *x", "int n", coverage=stores(2)),
    kernel("tiles", "float *y", static_shared=512),
    kernel("dynamic", "float *y"),
    kernel("follow", "float **rows"),
)
ARRAYS = (MODULE, alloc(A, 4000), alloc(B, 4000, line=2))
Y, X = {"parameter": 0, "base": A, "size": 4000}, {"parameter": 1, "base": B, "size": 4000}


def add(y: int = A, x: int = B, n: int = 1000, line: int = 15, **fields: Any) -> m.Launch:
    """``add(y, x, n)`` with 1024 threads."""
    arrays = [ptr(pointer, dtype="float32", shape=(1000,)) for pointer in (y, x)]
    return launch("add", *arrays, arg("int32", n), block=(256, 1, 1), grid=(4, 1), line=line, **fields)


def report(
    reason: str, address: int, number: int = 4, function: str = "add", **fields: Any
) -> m.KernelReport:
    return reported(number, reason, address, function=function, **fields)


def only(*events: Any) -> Any:
    (found,) = findings(*events)
    return found


def errors(*events: Any) -> list[Any]:
    return [found for found in findings(*events) if found.severity.value == "error"]


def test_a_write_past_the_end():
    outside = report("outside", A + 4000, count=24, highest=A + 4092, **Y)
    found = only(*ARRAYS, add(n=1024), outside)
    assert (found.code, found.severity.value) == ("PG202", "error")
    assert (found.location.line, found.kernel.line, found.kernel.file) == (15, 7, "script.py")
    assert found.message == (
        "kernel `add` writes `y` (1000 float32) past its end: element 1000 in block (1, 0, 0), "
        "thread (3, 0, 0) and 23 more accesses, elements 1000 to 1023, "
        "in add(…, block=(256, 1, 1), grid=(4, 1)); "
        "the guard skipped it: from here on the program's results mean nothing"
    )
    assert found.help == "pass 1000 for `int n`, or allocate 4096 bytes for the array"
    assert [related.line for related in found.related] == [1]


def test_the_consequence_is_said_once():
    events = [*ARRAYS, add(n=1024), add(n=1024, line=16)]
    events += [report("outside", A + 4000, line=15, **Y), report("outside", A + 4000, 5, line=16, **Y)]
    first, second = findings(*events)
    assert "mean nothing" in first.message
    assert "mean nothing" not in second.message


@pytest.mark.parametrize(
    ("fields", "help"),
    [
        ({"address": B - 4, "kind": "read", **X}, "let the kernel leave out the elements whose neighbours"),
        (
            {"address": A + 4000, "highest": A + 4092, **Y},
            "let only the threads below 1000 get there: if (i < n)",
        ),
        (
            {"address": A + 40000, "highest": A + 40000, **Y},
            "compare the index with the 1000 elements of the array first, or allocate 40004 bytes",
        ),
    ],
)
def test_help_by_what_went_wrong(fields, help):
    assert only(*ARRAYS, add(), report("outside", **fields)).help.startswith(help)


PARTS = (
    module(kernel("parts", "struct Part *p", "int n"), kernel("grey", "const uchar4 *rgba", "int n")),
    alloc(A, 957),
)


def parts(dtype: str | None, function: str = "parts", n: int = 33, highest: int = 1312, **fields: Any) -> Any:
    """A kernel of 33 threads or more left the 957 bytes of an array, first in block (0, 0, 0)."""
    array = ptr(A, dtype=dtype, shape=None if dtype is None else (33,), nbytes=957)
    width = fields.pop("width", 1)
    outside = report(
        "outside", A + 960, 3, function, highest=A + highest, parameter=0, base=A, size=957, width=width
    )
    outside = msgspec.structs.replace(outside, block_index=(0, 0, 0), **fields)
    return only(*PARTS, launch(function, array, arg("int32", n), block=(64, 1, 1)), outside)


@pytest.mark.parametrize(
    ("found", "help"),
    [
        (parts("|V29"), "a record of the array takes 29 bytes, and the kernel's struct seems to take more"),
        (
            parts("uint8", "grey", n=240, width=4, highest=956),
            "`const uchar4 *rgba` has elements of 4 bytes: the array is as large as 239 of them, and the "
            "kernel asks for 240; make the array of such elements, or change the parameter",
        ),
    ],
    ids=["records without the gaps of C", "three channels"],
)
def test_help_where_the_kernels_elements_are_larger(found, help):
    assert found.code == "PG202"
    assert found.help.startswith(help)


@pytest.mark.parametrize(
    "found",
    [
        parts("|V29", thread_index=(40, 0, 0)),
        parts("|V29", highest=33 * 29 + 20),
        parts("|V29", n=50),
        parts(None),
        parts("float32", "grey", width=4),
        parts("uint8", "grey", n=500, width=4, highest=956),
        parts("uint8", "grey", n=239, width=4, highest=956),
    ],
    ids=[
        "a thread too many",
        "a neighbour",
        "not counted",
        "no dtype",
        "as large",
        "asks for more",
        "counted",
    ],
)
def test_no_other_layout_is_guessed(found):
    assert found.code == "PG202"
    assert "record" not in found.help
    assert "elements of 4 bytes" not in found.help


def test_records_that_were_copied_are_counted_as_such():
    records = msgspec.structs.replace(host(33, "|V29", m.Extent(957)), nbytes=957)
    outside = report("outside", A + 960, 4, "parts", highest=A + 1312, parameter=0, base=A, size=957, width=1)
    found = only(
        *PARTS, htod(A, records), launch("parts", ptr(A), arg("int32", 33), block=(64, 1, 1)), outside
    )
    assert "(957 bytes (33 records of 29 bytes)) past its end: element 33, byte 3 of it" in found.message


def test_nobody_is_told_to_allocate_for_a_wild_index():
    wild = report("outside", A + (1 << 45), highest=A + (1 << 45), **Y)
    assert only(*ARRAYS, add(), wild).help == "compare the index with the 1000 elements of the array first"


def test_what_became_of_the_array_later_is_not_told():
    found = only(*ARRAYS, add(n=1024), free(A, line=40), report("outside", A + 4000, **Y))
    assert [related.line for related in found.related] == [1]


def test_indices_count_from_the_argument():
    inside = only(*ARRAYS, add(y=A + 400), report("outside", A + 4000, **Y))
    assert "element 900 in" in inside.message
    assert "(0 bytes from the allocation of 4000 bytes)" in inside.message


FIRING = {
    "before the start": ([add(), report("outside", A - 4, **Y)], ("PG202", 15)),
    "nowhere, by a pointer from memory": (
        [launch("follow", ptr(A)), report("outside", 0x900000000)],
        ("PG202", 15),
    ),
    "freed, by a pointer from memory": (
        [free(B), launch("follow", ptr(A)), report("outside", B + 8, 5, "follow")],
        ("PG203", 15),
    ),
    "null, by a pointer from memory": (
        [launch("follow", ptr(A)), report("outside", 8, 4, "follow")],
        ("PG204", 15),
    ),
    "a null argument": ([add(x=0), report("outside", 400, kind="read", parameter=1)], ("PG204", 15)),
    "an argument that points to nothing": (
        [add(x=0x700000000), report("outside", 0x700000004, kind="read", parameter=1)],
        ("PG204", 15),
    ),
    "misaligned": ([add(), report("misaligned", A + 2, **Y)], ("PG205", 15)),
    "misaligned argument": ([add(y=A + 8), report("misaligned", A + 8, width=16, **Y)], ("PG205", 15)),
    "misaligned in shared memory": (
        [launch("tiles", ptr(A)), report("misaligned", 3, 4, "tiles", space="shared", variable=("s", 512))],
        ("PG205", 15),
    ),
    "never written": ([add(), report("uninitialized", B, kind="use", **X)], ("PG303", 15)),
    "never written, address unknown": ([add(), report("uninitialized", 0, kind="use")], ("PG303", 15)),
    "shared past the end": (
        [
            launch("tiles", ptr(A)),
            report("shared-outside", 512, 4, "tiles", space="shared", variable=("s", 512)),
        ],
        ("PG504", 15),
    ),
    "shared before the start": (
        [
            launch("tiles", ptr(A)),
            report("shared-outside", 2**64 - 4, 4, "tiles", space="shared", variable=("s", 512)),
        ],
        ("PG504", 15),
    ),
    "shared, never written": (
        [
            launch("tiles", ptr(A)),
            report("shared-uninitialized", 8, 4, "tiles", space="shared", variable=("s", 512)),
        ],
        ("PG505", 15),
    ),
    "assertion": ([add(), report("assert", 0, kind="assert")], ("PG506", 15)),
    "trap": ([add(), report("trap", 0, kind="trap")], ("PG506", 15)),
}


@pytest.mark.parametrize(("events", "expected"), FIRING.values(), ids=FIRING)
def test_fires(events, expected):
    assert codes(*ARRAYS, *events) == [expected]


ASSERTED = "device-side assert triggered"
ONE_CAUSE = {
    "the same place again": [add(), report("outside", A + 4000, **Y), report("outside", A + 4000, **Y)],
    "in a loop": [add(), add(), report("outside", A + 4000, **Y), report("outside", A + 4000, 5, **Y)],
    "the failure that follows": [
        add(x=0),
        report("outside", 0, kind="read", parameter=1),
        failed(ILLEGAL, nth=0),
    ],
    "the failed assertion's own error": [add(), report("assert", 0, kind="assert"), failed(ASSERTED, nth=0)],
    "a freed argument": [free(B), add(), report("outside", B, 5, kind="read", parameter=1)],
    "a wrong argument": [launch("add", ptr(A), ptr(B), arg("int64", 9)), report("outside", A + 4000, **Y)],
    "a missing argument": [launch("add", ptr(A), ptr(B)), report("uninitialized", B, kind="use", **X)],
    "the host reads what a kernel used": [
        add(),
        report("uninitialized", B, kind="use", **X),
        dtoh(host(1000), B),
        contents(6, B, (0, 4000, 0)),
    ],
    "a kernel uses what the host was to read": [
        add(n=2000, line=14),
        dtoh(host(1000), A, line=15),
        contents(5, A, (0, 2000, 0), (2000, 4000, 4)),
        add(),
        report("uninitialized", A, 7, kind="use", **Y),
    ],
}


@pytest.mark.parametrize("events", ONE_CAUSE.values(), ids=ONE_CAUSE)
def test_one_cause_is_one_finding(events):
    assert len(errors(*ARRAYS, *events)) == 1


def test_another_line_of_the_kernel_is_another_finding():
    events = [add(), report("outside", A + 4000, **Y), report("outside", B + 4000, kernel_line=8, **X)]
    assert [found.kernel.line for found in findings(*ARRAYS, *events)] == [7, 8]


SHORT = launch("add", ptr(A), ptr(B), arg("int32", 1000), block=(256, 1, 1), grid=(3, 1), line=14)
USED = [*ARRAYS, htod(B, host(1000)), SHORT, add(), report("uninitialized", A + 3200, 6, kind="use", **Y)]


def test_a_use_of_what_a_launch_left_out_is_no_second_finding():
    answer = contents(8, A, (0, 3072, 5), (3072, 4000, 0))
    found = errors(*USED, dtoh(host(1000), A), answer, ended())
    assert [(f.code, f.location.line) for f in found] == [("PG301", 14)]


@pytest.mark.parametrize("end", [[ended()], [free(A), contents(8, A, (0, 3072, 5), (3072, 4000, 0))]])
def test_a_use_of_what_a_launch_left_out_is_told_if_the_host_never_reads_it(end):
    assert errors(*USED) == []
    (found,) = errors(*USED, *end)
    assert (found.code, found.location.line) == ("PG303", 15)
    assert "grid=(4, 1)" in found.help
    assert 14 in [related.line for related in found.related]


@pytest.mark.parametrize(
    ("launches", "number", "help"),
    [
        ([SHORT, add(B, A), SHORT], 6, "with this block, grid=(4, 1) covers"),
        ([add(B, A), SHORT], 5, "write `"),
    ],
    ids=["launched again since then", "launched only since then"],
)
def test_a_use_that_is_told_late_blames_what_was_launched_before(launches, number, help):
    used = report("uninitialized", A + 3200, number, kind="use", parameter=1, base=A, size=4000)
    found = errors(*ARRAYS, htod(B, host(1000)), *launches, used, ended())
    assert [(f.code, f.location.line) for f in found] == [("PG303", 15)]
    assert found[0].help.replace("the array", "`x`").startswith(help)


def test_pycudas_own_kernels_are_placed_on_the_users_line():
    event = report("outside", A + 4000, library=True, **Y)
    found = only(*ARRAYS, add(library=True), event)
    assert (found.location.line, found.kernel.name, found.kernel.line) == (15, "add", None)
    assert found.message.startswith("PyCUDA's kernel `add` writes")


@pytest.mark.parametrize(
    ("function", "shared", "size", "help"),
    [
        ("dynamic", 256, 256, "pass shared=516 to the launch, or use fewer threads a block"),
        ("dynamic", 0, 0, "pass shared=516 to the launch, or use fewer threads a block"),
        ("dynamic", 256, 0, "pass shared=516 to the launch, or use fewer threads a block"),
        ("tiles", 0, 512, "give `s` 516 bytes, or keep the index below 128"),
    ],
)
def test_how_much_shared_memory_is_needed(function, shared, size, help):
    variable = (f"_ZZ{len(function)}{function}E1s", size)
    outside = report("shared-outside", 512, 4, function, space="shared", variable=variable)
    found = only(*ARRAYS, launch(function, ptr(A), shared=shared), outside)
    assert found.help == help
    assert f"shared `s` ({shared or size} bytes) outside" in found.message


def test_nobody_is_told_to_pass_another_extent_to_a_kernel_of_pycuda():
    outside = report("outside", A + 4000, highest=A + 4092, library=True, **Y)
    found = only(*ARRAYS, add(n=1024, library=True), outside)
    assert found.help == "give the arrays one size: the array has 1000 elements, others have 1024"


@pytest.mark.parametrize(
    ("nbytes", "grid", "help"),
    [
        (4, 4, "if threads add to what they have read, use an atomic, such as old = atomicAdd(x, 1)"),
        (4, 1, "put __syncthreads() between lines 7 and 9"),
        (400, 4, "put __syncthreads() between lines 7 and 9"),
    ],
    ids=["one counter", "in one block", "an array"],
)
def test_what_several_blocks_count_in_needs_an_atomic(nbytes, grid, help):
    written = m.KernelAccess("tiles", "script.py", 9, "write", 4, "global", 0)
    ends = {"other": written, "other_block": (1, 0, 0), "other_thread": (4, 0, 0)}
    race = report("race", A, 3, "tiles", kind="read", parameter=0, base=A, size=nbytes, **ends)
    found = only(MODULE, alloc(A, nbytes), launch("tiles", ptr(A), grid=(grid, 1)), race)
    assert found.code == "PG501"
    assert found.help.startswith(help)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ((m.ModuleVariable("seen", A, 256),), "element 2 of `seen` (256 bytes)"),
        ((), f"address {A + 8:#x} of"),
    ],
    ids=["known", "unknown"],
)
def test_a_race_for_a_variable_names_it_though_nobody_asked_where_it_is(variables, named):
    written = m.KernelAccess("mark", "script.py", 9, "write", 4, "global", 0)
    ends = {"other": written, "other_block": (1, 0, 0), "other_thread": (0, 0, 0)}
    race = report("race", A + 8, 3, "mark", kind="write", base=0, size=0, **ends)
    loaded = module(kernel("mark"), variables=variables)
    found = only(loaded, alloc(B, 64), launch("mark", grid=(2, 1)), race)
    assert found.code == "PG501"
    assert named in found.message


@pytest.mark.parametrize(
    ("kind", "shared", "help"),
    [
        ("write", 256, "if these are two arrays in `s`, let the second begin where the first ends; else put"),
        ("write", 0, "put __sync"),
        ("read", 256, "put __sync"),
    ],
)
def test_two_arrays_in_one_piece_of_shared_memory_may_overlap(kind, shared, help):
    second = m.KernelAccess("dynamic", "script.py", 9, "write", 4, "shared", -1, "s", 256)
    ends = {"other": second, "other_block": (1, 0, 0), "other_thread": (4, 0, 0)}
    race = report("shared-race", 128, 4, "dynamic", kind=kind, space="shared", variable=("s", 256), **ends)
    found = only(*ARRAYS, launch("dynamic", ptr(A), shared=shared), race)
    assert found.code == "PG502"
    assert found.help.startswith(help)
    assert "between lines 7 and 9" in found.help


@pytest.mark.parametrize(
    ("other", "text"), [((3, 0, 0), "others read it"), ((4, 0, 0), "thread (4, 0, 0) reads it")]
)
def test_no_thread_races_with_itself(other, text):
    read = m.KernelAccess("dynamic", "script.py", 9, "read", 4, "shared", -1, "s", 256)
    ends = {"other": read, "other_block": (1, 0, 0), "other_thread": other}
    race = report("shared-race", 0, 4, "dynamic", space="shared", variable=("s", 256), **ends)
    found = only(*ARRAYS, launch("dynamic", ptr(A)), race)
    assert f"thread (3, 0, 0) of block (1, 0, 0) writes it, {text}, and" in found.message


def test_what_an_atomic_tells_another_block_needs_a_fence():
    written = m.KernelAccess("tiles", "script.py", 9, "write", 4, "global", 0)
    ends = {"other": written, "other_block": (2, 0, 0), "other_thread": (3, 0, 0)}
    race = report("race", A, 3, "tiles", kind="read", parameter=0, base=A, size=400, **ends)
    found = only(MODULE, alloc(A, 400), launch("tiles", ptr(A), grid=(4, 1)), race)
    assert "call __threadfence() before that" in found.help


def test_all_lines_of_a_launch_ask_for_as_much_shared_memory():
    fields = {"space": "shared", "variable": ("_ZZ7dynamicE1s", 256)}
    most = report("shared-outside", 512, 4, "dynamic", highest=1020, **fields)
    less = report("shared-outside", 256, 4, "dynamic", kernel_line=9, **fields)
    other = report("shared-outside", 256, 5, "dynamic", kernel_line=9, line=16, **fields)
    launches = [launch("dynamic", ptr(A), shared=256, line=line) for line in (15, 16)]
    found = findings(*ARRAYS, *launches, most, less, other)
    assert [finding.help.split()[1] for finding in found] == ["shared=1024", "shared=1024", "shared=260"]


def test_elements_of_records_tell_the_byte():
    argument = ptr(A, dtype="|V24", shape=(50,))
    read = report("uninitialized", A + 48 + 16, 4, "tiles", kind="read", width=8, **Y)
    (found,) = findings(*ARRAYS, launch("tiles", argument, line=15), read)
    assert "(50 records of 24 bytes) that nobody has written: element 2, byte 16 of it, in" in found.message


@pytest.mark.parametrize(("index", "width"), [(2**31, True), (2**32 - 2, True), (2**32 + 5, False)])
def test_indices_that_overflow(index, width):
    far = A + (index - 2**32 if width else -5) * 4
    large = [MODULE, alloc(A, 4 * (2**32 - 1)), alloc(B, 4000, line=2)]
    outside = report("outside", far, parameter=0, base=A, size=4 * (2**32 - 1))
    if not width:
        large[1], outside = alloc(A, 4000), report("outside", far, **Y)
    found = only(*large, add(), outside)
    assert ("compute it in 64 bits" in found.help) is width


def test_a_launch_that_is_forgotten_is_told_by_its_line():
    found = only(*ARRAYS, report("outside", A + 4000, 99, **Y))
    assert (found.code, found.location.line, found.kernel.line) == ("PG202", 15, 7)


SILENT = {
    "nothing reported": [add(), synchronize()],
    "of library kernels that are left out": [module(library=True, left_out=(("f", "too large"),))],
    "no kernel left out": [module(kernel("f"))],
}


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events):
    assert codes(*ARRAYS, *events) == []


def test_kernels_that_are_left_out_are_noted():
    reasons = (("f", "it calls `vprintf`"), ("g", "it calls `vprintf`"), ("h", "too many registers"))
    found = only(module(*map(kernel, "fgh"), left_out=reasons))
    assert (found.code, found.severity.value) == ("PG901", "note")
    assert found.message == (
        "the accesses of kernels `f` and `g` are not checked: it calls `vprintf`; "
        "the accesses of kernel `h` are not checked: too many registers"
    )


def test_a_module_that_is_left_out_whole_is_noted():
    found = only(module(kernel("f"), left_out=(("", "no compiler"),)))
    assert found.message == "the accesses of this module's kernels are not checked: no compiler"
