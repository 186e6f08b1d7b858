"""The programs of ``cpu_device.py``: kernels for CUDA and OpenCL, loops in C, a table of cases."""

from __future__ import annotations

from dataclasses import dataclass

ELEMENTS = 1 << 22
SIDE = 2048
ORDER = 256
BINS = 256

#: what CUDA C and OpenCL C call the same things
_CUDA = """
#define KERNEL extern "C" __global__ void
#define GLOBAL
#define SHARED __shared__
#define BARRIER __syncthreads()
#define LOCAL_ID(axis) ((int)threadIdx.axis)
#define GROUP_ID(axis) ((int)blockIdx.axis)
#define GLOBAL_ID(axis) (int)(blockIdx.axis * blockDim.axis + threadIdx.axis)
#define GLOBAL_SIZE (int)(gridDim.x * blockDim.x)
#define ADD(place) atomicAdd(&(place), 1)
#define ADD_MANY(place, n) atomicAdd(&(place), n)
"""
_OPENCL = """
#define x 0
#define y 1
#define KERNEL __kernel void
#define GLOBAL __global
#define SHARED __local
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#define LOCAL_ID(axis) (int)get_local_id(axis)
#define GROUP_ID(axis) (int)get_group_id(axis)
#define GLOBAL_ID(axis) (int)get_global_id(axis)
#define GLOBAL_SIZE (int)get_global_size(0)
#define ADD(place) atomic_add(&(place), 1)
#define ADD_MANY(place, n) atomic_add(&(place), n)
"""
_KERNELS = """
KERNEL vecadd(GLOBAL const float *a, GLOBAL const float *b, GLOBAL float *c, int n)
{
    int i = GLOBAL_ID(x);
    if (i < n)
        c[i] = a[i] + b[i];
}
KERNEL stencil(GLOBAL const float *a, GLOBAL const float *b, GLOBAL float *c, int n)
{
    int column = GLOBAL_ID(x), row = GLOBAL_ID(y), i = row * n + column;
    if (column > 0 && row > 0 && column < n - 1 && row < n - 1)
        c[i] = 0.2f * (a[i] + a[i - 1] + a[i + 1] + a[i - n] + a[i + n]);
}
KERNEL matmul(GLOBAL const float *a, GLOBAL const float *b, GLOBAL float *c, int n)
{
    int column = GLOBAL_ID(x), row = GLOBAL_ID(y);
    float sum = 0;
    if (column < n && row < n) {
        for (int k = 0; k < n; k++)
            sum += a[row * n + k] * b[k * n + column];
        c[row * n + column] = sum;
    }
}
KERNEL tiled(GLOBAL const float *a, GLOBAL const float *b, GLOBAL float *c, int n)
{
    SHARED float as[16][16], bs[16][16];
    int tx = LOCAL_ID(x), ty = LOCAL_ID(y), column = GLOBAL_ID(x), row = GLOBAL_ID(y);
    float sum = 0;
    for (int t = 0; t < n / 16; t++) {
        as[ty][tx] = a[row * n + t * 16 + tx];
        bs[ty][tx] = b[(t * 16 + ty) * n + column];
        BARRIER;
        for (int k = 0; k < 16; k++)
            sum += as[ty][k] * bs[k][tx];
        BARRIER;
    }
    c[row * n + column] = sum;
}
KERNEL histogram(GLOBAL const unsigned char *a, GLOBAL const float *b, GLOBAL int *c, int n)
{
    SHARED int counts[256];
    int t = LOCAL_ID(x);
    counts[t] = 0;
    BARRIER;
    for (int i = GLOBAL_ID(x); i < n; i += GLOBAL_SIZE)
        ADD(counts[a[i]]);
    BARRIER;
    ADD_MANY(c[t], counts[t]);
}
"""
#: a sum of each block: by shuffles in CUDA, in local memory in OpenCL, whose sub-groups are an extension
_SHUFFLES = """
KERNEL reduce(const float *a, const float *b, float *c, int n)
{
    __shared__ float sums[32];
    int i = GLOBAL_ID(x), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float sum = i < n ? a[i] : 0;
    for (int offset = 16; offset; offset /= 2)
        sum += __shfl_down_sync(0xffffffff, sum, offset);
    if (lane == 0)
        sums[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        sum = lane < blockDim.x / 32 ? sums[lane] : 0;
        for (int offset = 16; offset; offset /= 2)
            sum += __shfl_down_sync(0xffffffff, sum, offset);
        if (lane == 0)
            c[blockIdx.x] = sum;
    }
}
"""
_TREE = """
KERNEL reduce(GLOBAL const float *a, GLOBAL const float *b, GLOBAL float *c, int n)
{
    SHARED float sums[256];
    int i = GLOBAL_ID(x), t = LOCAL_ID(x);
    sums[t] = i < n ? a[i] : 0;
    BARRIER;
    for (int half_ = 128; half_; half_ /= 2) {
        if (t < half_)
            sums[t] += sums[t + half_];
        BARRIER;
    }
    if (t == 0)
        c[GROUP_ID(x)] = sums[0];
}
"""
CUDA = _CUDA + _KERNELS + _SHUFFLES
OPENCL = _OPENCL + _KERNELS + _TREE

C = """
#include <math.h>
#include <string.h>
void vecadd(const float *a, const float *b, float *c, int n)
{
    for (int i = 0; i < n; i++)
        c[i] = a[i] + b[i];
}
void stencil(const float *a, const float *b, float *c, int n)
{
    for (int y = 1; y < n - 1; y++)
        for (int x = 1; x < n - 1; x++) {
            int i = y * n + x;
            c[i] = 0.2f * (a[i] + a[i - 1] + a[i + 1] + a[i - n] + a[i + n]);
        }
}
void matmul(const float *a, const float *b, float *c, int n)
{
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            float sum = 0;
            for (int k = 0; k < n; k++)
                sum = fmaf(a[y * n + k], b[k * n + x], sum);
            c[y * n + x] = sum;
        }
}
void tiled(const float *a, const float *b, float *restrict c, int n)
{
    memset(c, 0, sizeof(float) * n * n);
    for (int y = 0; y < n; y++)
        for (int k = 0; k < n; k++)
            for (int x = 0; x < n; x++)
                c[y * n + x] = fmaf(a[y * n + k], b[k * n + x], c[y * n + x]);
}
void reduce(const float *a, const float *b, float *c, int n)
{
    for (int block = 0; block < n / 256; block++) {
        float sum = 0;
        for (int i = 0; i < 256; i++)
            sum += a[256 * block + i];
        c[block] = sum;
    }
}
void histogram(const unsigned char *a, const float *b, int *c, int n)
{
    for (int i = 0; i < n; i++)
        c[a[i]]++;
}
void axpy(const float *a, const float *b, float *c, int n)
{
    for (int i = 0; i < n; i++)
        c[i] = a[i] + 2 * b[i];
}
void sum(const float *a, const float *b, float *c, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i];
    *c = sum;
}
"""

#: for numba's simulator, which is so slow that a few will do
NUMBA = """
def vecadd(a, b, c, n):
    i = cuda.grid(1)
    if i < n:
        c[i] = a[i] + b[i]

def stencil(a, b, c, n):
    x, y = cuda.grid(2)
    i = y * n + x
    if x > 0 and y > 0 and x < n - 1 and y < n - 1:
        c[i] = np.float32(0.2) * (a[i] + a[i - 1] + a[i + 1] + a[i - n] + a[i + n])

def matmul(a, b, c, n):
    x, y = cuda.grid(2)
    if x < n and y < n:
        total = np.float32(0)
        for k in range(n):
            total += a[y * n + k] * b[k * n + x]
        c[y * n + x] = total
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One program: a kernel with its last argument ``n``, or (no grid) an expression of arrays.

    ``grid`` and ``block`` are in blocks and threads, x and y.
    """

    name: str
    title: str
    n: int
    grid: tuple[int, int] = (0, 0)
    block: tuple[int, int] = (0, 0)


CASES = {
    case.name: case
    for case in (
        Case("vecadd", "vecadd, 2^22 floats", ELEMENTS, (ELEMENTS // 256, 1), (256, 1)),
        Case("stencil", "stencil, 2048², 5 points", SIDE, (SIDE // 32, SIDE // 8), (32, 8)),
        Case("matmul", "matmul, 256, naive", ORDER, (ORDER // 16, ORDER // 16), (16, 16)),
        Case("tiled", "matmul, 256, tiled", ORDER, (ORDER // 16, ORDER // 16), (16, 16)),
        Case("reduce", "sums of blocks of 2^22 floats", ELEMENTS, (ELEMENTS // 256, 1), (256, 1)),
        Case("histogram", "histogram of 2^22 bytes", ELEMENTS, (256, 1), (256, 1)),
        Case("axpy", "`a + 2*b` of arrays, 2^22", ELEMENTS),
        Case("sum", "`gpuarray.sum`, 2^22", ELEMENTS),
    )
}
