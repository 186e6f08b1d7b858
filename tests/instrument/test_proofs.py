"""Launches whose accesses are all shown to be right beforehand, and those of which that must not be said."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from launching import Buffer, Launcher, compile_cuda

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.instrument.proofs.proving import prove
from pycuda_guard.kernels.ptx import parse

SOURCE = r"""
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int n)
#define INDEX ((int)(blockIdx.x * blockDim.x + threadIdx.x))

KERNEL(guarded) { int i = INDEX; if (i < n) y[i] = x[i]; }
KERNEL(left_early) { int i = INDEX; if (i >= n) return; y[i] = x[i]; }
KERNEL(not_guarded) { y[INDEX] = n; }
KERNEL(one_more) { int i = INDEX; if (i <= n) y[i] = 1; }
KERNEL(one_before) { int i = INDEX; if (i < n) y[i] = x[i - 1]; }
KERNEL(neighbours) { int i = INDEX; if (i > 0 && i < n - 1) y[i] = x[i - 1] + x[i + 1]; }
KERNEL(in_either_case) { int i = INDEX; if (i < n || threadIdx.x == 3) y[i] = 1; }
KERNEL(all_but_one) { int i = INDEX; if (i != n) y[i] = 1; }
KERNEL(the_one) { int i = INDEX; if (i == n) y[i] = 1; }
KERNEL(by_data) { int i = INDEX; if (i < n) y[x[i]] = 1; }
KERNEL(guarded_by_data) { int i = INDEX; if (i < x[0]) y[i] = 1; }
KERNEL(clamped) { y[min(max(x[INDEX], 0), n - 1)] = 1; }
KERNEL(clamped_at_one_end) { y[min(x[INDEX], n - 1)] = 1; }
KERNEL(one_of_two) { int *p = n > 5 ? x : y; p[INDEX] = 1; }
KERNEL(checked_as_unsigned) { unsigned i = INDEX - 3; if (i < (unsigned)n) y[i] = 1; }
KERNEL(unsigned_before) { unsigned i = INDEX - 3; y[i] = n; }
KERNEL(multiplied) { int i = INDEX * n; if (i < 1000) y[i] = 1; }
KERNEL(plane) {
    int i = INDEX, j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i < n && j < 7) y[j * n + i] = x[i * 7 + j];
}
KERNEL(halved) { int i = INDEX; if (i < n) y[i / 2] = x[i >> 1]; }
KERNEL(around) { y[INDEX % n] = 1; }
KERNEL(around_below) { y[(INDEX - 5) % n] = 1; }
KERNEL(masked) { y[INDEX & 15] = x[(INDEX * 7) & ~3]; }
KERNEL(wide) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 1;
}
KERNEL(four) { reinterpret_cast<int4 *>(y + n)[threadIdx.x] = make_int4(1, 2, 3, 4); }

KERNEL(stride) { for (int i = INDEX; i < n; i += gridDim.x * blockDim.x) y[i] = x[i]; }
KERNEL(strange_stride) { for (int i = INDEX; i < 64; i += n) y[i] = 1; }
KERNEL(all) { int sum = 0; for (int k = 0; k < n; k++) sum += x[k]; y[INDEX] = sum; }
KERNEL(all_but_equal) { int sum = 0; for (int k = 0; k != n; k += 2) sum += x[k]; y[INDEX] = sum; }
KERNEL(down) { int sum = 0; for (int k = n - 1; k >= 0; k--) sum += x[k]; y[INDEX] = sum; }
KERNEL(down_to_data) { int k = n; while (--k >= 0 && x[k] != 3) ; y[INDEX] = k; }
KERNEL(doubled) { for (int k = 1; k < n; k *= 2) y[k] = 1; }
KERNEL(until_data) { for (int k = 0; x[k] < n; k++) y[k] = 1; }
KERNEL(from_data) { for (int k = x[0]; k < n; k++) y[k] = 1; }
KERNEL(after_all) { int k = 0; while (k < n && x[k] >= 0) k++; y[k] = 1; }
KERNEL(goes_on) { int k = 0; for (int j = 0; j < 3; j++) for (int c = 0; c < n; c++) y[k++] = x[c]; }
KERNEL(one_late) { int last = 0; for (int k = 0; k < n; k++) { y[last] = x[k]; last = 2 * k; } }
KERNEL(sometimes) { int at = 0; for (int k = 0; k < n; k++) { if (x[k] > 2) at++; y[at] = k; } }
KERNEL(triangle) { for (int j = 0; j < n; j++) for (int k = 0; k <= j; k++) y[j * n + k] = x[k]; }
KERNEL(rows) {
    for (int j = threadIdx.x; j < n; j += blockDim.x)
        for (int k = 0; k < 5; k++) y[5 * j + k] = x[j];
}
KERNEL(long_steps) { for (int k = INDEX; k < n; k += 1 << 28) y[k >> 24] = 1; }
KERNEL(left_in_the_middle) { for (int k = 0; k < 100; k++) { if (k == n) break; y[k] = x[k]; } }
KERNEL(swapped) { int a = 0, b = n; for (int k = 0; k < 3; k++) { y[a] = k; int t = a; a = b; b = t; } }

KERNEL(tile) {
    __shared__ int part[64];
    part[threadIdx.x] = x[INDEX];
    __syncthreads();
    y[INDEX] = part[63 - threadIdx.x];
}
KERNEL(counted) {
    __shared__ int part[256];
    part[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&part[((unsigned char *)x)[INDEX]], 1);
    __syncthreads();
    if (threadIdx.x < n) atomicAdd(&y[threadIdx.x], part[threadIdx.x]);
}
KERNEL(asked_for) {
    extern __shared__ int dynamic[];
    dynamic[threadIdx.x] = x[INDEX];
    __syncthreads();
    y[INDEX] = dynamic[blockDim.x - 1 - threadIdx.x];
}
__device__ int kept[32];
KERNEL(variable) { kept[threadIdx.x] = n; y[INDEX] = kept[n]; }
struct View { int *data; int first; short step; };
extern "C" __global__ void view(int n, View v)
{
    int i = INDEX;
    if (i < n) v.data[v.first + i * v.step] = 1;
}
"""
BIG = 1 << 31


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The PTX of all kernels."""
    return compile_cuda(SOURCE, tmp_path_factory.mktemp("cuda"))


@pytest.fixture(scope="module")
def kernels(text):
    """The instrumented kernels."""
    return instrument(parse(text)).kernels


def reaches(kernels, name, n, block=(32,), grid=(2,), shared=0):
    """Return the elements of x and y that a launch is shown to reach, first and end; None if nothing is."""
    kernel = kernels[name]
    if kernel.proof is None:
        return None
    found = prove(kernel.proof, struct.pack("<QQi", BIG, BIG, n), block, grid, shared)
    if found is None:
        return None
    by_name = {"xy"[kernel.roots[position].parameter]: reach for position, reach in found.items()}
    return {name: (reach.low / 4, reach.high / 4) for name, reach in sorted(by_name.items())}


@pytest.mark.parametrize(
    ("name", "n", "expected"),
    [
        ("guarded", 50, {"x": (0, 50), "y": (0, 50)}),
        ("guarded", 100, {"x": (0, 64), "y": (0, 64)}),
        ("guarded", 0, {}),
        ("guarded", -5, {}),
        ("left_early", 50, {"x": (0, 50), "y": (0, 50)}),
        ("not_guarded", 1, {"y": (0, 64)}),
        ("one_more", 50, {"y": (0, 51)}),
        ("one_before", 50, {"x": (-1, 49), "y": (0, 50)}),
        ("neighbours", 50, {"x": (0, 50), "y": (1, 49)}),
        ("in_either_case", 50, {"y": (0, 64)}),
        ("all_but_one", 63, {"y": (0, 64)}),
        ("the_one", 7, {"y": (7, 8)}),
        ("guarded_by_data", 1, {"x": (0, 1), "y": (0, 64)}),
        ("clamped", 9, {"x": (0, 64), "y": (0, 9)}),
        ("plane", 20, {"x": (0, 20 * 7 - 6), "y": (0, 20)}),
        ("halved", 50, {"x": (0, 32), "y": (0, 32)}),
        ("around", 10, {"y": (0, 10)}),
        ("around_below", 10, {"y": (-5, 10)}),
        ("wide", 50, {"y": (0, 50)}),
        ("four", 8, {"y": (8, 8 + 128)}),
        ("stride", 1000, {"x": (0, 1000), "y": (0, 1000)}),
        ("all", 77, {"x": (0, 77), "y": (0, 64)}),
        ("down", 77, {"x": (0, 77), "y": (0, 64)}),
        ("tile", 0, {"x": (0, 64), "y": (0, 64)}),
        ("asked_for", 0, {"x": (0, 64), "y": (0, 64)}),
        ("variable", 31, {"y": (0, 64)}),
    ],
)
def test_what_a_launch_reaches_is_known_to_the_byte(kernels, name, n, expected):
    assert reaches(kernels, name, n, shared=128) == expected


@pytest.mark.parametrize(
    ("name", "n", "launch"),
    [
        ("by_data", 10, {}),
        ("one_of_two", 10, {}),
        ("clamped_at_one_end", 10, {}),
        ("unsigned_before", 10, {}),
        ("around", 0, {}),
        ("around", -3, {}),
        ("four", 7, {}),
        ("until_data", 5, {}),
        ("from_data", 5, {}),
        ("tile", 0, {"block": (65,)}),
        ("counted", 0, {"block": (257,)}),
        ("asked_for", 0, {"shared": 127}),
        ("variable", 32, {}),
        ("variable", -1, {}),
        ("variable", 0, {"block": (33,)}),
        # the index wraps around, and is negative
        ("guarded", 50, {"block": (1024,), "grid": ((1 << 21) + 1,)}),
        ("guarded", BIG - 1, {"block": (1024,), "grid": (1 << 22,)}),
        ("stride", BIG - 1, {}),
    ],
)
def test_what_may_be_wrong_is_not_shown(kernels, name, n, launch):
    found = reaches(kernels, name, n, **launch)
    assert found is None or any(low < -10_000 or high > 10_000 for low, high in found.values())


@pytest.mark.parametrize(
    ("name", "n", "least"),
    [
        ("multiplied", 3, {"y": 63 * 3 + 1}),
        ("after_all", 20, {"x": 20, "y": 21}),
        ("goes_on", 20, {"x": 20, "y": 60}),
        ("one_late", 20, {"x": 20, "y": 37}),
        ("sometimes", 20, {"x": 20, "y": 21}),
        ("triangle", 8, {"x": 8, "y": 64}),
        ("doubled", 20, {"y": 17}),
        ("left_in_the_middle", 20, {"x": 20, "y": 20}),
        ("swapped", 20, {"y": 21}),
        ("masked", 1, {"x": 441, "y": 16}),
    ],
)
def test_no_less_is_shown_than_is_reached(kernels, name, n, least):
    found = reaches(kernels, name, n)
    assert found is None or all(
        found[buffer][0] <= 0 and found[buffer][1] >= last for buffer, last in least.items()
    )


LOOP = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry loop(.param .u64 .ptr .global y, .param .u32 n, .param .u32 first, .param .u32 step)
{
    .reg .pred %p<3>;
    .reg .b32 %r<6>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [y];
    ld.param.u32 %r1, [n];
    ld.param.u32 %r2, [first];
    ld.param.u32 %r3, [step];
    mov.u32 %r4, %r2;
AGAIN:
    @BEFORE@
    mul.wide.s32 %rd2, %r4, 4;
    add.s64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r4;
    add.s32 %r4, %r4, %r3;
    @AFTER@
DONE:
    ret;
}
"""


def looped(before, after, n, first, step):
    """Return the elements that a loop is shown to reach."""
    text = LOOP.replace("@BEFORE@", before).replace("@AFTER@", after)
    kernel = instrument(parse(text)).kernels["loop"]
    if kernel.proof is None:
        return None
    found = prove(
        kernel.proof, struct.pack("<QIII", BIG, n % 2**32, first % 2**32, step % 2**32), (1,), (1,), 0
    )
    if found is None or found[0].high > 1 << 30 or found[0].low < -1 << 30:
        return None
    return found[0].low / 4, found[0].high / 4


@pytest.mark.parametrize(
    ("relation", "n", "first", "step", "expected"),
    [
        ("lt.s32", 10, 0, 1, (0, 10)),
        ("lt.s32", 10, 0, 4, (0, 9)),
        ("lt.s32", 10, 20, 1, (20, 21)),
        ("lt.s32", 10, -7, 1, (-7, 10)),
        ("le.s32", 10, 0, 1, (0, 11)),
        ("ne.s32", 10, 0, 1, (0, 10)),
        ("ne.s32", 10, 0, 5, (0, 6)),
        ("lt.u32", 10, 0, 1, (0, 10)),
        ("gt.s32", -1, 9, -1, (0, 10)),
        ("ge.s32", 3, 9, -2, (3, 10)),
        ("hi.u32", 3, 9, -1, (4, 10)),
        # no end, or one after the number has gone around
        ("lt.s32", 10, 0, 0, (0, 1)),
        ("lt.s32", 10, 0, -1, None),
        ("ne.s32", 10, 0, 3, None),
        ("ne.s32", 10, 11, 1, None),
        ("ne.s32", -2, 0, 1, None),
        ("lt.s32", (1 << 31) - 1, 0, 4, None),
        ("le.s32", (1 << 31) - 1, 0, 1, None),
        ("lt.u32", 10, 0, -1, None),
        ("ge.u32", 0, 9, -1, None),
        ("gt.s32", -(1 << 31), 0, -3, None),
        ("eq.s32", 10, 0, 1, None),
    ],
)
def test_a_loop_ends_before_its_number_goes_around(relation, n, first, step, expected):
    test = f"setp.{relation} %p1, %r4, %r1; @%p1 bra AGAIN;"
    assert looped("", test, n, first, step) == expected


def test_the_test_of_a_loop_may_come_first_or_be_missed():
    leave = "setp.ge.s32 %p1, %r4, %r1; @%p1 bra DONE;"
    assert looped(leave, "bra AGAIN;", 10, 0, 1) == (0, 10)
    assert looped(leave, "bra AGAIN;", 10, 0, 3) == (0, 10)
    sometimes = "setp.eq.s32 %p2, %r3, 7; @%p2 bra AFTER; setp.ge.s32 %p1, %r4, %r1; @%p1 bra DONE; AFTER:"
    assert looped(sometimes, "bra AGAIN;", 10, 0, 1) is None
    # the step changes on the way
    assert looped("", "add.s32 %r3, %r3, 1; setp.lt.s32 %p1, %r4, %r1; @%p1 bra AGAIN;", 10, 0, 1) is None
    # two ways lead back
    twice = "setp.lt.s32 %p1, %r4, %r1; @%p1 bra AGAIN; setp.lt.s32 %p2, %r4, 20; @%p2 bra AGAIN;"
    assert looped("", twice, 10, 0, 1) is None


def test_numbers_of_a_structure_count(kernels):
    kernel = kernels["view"]

    def shown(n, first, step):
        packed = struct.pack("<i4xQih2x", n, BIG, first, step)
        found = prove(kernel.proof, packed, (32,), (1,), 0)
        return {position: (reach.low, reach.high) for position, reach in found.items()}

    assert shown(10, 3, 2) == {0: (12, 12 + 4 * 19)}
    assert shown(10, 3, -1) == {0: (12 - 36, 16)}
    assert shown(0, 3, -1) == {}


NAMES = [
    *("guarded", "left_early", "not_guarded", "one_more", "one_before", "neighbours", "in_either_case"),
    *("all_but_one", "the_one", "clamped", "checked_as_unsigned", "multiplied", "plane", "halved", "around"),
    *("around_below", "masked", "wide", "four", "stride", "all", "down", "down_to_data", "doubled"),
    *("after_all", "goes_on", "one_late", "sometimes", "triangle", "rows", "left_in_the_middle", "swapped"),
    *("tile", "counted", "asked_for", "guarded_by_data"),
]


@pytest.fixture(scope="module")
def launcher(cuda, text):
    """The kernels on the CPU device."""
    return Launcher(cuda, text)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_to_be_right_is_right_and_noted_alike(launcher, name):
    """Any launch that is shown to be right has nothing to report, and leaves the same data and codes."""
    numbers = random.Random(name)
    kernel = launcher.result.kernels[name]
    shown = 0
    for trial in range(10):
        n = numbers.choice([0, 1, 2, 3, 5, 7, 8, 12, 20, -1, 33, 64, 65])
        block, grid = numbers.choice([1, 3, 32, 64]), numbers.choice([1, 2])
        found = reaches(launcher.result.kernels, name, n, (block, 1, 1), (grid, 1), shared=4 * block)
        if found is None:
            continue
        before = -min([0, *(low for low, _ in found.values())])
        if before > 1000 or any(high > 5000 for _, high in found.values()):
            continue
        shown += 1
        outcomes = []
        for proven in (False, True):
            buffers = []
            for which in "xy":
                size = max(int(found.get(which, (0, 1))[1]), 1)
                data = np.random.default_rng(trial).integers(-3, 6, size).astype(np.int32)
                buffers.append(Buffer(data))
            if before:
                break
            launcher.run(
                name, *buffers, np.int32(n), block=block, grid=grid, shared=4 * block, code=9, proven=proven
            )
            assert launcher.count() == 0 and launcher.reports == []
            outcomes.append([(b.array.tobytes(), b.codes.tobytes()) for b in buffers])
        assert before or outcomes[0] == outcomes[1]
    assert shown or kernel.proof is None


def test_the_proven_variant_has_no_checks(launcher):
    functions = launcher.result.module.functions
    for name in ("guarded", "tile", "stride"):
        body = [getattr(entry, "opcode", "") for entry in functions[name + "$proven"].body]
        assert body.count("bra") == [
            getattr(e, "opcode", "") for e in launcher.module.functions[name].body
        ].count("bra")
        assert "call" not in body
    assert "by_data$proven" not in functions
    assert abi.LAUNCH_PARAMETER in [each.name for each in functions["guarded$proven"].parameters]
