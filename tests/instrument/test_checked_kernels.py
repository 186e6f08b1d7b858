"""The checked variant of real kernels: what it computes, what it reports, and on what it is silent."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from launching import Buffer, Launcher, compile_cuda

from pycuda_guard.kernels.instrument import abi

SOURCE = (Path(__file__).parent / "checked_kernels.cu").read_text()
USES = {
    match[1]: number
    for number, line in enumerate(SOURCE.splitlines(), 1)
    if (match := re.search(r"// use: (\w+)", line))
}
GLOBAL, SHARED = abi.Reason.UNINITIALIZED, abi.Reason.SHARED_UNINITIALIZED


@pytest.fixture(scope="module")
def launcher(cuda, tmp_path_factory):
    return Launcher(cuda, compile_cuda(SOURCE, tmp_path_factory.mktemp("checked")), only_checked=True)


def floats(count: int, *written: tuple[int, int], **more) -> Buffer:
    """Return a buffer of numbers, of which the host wrote elements."""
    return Buffer(np.arange(1, count + 1, dtype=np.float32), written=scaled(written, 4), **more)


def ints(count: int, *written: tuple[int, int], **more) -> Buffer:
    return Buffer(np.arange(1, count + 1, dtype=np.int32), written=scaled(written, 4), **more)


def octets(count: int, *written: tuple[int, int], **more) -> Buffer:
    return Buffer(np.arange(1, count + 1, dtype=np.uint8), written=written, **{"shift": 0, **more})


def halves(*written: tuple[int, int]) -> Buffer:
    return Buffer(np.ones(64, np.float16), 1, written=written)


def every(stride: int, start: int, end: int) -> list[tuple[int, int]]:
    """Return the bytes from ``start`` to ``end`` of each of 32 elements."""
    return [(stride * k + start, stride * k + end) for k in range(32)]


def scaled(ranges, size):
    return tuple((start * size, end * size) for start, end in ranges)


def run(launcher, name, *arguments, equal=True, **launch):
    """Run a kernel's checked variant beside the bare kernel; return what it reports."""
    bare = launcher.bare_run(name, *arguments, **launch)
    launcher.run(name, *arguments, checked=True, **launch)
    if equal:
        for array, buffer in zip(bare, (a for a in arguments if isinstance(a, Buffer)), strict=True):
            assert array.tobytes() == buffer.array.tobytes()
    return launcher.reports


def line_of(launcher, report) -> int:
    """Return the line of the program, also where a function of a header was inlined there."""
    source = launcher.result.sites[report.site].source
    while source.inlined_at:
        source = type(source)(*source.inlined_at)
    return source.line


INT = np.int32
FIRING = {
    "add": (lambda: (floats(32), floats(32, (0, 32)), floats(32, (0, 20), (21, 32))), {}, GLOBAL, (2, 80)),
    "branch": (lambda: (ints(1, (0, 1)), ints(32, (0, 31))), {}, GLOBAL, (1, 124)),
    "look_up": (lambda: (floats(32), floats(8, (0, 8)), ints(32, (0, 31))), {}, GLOBAL, (2, 124)),
    "histogram": (lambda: (ints(8, (0, 3), (4, 8)), octets(32, (0, 32))), {}, GLOBAL, (0, 12)),
    "total": (lambda: (ints(1, (0, 1)), ints(32, (0, 31))), {}, GLOBAL, (1, 124)),
    "sum_up": (lambda: (floats(1), floats(9, (0, 8)), INT(9)), {"block": 1}, GLOBAL, (1, 32)),
    "largest": (lambda: (ints(1), ints(9, (1, 9)), INT(9)), {"block": 1}, GLOBAL, (1, 0)),
    "twice": (lambda: (ints(32), ints(32, (1, 32))), {}, GLOBAL, (1, 0)),
    "choose": (lambda: (ints(32), floats(32, (1, 32))), {}, GLOBAL, (1, 0)),
    "repeat": (lambda: (ints(4, (0, 4)), ints(1)), {"block": 1}, GLOBAL, (1, 0)),
    "brighten": (lambda: (octets(32, (0, 9), (10, 32)),), {}, GLOBAL, (0, 9)),
    "member": (lambda: (ints(16), octets(128, (0, 60), (64, 128))), {"block": 16}, GLOBAL, (1, 60)),
    "shuffled": (lambda: (floats(1), floats(32, (0, 20), (21, 32))), {}, GLOBAL, 0),
    "shared_histogram": (lambda: (ints(8), ints(8, (0, 8))), {"block": 8}, SHARED, None),
    "half_filled": (lambda: (floats(17), floats(17, (0, 17))), {"block": 17}, SHARED, 64),
    "half_filled_bytes": (
        lambda: (octets(32), octets(32, (0, 32))),
        {"shared": 32},
        SHARED,
        5,
    ),
    "tiled": (lambda: (floats(32), floats(32, (0, 30), (31, 32))), {}, GLOBAL, (1, 120)),
    "pointed": (lambda: (floats(17), floats(17, (0, 17)), INT(1)), {"block": 17}, SHARED, None),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRING)
def test_use_is_reported_at_the_load(launcher, name):
    make, launch, reason, where = FIRING[name]
    arguments = make()
    reports = run(launcher, name, *arguments, **{"block": 32, **launch}, equal=False)
    assert reports
    assert {report.reason for report in reports} == {reason}
    assert {line_of(launcher, report) for report in reports} == {USES[name]}
    if isinstance(where, tuple):
        argument, offset = where
        assert {report.address for report in reports} == {arguments[argument].address + offset}
    elif where is not None:
        assert {report.address for report in reports} == {where}


@pytest.mark.parametrize("name", [name for name, row in FIRING.items() if row[2] is GLOBAL])
def test_nothing_is_reported_where_all_is_written(launcher, name):
    make, launch, _, _ = FIRING[name]
    arguments = [
        Buffer(a.array, a.shift, written=((0, a.array.nbytes),)) if isinstance(a, Buffer) else a
        for a in make()
    ]
    assert run(launcher, name, *arguments, **{"block": 32, **launch}) == []


def test_an_address_that_was_loaded_is_looked_up(launcher):
    data, out = floats(32, (0, 31)), floats(32)
    reports = run(launcher, "rows", out, pointers_to(launcher, data), data, block=32, equal=False)
    assert [(r.reason, r.address) for r in reports] == [(GLOBAL, data.address + 124)]
    assert line_of(launcher, reports[0]) == USES["rows"]


SILENT = {
    "copy": lambda: (floats(32), floats(32, (0, 9))),
    "copy_structs": lambda: (octets(256), octets(256, *every(8, 0, 1), *every(8, 4, 8)), ints(32)),
    "set_field": lambda: (ints(32),),
    "clear_field": lambda: (ints(32),),
    "rotate_bytes": lambda: (octets(128), octets(128, (7, 50))),
    "pack_bytes": lambda: (ints(32), octets(128, (7, 50))),
    "unpack_bytes": lambda: (octets(128), octets(128, (7, 50))),
    "shifted_copy": lambda: (ints(32), octets(132, (7, 50))),
    "two_of_four": lambda: (floats(32), floats(128, *((k, k + 1) for k in range(0, 128, 2)))),
    "zero_beyond": lambda: (floats(32), floats(32, (0, 20)), INT(20)),
    "unused": lambda: (floats(32, (20, 32)), floats(32, (0, 20)), INT(20)),
    "both_conditions": lambda: (ints(1, (0, 1)), floats(32, (0, 20)), INT(20)),
    "low_byte": lambda: (ints(32), octets(128, *every(4, 0, 1))),
    "high_byte": lambda: (ints(32), octets(128, *every(4, 3, 4))),
    "swap": lambda: (floats(32, (0, 9)), floats(32, (3, 20))),
    "scale_if": lambda: (floats(32), floats(32, (3, 20)), INT(0)),
    "write_first": lambda: (floats(32),),
    "tail_lanes": lambda: (floats(32), floats(32, (0, 20)), INT(20)),
    "local_array": lambda: (floats(1), floats(9, (0, 3)), INT(4)),
    "halo": lambda: (floats(32), floats(32, (0, 30)), INT(30)),
    "reduce_in_warp": lambda: (floats(1), floats(32, (0, 32))),
    "static_and_dynamic": lambda: (floats(32), floats(32, (0, 32))),
    "bytes_in_words": lambda: (ints(32), octets(128, (0, 128))),
    "leave_early": lambda: (floats(32), floats(32, (0, 20)), INT(20)),
    "stage": lambda: (floats(32), floats(32, (0, 32))),
    "through_pointer": lambda: (floats(32), floats(32, (0, 32)), INT(1)),
    "half_lanes": lambda: (halves(), halves(*every(4, 0, 2))),
}  # fmt: skip
SHARED_BYTES = {"static_and_dynamic": 128}


@pytest.mark.parametrize("name", SILENT)
def test_right_programs_are_silent(launcher, name):
    arguments = SILENT[name]()
    assert run(launcher, name, *arguments, block=32, shared=SHARED_BYTES.get(name, 0)) == []


@pytest.mark.parametrize("size", [32, 64])
def test_dynamic_shared_memory_is_watched_at_every_size(launcher, size):
    arguments = floats(1), floats(40, (0, 40)), INT(40)
    assert run(launcher, "reduce", *arguments, block=size, shared=4 * size) == []


def test_blocks_of_more_dimensions(launcher):
    assert run(launcher, "transpose", floats(256), floats(256, (0, 256)), block=(16, 16)) == []


def test_an_exchange_replaces_what_nobody_wrote(launcher):
    assert run(launcher, "exchange", ints(1), ints(2), block=1) == []


def test_the_program_sees_its_own_sizes(launcher):
    out = ints(3)
    run(launcher, "sizes", out, INT(5), block=8, shared=32)
    assert out.array[0] == 32 and out.array[2] == 6


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("by_root", [True, False], ids=["root", "table"])
def test_copies_carry_the_state_along(launcher, shift, by_root):
    b, a = floats(32, (0, 32), shift=shift), floats(32, (0, 9), (20, 32), shift=shift)
    if by_root:
        assert run(launcher, "copy", b, a, block=32) == []
    else:
        assert run(launcher, "copy_row", pointers_to(launcher, b, a), b, a, block=32, equal=False) == []
    each = 4 >> shift
    written = 7 if by_root else abi.STRAY
    expected = np.repeat([written] * 9 + [abi.NEVER] * 11 + [written] * 12, each)
    assert (b.codes[: 32 * each] == expected).all()
    c = floats(32, shift=shift)
    reports = run(launcher, "add", c, b, b, block=32)
    assert {report.reason for report in reports} == {GLOBAL}
    (count, lowest, highest) = launcher.counts[reports[0].site]
    assert (count, lowest - b.address, highest - b.address) == (11, 9 * 4, 19 * 4)


def pointers_to(launcher, *buffers: Buffer) -> Buffer:
    for buffer in buffers:
        launcher._place(buffer)
    addresses = np.array([buffer.address for buffer in buffers], np.uint64)
    return Buffer(addresses, written=((0, addresses.nbytes),))


def test_what_was_computed_counts_as_written_once_reported(launcher):
    out, a = ints(32), ints(32)
    assert run(launcher, "twice", out, a, block=32)
    assert (out.codes[:32] == 7).all()
    assert run(launcher, "twice", a, out, block=32) == []


def test_without_room_for_a_shadow_shared_memory_is_not_watched(launcher):
    kernel = launcher.result.kernels["half_filled"]
    assert kernel.checks_shared and kernel.shared_bytes(100) > 100 + 17
    object.__setattr__(kernel, "shadow", None)
    # what was never written may be anything
    assert run(launcher, "half_filled", floats(17), floats(17, (0, 17)), block=17, equal=False) == []


def test_untracked_memory_is_initialized(launcher):
    a = floats(32, shift=abi.UNTRACKED)
    assert run(launcher, "sum_up", floats(1), a, INT(32), block=1) == []


def test_the_site_of_a_use_is_told(launcher):
    reports = run(launcher, "sum_up", floats(1), floats(9, (0, 8)), INT(9), block=1, equal=False)
    assert [line_of(launcher, r) for r in reports] == [USES["sum_up"]]
    use = launcher.result.sites[reports[0].detail]
    assert (use.kind, use.source.line) == ("use", USES["sum_up"] + 1)
    site = launcher.result.sites[reports[0].site]
    assert (site.kind, site.space, site.width, site.root) == ("use", "global", 4, 0)
