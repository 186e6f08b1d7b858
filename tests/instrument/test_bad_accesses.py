"""Bad accesses: reported with their place, not done, and the rest of the kernel's work is right."""

from __future__ import annotations

import numpy as np
import pytest
from launching import Buffer, Launcher, compile_cuda

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.abi import Reason

SOURCE = r"""
#define I (blockIdx.x * blockDim.x + threadIdx.x)
extern "C" {
__global__ void axpy(float *y, const float *x, int n) { int i = I; if (i < n) y[i] = 2 * x[i] + 1; }
__global__ void neighbours(float *y, const float *x) { int i = I; y[i] = x[i - 1] + x[i + 1]; }
__global__ void wide(float4 *y, const float4 *x, int off)
{ y[I] = *(const float4 *)((const char *)(x + I) + off); }
__global__ void added(int *y) { atomicAdd(&y[I], 1); }
__global__ void guarded(float *y, const float *x, int n) { float v = I < n ? x[I] : 7; y[I] = v; }
__global__ void tile(float *y, int at)
{ __shared__ float t[32]; t[threadIdx.x] = 1; __syncthreads(); y[I] = t[threadIdx.x + at]; }
__global__ void dynamic(float *y) { extern __shared__ float s[]; s[I] = 3; y[I] = s[I]; }
__global__ void chosen(float *a, float *b, int which, int at)
{ float *p = a; for (int k = 0; k < which; ++k) { float *t = p; p = b; b = t; } p[at + I] = 4; }
}
"""
f32 = np.float32


@pytest.fixture(scope="module")
def kernels(cuda, tmp_path_factory):
    return Launcher(cuda, compile_cuda(SOURCE, tmp_path_factory.mktemp("cuda")), only_fast=True)


def floats(n, first=0):
    return Buffer(np.arange(first, first + n, dtype=f32))


def test_past_the_end(kernels):
    y, x = floats(40), floats(38)
    kernels.run("axpy", y, x, np.int32(40), grid=2, block=32)
    sites = kernels.result.sites
    assert [(r.reason, r.address - x.address, r.block, r.thread) for r in kernels.reports] == [
        (Reason.OUTSIDE, 4 * i, (1, 0, 0), (i - 32, 0, 0)) for i in (38, 39)
    ]
    assert {(sites[r.site].kind, sites[r.site].root, sites[r.site].source.line) for r in kernels.reports} == {
        ("read", 0, 4)
    }
    # a load that is not done gives 0
    assert y.array.tolist() == [2.0 * i + 1 for i in range(38)] + [1, 1]
    assert (y.codes[:40] != abi.NEVER).all()


def test_before_the_start_and_after_the_end(kernels):
    y, x = floats(32), floats(32)
    kernels.run("neighbours", y, x, block=32)
    assert [r.address - x.address for r in kernels.reports] == [-4, 128]
    assert y.array[0] == 1
    assert y.array[31] == 30
    assert y.array[1:31].tolist() == [2.0 * i for i in range(1, 31)]


def test_stores_and_atomics_are_not_done(kernels):
    y = Buffer(np.zeros(20, np.int32))
    kernels.run("added", y, block=32)
    assert kernels.count() == 12
    assert len(kernels.reports) == abi.REPORTS_PER_SITE
    (count, lowest, highest) = next(counts for counts in kernels.counts if counts[0])
    assert (count, lowest - y.address, highest - y.address) == (12, 80, 124)
    assert y.array.tolist() == [1] * 20


def test_misaligned(kernels):
    y, x = floats(16), floats(20)
    kernels.run("wide", y, x, np.int32(4), block=4)
    assert {r.reason for r in kernels.reports} == {Reason.MISALIGNED}
    kernels.run("wide", y, x, np.int32(16), block=4)
    assert not kernels.reports


def test_guards_count(kernels):
    y, x = floats(32), floats(10)
    kernels.run("guarded", y, x, np.int32(10), block=32)
    assert not kernels.reports
    kernels.run("guarded", y, x, np.int32(12), block=32)
    assert kernels.count() == 2
    assert y.array[8:14].tolist() == [8, 9, 0, 0, 7, 7]


def test_shared_memory(kernels):
    y = floats(32)
    kernels.run("tile", y, np.int32(2), block=32)
    assert [(r.reason, r.address, r.detail, r.thread[0]) for r in kernels.reports] == [
        (Reason.SHARED_OUTSIDE, 128, 128, 30),
        (Reason.SHARED_OUTSIDE, 132, 128, 31),
    ]
    site = kernels.result.sites[kernels.reports[0].site]
    assert (site.space, site.variable_size) == ("shared", 128)
    kernels.run("tile", y, np.int32(0), block=32)
    assert not kernels.reports


def test_dynamic_shared_memory(kernels):
    y = floats(32)
    kernels.run("dynamic", y, block=32, shared=128)
    assert not kernels.reports
    kernels.run("dynamic", y, block=32, shared=120)
    assert {(r.reason, r.address, r.detail) for r in kernels.reports} == {
        (Reason.SHARED_OUTSIDE, 120, 120),
        (Reason.SHARED_OUTSIDE, 124, 120),
    }


@pytest.mark.parametrize("which", [0, 1])
def test_unknown_origin(kernels, which):
    a, b = floats(32), floats(32)
    kernels.run("chosen", a, b, np.int32(which), np.int32(8), block=32)
    hit = b if which else a
    assert kernels.count() == 8
    assert hit.array.tolist() == [*range(8), *[4.0] * 24]
    assert hit.codes[:33].tolist() == [abi.NEVER] * 8 + [abi.STRAY] * 24 + [abi.NEVER]


def test_root_in_no_allocation(kernels):
    y, x = floats(8), floats(8)
    kernels.run("axpy", y, x, np.int32(8), block=8, known=[0], table=False)
    assert kernels.count() == 8
    assert y.array.tolist() == [1] * 8
    kernels.run("axpy", y, x, np.int32(8), block=8, known=[0], table=False, flags=int(abi.Flag.PERMISSIVE))
    assert not kernels.reports
    assert y.array.tolist() == [2.0 * i + 1 for i in range(8)]


def test_codes_of_each_granularity(kernels):
    for shift in (0, 1, 2):
        y, x = floats(12), floats(12)
        y.shift = shift
        kernels.run("axpy", y, x, np.int32(10), block=32, code=9)
        cells = 40 >> shift
        assert y.codes[:cells].tolist() == [9] * cells
        assert not y.codes[cells:].any()
