"""What launches have touched of their module's own variables, and what the rules about order make of that."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.checks.engine import Engine
from pycuda_guard.events.model import Footprint, ModuleLoaded

SOURCE = """
__constant__ int on;
__constant__ float weights[64];
__device__ float cells[256];
__device__ int total, largest;
__device__ unsigned char flags[64];
__device__ float scratch[64];
__device__ int lock;

__device__ __noinline__ void put(int i) { cells[i] = i; }

extern "C" {
__global__ void scatter(const int *index, int n) { if (threadIdx.x < n) cells[index[threadIdx.x]] = 1; }
__global__ void gather(const int *index, float *to) { to[threadIdx.x] = cells[index[threadIdx.x]]; }
__global__ void fill(float value) { cells[threadIdx.x] = value; }
__global__ void called(const int *index) { put(index[threadIdx.x]); }
__global__ void flagged(const int *index, const int *flag) { if (flag[0]) cells[threadIdx.x] = index[1]; }
__global__ void gated(float *to) { if (on) to[threadIdx.x] = 1; }
__global__ void weighed(const int *index, float *to) { to[threadIdx.x] = weights[index[threadIdx.x] & 63]; }
__global__ void filtered(const float *from, float *to, int n)
{
    float sum = 0;
    for (int k = 0; k < n; k++) sum += from[threadIdx.x + k] * weights[k];
    to[threadIdx.x] = sum;
}
__global__ void counted(const int *flag) { if (flag[threadIdx.x & 1]) atomicAdd(&total, 1); }
__global__ void raised(const int *index) { if (index[threadIdx.x] > largest) atomicMax(&largest, 7); }
__global__ void marked(const int *index) { flags[index[threadIdx.x]] = 1; }
__global__ void wide(const int *index)
{
    ((float4 *) cells)[index[threadIdx.x]] = make_float4(1, 2, 3, 4);
    cells[128 + index[threadIdx.x]] = 1;
}
__global__ void keeps(float *to, const int *index)
{
    scratch[threadIdx.x] = index[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = scratch[63 - threadIdx.x];
}
__global__ void locked(const int *index)
{
    if (threadIdx.x == 0) {
        while (atomicCAS(&lock, 0, 1)) {}
        cells[index[0]] += 1;
        __threadfence();
        atomicExch(&lock, 0);
    }
}
}
"""
N = 64
i32 = np.int32
KERNELS = (
    "scatter", "gather", "fill", "called", "flagged", "gated", "weighed", "filtered", "counted", "raised",
    "marked", "wide", "keeps", "locked",
)  # fmt: skip


class Program:
    """A module with variables, indices of them, and two streams."""

    def __init__(self, cuda, text):
        self.cuda = cuda
        self.module = cuda.module_from_buffer(text)
        for name in KERNELS:
            setattr(self, name, self.module.get_function(name))
        numbers = np.random.RandomState(1).permutation(N).astype(np.int32)
        self.low, self.even, self.odd = (
            cuda.to_device(each) for each in (numbers, 2 * numbers, 2 * numbers + 1)
        )
        self.yes, self.no = (cuda.to_device(np.full(2, each, np.int32)) for each in (1, 0))
        self.x, self.y = (cuda.to_device(np.zeros(2 * N, np.float32)) for _ in range(2))
        self.set("on", i32(1))
        self.set("weights", np.ones(N, np.float32))
        self.set("cells", np.zeros(256, np.float32))
        self.set("lock", i32(0))
        self.host = cuda.pagelocked_zeros(N, np.float32)
        self.s, self.t = cuda.Stream(1), cuda.Stream(1)
        self.on_s, self.on_t = ({"block": (N, 1, 1), "stream": each} for each in (self.s, self.t))
        cuda.Context.synchronize()

    def at(self, name, element=0):
        """Return the address of an element of a variable."""
        return self.module.get_global(name)[0] + 4 * element

    def set(self, name, value):
        """Copy to a variable."""
        self.cuda.memcpy_htod(self.at(name), value)


@pytest.fixture(scope="module")
def text(cuda):
    from pycuda.compiler import compile

    return compile(SOURCE, target="ptx", no_extern_c=True, options=["-lineinfo"])


class Racing(Program):
    """Each method races."""

    def scatter_and_copy(self):
        self.scatter(self.low, i32(N), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells"), self.t)

    def copy_and_scatter(self):
        self.cuda.memcpy_htod_async(self.at("cells"), self.host, self.t)
        self.scatter(self.low, i32(N), **self.on_s)

    def same_elements(self):
        self.scatter(self.even, i32(N), **self.on_s)
        self.scatter(self.even, i32(N), **self.on_t)

    def known_and_by_index(self):
        self.scatter(self.even, i32(3), **self.on_s)
        self.fill(np.float32(2), block=(2 * N, 1, 1), stream=self.t)

    def read_and_written(self):
        self.gather(self.low, self.x, **self.on_s)
        self.scatter(self.low, i32(N), **self.on_t)

    def a_device_function(self):
        self.called(self.odd, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host[:1], self.at("cells", 3), self.t)

    def behind_a_branch(self):
        self.flagged(self.low, self.yes, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells"), self.t)

    def behind_a_branch_on_a_constant(self):
        self.gated(self.x, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.x, self.t)

    def constant_of_that_branch(self):
        self.gated(self.x, **self.on_s)
        self.cuda.memcpy_htod(self.at("on"), i32(1))

    def constant_by_index(self):
        self.weighed(self.low, self.x, block=(1, 1, 1), stream=self.s)
        self.cuda.memcpy_htod(self.at("weights", FIRST), self.host[:1])

    def constants_in_a_loop(self):
        self.filtered(self.x, self.y, i32(7), **self.on_s)
        self.cuda.memcpy_htod(self.at("weights", 6), self.host[:2])

    def counted_and_copied(self):
        self.counted(self.yes, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host[:1], self.at("total"), self.t)

    def bytes_of_flags(self):
        self.marked(self.low, block=(1, 1, 1), stream=self.s)
        self.cuda.memcpy_dtoh_async(self.host[:1], self.at("flags") + FIRST // 4 * 4, self.t)

    def scratch_that_nobody_asked_for(self):
        self.keeps(self.x, self.low, **self.on_s)
        self.keeps(self.y, self.low, **self.on_t)


class Right(Program):
    """Each method is right."""

    def every_other_element(self):
        self.scatter(self.even, i32(N), **self.on_s)
        self.scatter(self.odd, i32(N), **self.on_t)

    def other_half(self):
        self.scatter(self.low, i32(N), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells", N), self.t)

    def other_variable(self):
        self.scatter(self.low, i32(N), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host[:16], self.at("flags"), self.t)

    def nothing_scattered(self):
        self.scatter(self.low, i32(0), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells"), self.t)

    def both_read(self):
        self.gather(self.low, self.x, **self.on_s)
        self.gather(self.low, self.y, **self.on_t)

    def read_and_copied(self):
        self.gather(self.low, self.x, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells"), self.t)

    def a_device_function_elsewhere(self):
        self.called(self.odd, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host[:1], self.at("cells", 4), self.t)

    def branch_that_is_not_taken(self):
        self.flagged(self.low, self.no, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells"), self.t)

    def branch_on_a_constant_that_is_off(self):
        self.set("on", i32(0))
        self.cuda.Context.synchronize()
        self.gated(self.x, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.x, self.t)

    def other_constants(self):
        self.weighed(self.low, self.x, block=(1, 1, 1), stream=self.s)
        self.cuda.memcpy_htod(self.at("weights", (FIRST + 1) % N), self.host[:1])

    def constants_behind_the_loop(self):
        self.filtered(self.x, self.y, i32(7), **self.on_s)
        self.cuda.memcpy_htod(self.at("weights", 7), self.host[:8])

    def both_count(self):
        self.counted(self.yes, **self.on_s)
        self.counted(self.yes, **self.on_t)

    def looked_at_before_it_is_raised(self):
        self.raised(self.low, **self.on_s)
        self.raised(self.low, **self.on_t)

    def other_bytes_of_flags(self):
        self.marked(self.low, block=(1, 1, 1), stream=self.s)
        self.cuda.memcpy_dtoh_async(self.host[:1], self.at("flags") + (FIRST // 4 * 4 + 4) % N, self.t)

    def under_a_lock(self):
        self.locked(self.low, **self.on_s)
        self.locked(self.low, **self.on_t)

    def same_stream(self):
        self.scatter(self.low, i32(N), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells"), self.s)

    def synchronized(self):
        self.keeps(self.x, self.low, **self.on_s)
        self.s.synchronize()
        self.keeps(self.y, self.low, **self.on_t)

    def event(self):
        done = self.cuda.Event()
        self.scatter(self.low, i32(N), **self.on_s)
        done.record(self.s)
        self.t.wait_for_event(done)
        self.cuda.memcpy_dtoh_async(self.host, self.at("cells"), self.t)

    def another_module(self):
        self.keeps(self.x, self.low, **self.on_s)
        self.other.get_function("keeps")(self.y, self.low, **self.on_t)


#: the index that the first thread of the kernels gets
FIRST = int(np.random.RandomState(1).permutation(N)[0])


def _cases(cases):
    return {name: case for name, case in vars(cases).items() if not name.startswith("_")}


def test_what_is_touched_of_variables_on_two_streams_is_told(cuda, text, recorder):
    program = Program(cuda, text)
    program.other = cuda.module_from_buffer(text)
    racing, right = _cases(Racing), _cases(Right)
    for case in (*racing.values(), *right.values()):
        case(program)
        cuda.Context.synchronize()
    engine = Engine()
    for event in recorder.events:
        engine.feed(event)
    found = [each for each in engine.findings if each.code in ("PG103", "PG105", "PG903")]
    assert [each.location.function for each in found] == [f"Racing.{name}" for name in racing]
    messages = dict(zip(racing, [each.message for each in found], strict=True))
    assert "`cells` (bytes 12 to 15 of 1024)" in messages["a_device_function"]
    assert "writes `scratch` while kernel `keeps`" in messages["scratch_that_nobody_asked_for"]
    assert not recorder.reports


@pytest.mark.parametrize("races", [False, True])
def test_touched_bytes_of_variables_are_exact(races, cuda, text, guarded):
    recorder = guarded(races=races)
    p = Program(cuda, text)
    (loaded,) = recorder.of(ModuleLoaded)
    names = {each.address: each.name for each in loaded.variables}
    assert sorted(names.values()) == [
        "cells", "flags", "largest", "lock", "on", "scratch", "total", "weights",
    ]  # fmt: skip
    cuda.memcpy_htod(p.low, np.array([3, 4, 70, 300, -1], np.int32))
    p.scatter(p.low, i32(5), **p.on_s)
    p.wide(p.low, block=(2, 1, 1), stream=p.s)
    p.marked(p.low, block=(3, 1, 1), stream=p.s)
    cuda.Context.synchronize()
    told = [
        {
            (names[each.base], each.kind): (each.runs, each.exact)
            for each in event.touched
            if each.base in names
        }
        for event in recorder.of(Footprint)
    ]
    assert told == [
        {("cells", "write"): (((12, 20), (280, 284)), True)},
        {("cells", "write"): (((48, 80), (524, 532)), True)},
        {("flags", "write"): (((3, 5),), True)},
    ]
    assert recorder.reports == [("scatter", "outside", "write", 2), ("marked", "outside", "write", 1)]
