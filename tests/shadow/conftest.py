"""PyCUDA on the CPU device with instrumented kernels, and a sink that keeps every event."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("instrumented kernels need PyCUDA", allow_module_level=True)

from event_sink import EventSink

from pycuda_guard import hooks
from pycuda_guard.events.model import Contents, KernelReport
from pycuda_guard.shadow.world import Options

SOURCE = """
__global__ void copy(float *to, const float *from, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = from[i];
}

__global__ void twice(float *to, const float *from, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = 2 * from[i];
}

__global__ void put(unsigned char *to, int first, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[first + i] = 7;
}

__global__ void stripes(unsigned char *to, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[4 * i] = 7;
}

__global__ void follow(float **rows, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) rows[1][i] = rows[0][i];
}

__device__ int counted[4];

__global__ void count(int *seen)
{
    seen[threadIdx.x] = atomicAdd(&counted[threadIdx.x], 1);
}
"""


class Recorder(EventSink):
    """The sink of these tests."""

    @property
    def reports(self):
        """What kernels reported: kernel, reason, kind of access, count."""
        return [
            (event.access.function, event.reason, event.access.kind, event.count)
            for event in self.of(KernelReport)
        ]

    @property
    def contents(self):
        """The runs of all answers, with names of kernels for launches, and the bytes that nobody wrote."""
        names = {0: "nobody", -1: "host", -2: "unknown"}
        return [
            (
                [
                    (start, end, names.get(writer) or self.events[writer - 1].function)
                    for start, end, writer in event.runs
                ],
                event.unwritten,
            )
            for event in self.of(Contents)
        ]


@pytest.fixture
def guarded(cuda):
    """Return a function that installs the hooks with options for kernels; at the end nothing has failed."""
    sinks = []

    def install(**options):
        sink = Recorder()
        sinks.append(sink)
        hooks.install(sink, kernels=Options(on_cpu=True, **options))
        return sink

    yield install
    hooks.uninstall()
    assert [sink.errors for sink in sinks if sink.errors] == []


@pytest.fixture
def recorder(guarded):
    """Hooks that are in place during the test."""
    return guarded()


class Program:
    """What a program does with the kernels above."""

    def __init__(self, cuda):
        from pycuda.compiler import SourceModule

        self.cuda = cuda
        self.module = SourceModule(SOURCE)
        for name in ("copy", "twice", "put", "stripes", "follow", "count"):
            setattr(self, name, self.module.get_function(name))

    def run(self, kernel, to, source, n, threads=None, **more):
        """Launch a kernel of two buffers with one thread for each element, or so many."""
        count = n if threads is None else threads
        kernel(to, source, np.int32(n), block=(32, 1, 1), grid=(-(-count // 32), 1), **more)

    def upload(self, array):
        """Return device memory with the contents of an array."""
        memory = self.cuda.mem_alloc(array.nbytes)
        self.cuda.memcpy_htod(memory, array)
        return memory

    def read(self, memory, n, dtype=np.float32):
        """Return what is in device memory."""
        result = np.empty(n, dtype)
        self.cuda.memcpy_dtoh(result, memory)
        self.cuda.Context.synchronize()
        return result


@pytest.fixture
def kernel_source():
    """The source of the kernels."""
    return SOURCE


@pytest.fixture
def new_program(cuda):
    """Return a function that compiles the kernels under the hooks that are in place."""
    return lambda: Program(cuda)


@pytest.fixture
def program(recorder, new_program):
    """The kernels, compiled under hooks."""
    return new_program()
