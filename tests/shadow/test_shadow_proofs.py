"""Programs whose launches are proven, and the same ones where none is: there is no difference to be seen."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.events.model import KernelReport
from pycuda_guard.shadow.launching import Launching
from pycuda_guard.shadow.proving import Proving

SOURCE = """
__global__ void add(float *to, const float *from, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] += from[i];
}

__global__ void set(float *to, int first, int n, int step)
{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        to[first + i * step] = i;
}

__global__ void bytes(unsigned char *to, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = 3;
}

__global__ void count(const unsigned char *in, unsigned *bins, int n)
{
    __shared__ unsigned part[256];
    part[threadIdx.x] = 0;
    __syncthreads();
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i < n) atomicAdd(&part[in[i]], 1);
    __syncthreads();
    atomicAdd(&bins[threadIdx.x], part[threadIdx.x]);
}
"""
INT = np.int32


class Watched:
    """A program's module, and how many of its launches were proven."""

    def __init__(self, cuda, recorder, variants):
        from pycuda.compiler import SourceModule

        self.cuda = cuda
        self.recorder = recorder
        self.variants = variants
        self.module = SourceModule(SOURCE)

    def run(self, name, *arguments, block=32, grid=2, **more):
        """Launch a kernel."""
        self.module.get_function(name)(*arguments, block=(block, 1, 1), grid=(grid, 1), **more)

    def memory(self, count, written=None):
        """Return device memory for floats, of which the first ``written`` are written."""
        memory = self.cuda.mem_alloc(4 * count)
        host = np.arange(count if written is None else written, dtype=np.float32)
        if host.size:
            self.cuda.memcpy_htod(memory, host)
        return memory

    def read(self, memory, count):
        """Return device memory as bytes."""
        result = np.empty(count, np.float32)
        self.cuda.memcpy_dtoh(result, memory)
        return result.tobytes()


def usual(program):
    """Every launch can be proven."""
    a, b = program.memory(64), program.memory(64)
    for n in (64, 64, 50, 64):
        program.run("add", a, b, INT(n))
    c = program.memory(64, 0)
    program.run("set", c, INT(0), INT(32), INT(2))
    return [program.read(each, 64) for each in (a, b, c)]


def half_written(program):
    """What is read was not written whole, and then it is."""
    a, b = program.memory(64), program.memory(64, 32)
    program.run("add", a, b, INT(64))
    program.run("set", b, INT(32), INT(32), INT(1))
    program.read(b, 64)
    program.run("add", a, b, INT(64))
    program.run("add", a, b, INT(64))
    return [program.read(a, 32), program.read(b, 64)]


def one_too_many(program):
    """The guard is one element beyond the allocation."""
    a, b = program.memory(63), program.memory(64)
    program.run("add", a, b, INT(63))
    program.run("add", a, b, INT(64))
    program.run("add", b, a, INT(64))
    return [program.read(a, 63), program.read(b, 64)]


def inside(program):
    """Pointers into a buffer: to both sides of them, and over its ends."""
    a = program.memory(64, 0)
    middle = np.uint64(int(a) + 128)
    program.run("set", middle, INT(-32), INT(64), INT(1))
    program.run("set", middle, INT(31), INT(64), INT(-1))
    program.run("set", middle, INT(-33), INT(64), INT(1))
    program.run("set", np.uint64(int(a) + 2), INT(0), INT(32), INT(1))
    program.run("set", np.uint64(int(a) + 4), INT(0), INT(63), INT(1))
    return [program.read(a, 64)]


def freed(program):
    """A buffer is freed, and launched on again; then one of another size may be there."""
    a, b = program.memory(64), program.memory(64)
    program.run("add", a, b, INT(64))
    address = np.uint64(int(b))
    b.free()
    program.run("add", a, address, INT(64))
    shorter = program.memory(16)
    program.run("add", a, shorter, INT(64))
    program.run("add", a, shorter, INT(16))
    return [program.read(a, 64)]


def aliases(program):
    """Both pointers into one allocation, which is read and written."""
    a = program.memory(96)
    program.run("add", a, np.uint64(int(a) + 128), INT(64))
    program.run("add", np.uint64(int(a) + 128), a, INT(64))
    program.run("add", a, np.uint64(int(a) + 132), INT(64))
    return [program.read(a, 96)]


def finer(program):
    """Codes become finer than a kernel expects, and its pointer is not where a code begins."""
    a = program.memory(64, 0)
    program.run("set", a, INT(0), INT(64), INT(1))
    program.run("bytes", np.uint64(int(a) + 3), INT(5))
    program.run("set", a, INT(2), INT(3), INT(1))
    program.run("bytes", a, INT(64))
    return [program.read(a, 64)]


def pooled(program):
    """A block of a pool is larger than what was asked for."""
    from pycuda.tools import DeviceMemoryPool

    pool = DeviceMemoryPool()
    a, b = pool.allocate(4 * 50), program.memory(64)
    program.run("set", a, INT(0), INT(50), INT(1))
    program.run("set", a, INT(0), INT(51), INT(1))
    program.run("add", b, a, INT(51))
    return [program.read(a, 50), program.read(b, 50)]


def counted(program):
    """Shared memory is indexed by data of eight bits; it is watched at first."""
    data = program.memory(64)
    bins = program.memory(256)
    for _ in range(6):
        program.run("count", data, bins, INT(256), block=256, grid=1)
    program.run("count", data, bins, INT(257), block=256, grid=2)
    return [program.read(bins, 256)]


def many_launches(program):
    """More launches than there are codes."""
    a = program.memory(64, 0)
    for index in range(260):
        program.run("set", a, INT(index % 32), INT(32), INT(1))
    return [program.read(a, 64)]


PROGRAMS = [
    *(usual, half_written, one_too_many, inside, freed, aliases, finer, pooled, counted, many_launches),
]


def outcome(cuda, guarded, monkeypatch, program, *, proofs):
    """Return what a program saw and what the guard saw of it, and the variants that were launched."""
    with monkeypatch.context() as patch:
        variants = []
        prepare = Launching.prepare

        def noting(self, *arguments):
            prepared = prepare(self, *arguments)
            variants.append(prepared.variant)
            return prepared

        patch.setattr(Launching, "prepare", noting)
        if not proofs:
            patch.setattr(Proving, "holds", lambda self, *arguments: False)
        recorder = guarded()
        results = program(Watched(cuda, recorder, variants))
        cuda.Context.synchronize()
    reports = [
        (e.access.function, e.access.line, e.reason, e.count, e.size, e.base and e.lowest - e.base)
        for e in recorder.of(KernelReport)
    ]
    return results, reports, recorder.contents, variants


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_proofs_change_nothing_that_is_seen(cuda, guarded, monkeypatch, program):
    from pycuda_guard import hooks

    *without, plain = outcome(cuda, guarded, monkeypatch, program, proofs=False)
    hooks.uninstall()
    *under, variants = outcome(cuda, guarded, monkeypatch, program, proofs=True)
    assert under == without
    assert "proven" not in plain
    assert "proven" in variants
    if program is usual:
        assert set(variants) == {"proven"}
