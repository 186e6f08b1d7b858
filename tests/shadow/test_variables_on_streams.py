"""Uploads to variables of modules while kernels that use them may still run."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.checks.engine import Engine

SOURCE = """
extern "C" {
__constant__ float weights[8];
__device__ float bias[4];
__device__ int total;
__global__ void first(float *x) { x[threadIdx.x] = weights[1]; }
__global__ void all(const float *x, float *y)
{
    float sum = bias[1];
    for (int k = 0; k < 8; k++) sum += x[k] * weights[k];
    y[threadIdx.x] = sum;
}
__global__ void looked(const int *x, float *y) { y[threadIdx.x] = weights[x[threadIdx.x] & 7]; }
__global__ void sometimes(const int *x, float *y) { if (x[0] > 5) y[threadIdx.x] = weights[2]; }
__global__ void count(int n) { if (threadIdx.x < n) atomicAdd(&total, 1); }
}
"""
WEIGHTS = np.ones(8, np.float32)


class Program:
    """A module whose variables have been set, two buffers and a stream."""

    def __init__(self, cuda, text, flags=1):
        self.cuda = cuda
        self.module = cuda.module_from_buffer(text)
        self.x, self.y = cuda.mem_alloc(256), cuda.mem_alloc(256)
        for each in (self.x, self.y):
            cuda.memset_d32(each, 0, 64)
        self.upload("weights", WEIGHTS)
        self.upload("bias", WEIGHTS[:4])
        self.upload("total", np.zeros(1, np.int32))
        self.s = cuda.Stream(flags)
        cuda.Context.synchronize()

    def upload(self, name, values, first=0):
        """Copy to a variable, from an element on."""
        self.cuda.memcpy_htod(self.module.get_global(name)[0] + 4 * first, values)

    def run(self, name, *arguments, stream=None):
        """Launch a kernel."""
        self.module.get_function(name)(*arguments, block=(64, 1, 1), stream=stream or self.s)


@pytest.fixture(scope="module")
def text(cuda):
    from pycuda.compiler import compile

    return compile(SOURCE, target="ptx", no_extern_c=True, options=["-lineinfo"])


@pytest.fixture
def program(cuda, text, recorder):
    return Program(cuda, text)


def _event(p):
    done = p.cuda.Event()
    p.run("first", p.x)
    done.record(p.s)
    done.synchronize()
    p.upload("weights", WEIGHTS)


def _total(p):
    return p.cuda.memcpy_dtoh(np.zeros(1, np.int32), p.module.get_global("total")[0])


FIRING = {
    "constant memory": lambda p: (p.run("first", p.x), p.upload("weights", WEIGHTS)),
    "its very element": lambda p: (p.run("first", p.x), p.upload("weights", WEIGHTS[:1], 1)),
    "a loop": lambda p: (p.run("all", p.x, p.y), p.upload("weights", WEIGHTS[:2], 6)),
    "global memory": lambda p: (p.run("all", p.x, p.y), p.upload("bias", WEIGHTS[:4])),
    "an index from memory": lambda p: (p.run("looked", p.x, p.y), p.upload("weights", WEIGHTS)),
    "what is counted": lambda p: (p.run("count", np.int32(3)), _total(p)),
}
SILENT = {
    "synchronized": lambda p: (p.run("first", p.x), p.s.synchronize(), p.upload("weights", WEIGHTS)),
    "event": _event,
    "another element": lambda p: (p.run("first", p.x), p.upload("weights", WEIGHTS[:4], 4)),
    "another variable": lambda p: (p.run("first", p.x), p.upload("bias", WEIGHTS[:4])),
    "a branch on data": lambda p: (p.run("sometimes", p.x, p.y), p.upload("weights", WEIGHTS)),
    "stream that the default stream waits for": lambda p: (
        p.run("first", p.x, stream=p.cuda.Stream()),
        p.upload("weights", WEIGHTS),
    ),
    "nothing counted": lambda p: (p.run("count", np.int32(0)), _total(p)),
}


def _found(recorder, cuda):
    cuda.Context.synchronize()
    engine = Engine()
    for event in recorder.events:
        engine.feed(event)
    return [each for each in engine.findings if each.code in ("PG103", "PG105", "PG903")]


@pytest.mark.parametrize("case", FIRING.values(), ids=FIRING)
def test_variables_that_kernels_may_still_use(case, program, recorder, cuda):
    case(program)
    (race,) = _found(recorder, cuda)
    assert race.code == "PG103"
    assert any(f"`{name}`" in race.message for name in ("weights", "bias", "total"))


@pytest.mark.parametrize("case", SILENT.values(), ids=SILENT)
def test_variables_in_order_or_apart(case, program, recorder, cuda):
    case(program)
    assert not _found(recorder, cuda)
