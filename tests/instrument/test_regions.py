"""Accesses that are checked at once: of several blocks, of steps, and of arrays with one index."""

from __future__ import annotations

import numpy as np
import pytest
from launching import Buffer, Launcher, compile_cuda

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.abi import Reason

SOURCE = r"""
extern "C" {
__global__ void blur(const unsigned char *in, unsigned char *out, int width, int height)
{
    int x = threadIdx.x, y = blockIdx.x, sum = 0;
    if (x >= width)
        return;
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++)
            if (x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height)
                sum += in[(y + dy) * width + x + dx];
    out[y * width + x] = sum / 9;
}
__global__ void either(float *y, const float *x, int n)
{
    int i = threadIdx.x;
    float a = 1;
    if (i > 0) { y[2 * i - 2] = 5; a += x[i - 1]; }
    if (i < n) { y[2 * i + 1] = 6; a += x[i + 1]; }
    y[2 * i] = a;
}
__global__ void column(float *y, const float *x, int n, int stride)
{
    float sum = 0;
#pragma unroll 4
    for (int k = 0; k < n; k++)
        sum += x[k * stride + threadIdx.x];
    y[threadIdx.x] = sum;
}
__global__ void add(float *c, const float *a, const float *b)
{ int i = threadIdx.x; c[i] = a[i] + b[i]; }
}
"""
#: the last access is not in the region: from the branch before it, no way leads on but over a barrier
ENDING_EARLY = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry early(.param .u64 .ptr .global y, .param .u32 n)
{
    .reg .pred %p<3>;
    .reg .b32 %r<6>;
    .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [y];
    ld.param.u32 %r1, [n];
    mov.u32 %r2, %tid.x;
    setp.gt.s32 %p1, %r1, 3;
    setp.gt.s32 %p2, %r1, 5;
    mul.wide.u32 %rd2, %r2, 4;
    add.s64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r2;
    @%p1 bra FIRST;
    st.global.u32 [%rd3+4], %r2;
FIRST:
    st.global.u32 [%rd3+8], %r2;
    @%p2 bra SECOND;
    mul.wide.u32 %rd4, %r1, 4;
    add.s64 %rd5, %rd3, %rd4;
    st.global.u32 [%rd5], %r2;
    bar.sync 0;
SECOND:
    ret;
}
"""
f32, i32 = np.float32, np.int32


@pytest.fixture(scope="module")
def kernels(cuda, tmp_path_factory):
    return Launcher(cuda, compile_cuda(SOURCE, tmp_path_factory.mktemp("cuda")), only_fast=True)


def blurred(image, bytes_in, bytes_out):
    flat = np.zeros(image.size, np.uint8)
    flat[:bytes_in] = image.ravel()[:bytes_in]
    padded = np.pad(flat.reshape(image.shape).astype(int), 1)
    height, width = image.shape
    total = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return (total // 9).astype(np.uint8).ravel()[:bytes_out]


@pytest.mark.parametrize("missing", [0, 1, 20])
def test_blur(kernels, missing):
    image = np.random.default_rng(1).integers(0, 255, (8, 20)).astype(np.uint8)
    source = Buffer(image.ravel()[: 160 - missing].copy(), shift=0)
    target = Buffer(np.zeros(160, np.uint8), shift=0)
    kernels.run("blur", source, target, i32(20), i32(8), grid=8, block=32)
    assert (target.array == blurred(image, 160 - missing, 160)).all()
    assert (target.codes[:160] == 7).all()
    assert {(r.reason, r.address - source.address >= 160 - missing) for r in kernels.reports} == (
        {(Reason.OUTSIDE, True)} if missing else set()
    )


def test_a_store_outside_is_not_done(kernels):
    target = Buffer(np.zeros(159, np.uint8), shift=0)
    kernels.run("blur", Buffer(np.full(160, 9, np.uint8), shift=0), target, i32(20), i32(8), grid=8, block=32)
    assert [(r.address - target.address, r.block, r.thread) for r in kernels.reports] == [
        (159, (7, 0, 0), (19, 0, 0))
    ]
    assert (target.codes[:159] == 7).all()


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_conditional_stores_are_noted_where_they_are_done(kernels, shift):
    y, x = Buffer(np.zeros(64, f32), shift=shift), Buffer(np.arange(32, dtype=f32))
    kernels.run("either", y, x, i32(20), block=32)
    assert kernels.reports == []
    written = (y.codes[: 256 >> shift].reshape(64, -1) != abi.NEVER).all(axis=1)
    assert written.tolist() == [i % 2 == 0 or i // 2 < 20 for i in range(64)]


def test_conditional_access_that_is_bad(kernels):
    y, x = Buffer(np.zeros(64, f32)), Buffer(np.arange(20, dtype=f32))
    kernels.run("either", y, x, i32(20), block=20)
    assert [(r.address - x.address, r.thread) for r in kernels.reports] == [(80, (19, 0, 0))]


@pytest.mark.parametrize("stride", [32, -32])
@pytest.mark.parametrize("extra", [0, 1])
def test_steps(kernels, stride, extra):
    data = np.arange(12 * 32, dtype=f32)
    x, y = Buffer(data), Buffer(np.zeros(32, f32))
    kernels.run("column", y, x, i32(12 + extra if stride > 0 else 1 + extra), i32(stride), block=32)
    assert kernels.count() == extra * 32
    assert (y.array == (data.reshape(12, 32).sum(axis=0) if stride > 0 else data[:32])).all()


@pytest.mark.parametrize("sizes", [(31, 32, 32), (32, 31, 32), (32, 32, 31)])
def test_arrays_with_one_index(kernels, sizes):
    buffers = [Buffer(np.ones(size, f32)) for size in sizes]
    kernels.run("add", *buffers, block=32)
    (short,) = [buffer for buffer in buffers if buffer.array.size == 31]
    assert [(r.reason, r.address) for r in kernels.reports] == [(Reason.OUTSIDE, short.address + 124)]


def test_a_region_may_end_before_what_was_looked_at(cuda):
    kernels = Launcher(cuda, ENDING_EARLY, only_fast=True)
    (bare,) = kernels.bare_run("early", Buffer(np.zeros(4, i32)), i32(3))
    out = Buffer(np.zeros(4, i32))
    kernels.run("early", out, i32(3))
    assert out.array.tolist() == bare.tolist()
    assert kernels.reports == []
    kernels.run("early", Buffer(np.zeros(3, i32)), i32(3))
    assert kernels.count() == 1
