"""Ten kernels at sizes that fill a GPU, and what to launch them with.

The source is compiled as a whole; each program allocates its own buffers, fills them with memsets or
small uploads, and says how one launch looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = r"""
#include <cuda_fp16.h>

extern "C" {

__global__ void vecadd(const float *a, const float *b, float *c, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        c[i] = a[i] + b[i];
}

__global__ void stencil(const float *in, float *out, int width, int height)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x > 0 && y > 0 && x < width - 1 && y < height - 1)
        out[y * width + x] = 0.25f * (in[y * width + x - 1] + in[y * width + x + 1] + in[(y - 1) * width + x]
                                      + in[(y + 1) * width + x]);
}

__global__ void matmul(const float *a, const float *b, float *c, int n)
{
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < n && column < n) {
        float sum = 0;
        for (int k = 0; k < n; k++)
            sum += a[row * n + k] * b[k * n + column];
        c[row * n + column] = sum;
    }
}

__global__ void tiled(const float *a, const float *b, float *c, int n)
{
    __shared__ float left[16][16], right[16][16];
    int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
    float sum = 0;
    for (int t = 0; t < n / 16; t++) {
        left[y][x] = a[row * n + t * 16 + x];
        right[y][x] = b[(t * 16 + y) * n + column];
        __syncthreads();
        for (int k = 0; k < 16; k++)
            sum += left[y][k] * right[k][x];
        __syncthreads();
    }
    c[row * n + column] = sum;
}

__global__ void reduce(const float *in, float *sums, int n)
{
    __shared__ float part[256];
    int t = threadIdx.x;
    float sum = 0;
    for (int i = blockIdx.x * 256 + t; i < n; i += gridDim.x * 256)
        sum += in[i];
    part[t] = sum;
    __syncthreads();
    for (int k = 128; k > 0; k /= 2) {
        if (t < k)
            part[t] += part[t + k];
        __syncthreads();
    }
    if (t == 0)
        sums[blockIdx.x] = part[0];
}

__global__ void histogram(const unsigned char *in, unsigned int *bins, int n)
{
    __shared__ unsigned int part[256];
    part[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256)
        atomicAdd(&part[in[i]], 1u);
    __syncthreads();
    atomicAdd(&bins[threadIdx.x], part[threadIdx.x]);
}

__global__ void spmv(const int *starts, const int *columns, const float *values, const float *x, float *y,
                     int rows)
{
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows) {
        float sum = 0;
        for (int k = starts[row]; k < starts[row + 1]; k++)
            sum += values[k] * x[columns[k]];
        y[row] = sum;
    }
}

__global__ void nbody(const float4 *bodies, float4 *forces, int n)
{
    __shared__ float4 tile[256];
    float4 self = bodies[blockIdx.x * 256 + threadIdx.x];
    float fx = 0, fy = 0, fz = 0;
    for (int t = 0; t < n; t += 256) {
        tile[threadIdx.x] = bodies[t + threadIdx.x];
        __syncthreads();
        for (int k = 0; k < 256; k++) {
            float4 other = tile[k];
            float dx = other.x - self.x, dy = other.y - self.y, dz = other.z - self.z;
            float inverse = rsqrtf(dx * dx + dy * dy + dz * dz + 1e-3f);
            float scale = other.w * inverse * inverse * inverse;
            fx += dx * scale;
            fy += dy * scale;
            fz += dz * scale;
        }
        __syncthreads();
    }
    forces[blockIdx.x * 256 + threadIdx.x] = make_float4(fx, fy, fz, 0.0f);
}

__global__ void blur(const unsigned char *in, unsigned char *out, int width, int height)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;
    int sum = 0, count = 0;
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++)
            if (x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height) {
                sum += in[(y + dy) * width + x + dx];
                count++;
            }
    out[y * width + x] = sum / count;
}

__global__ void axpy(__half a, const __half *x, __half *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = __hfma(a, x[i], y[i]);
}

}
"""

Launch = tuple[tuple[Any, ...], tuple[int, int, int], tuple[int, int]]  #: arguments, block, grid


@dataclass(frozen=True)
class Program:
    """A kernel and its data. ``prepare(cuda, scale)`` allocates and fills, and returns a launch.

    ``scale`` divides the size (1: fills an H200), so that small devices can run it too.
    """

    name: str
    size: str
    prepare: Callable[[Any, int], Launch]


def _filled(cuda: Any, nbytes: int, byte: int = 0) -> Any:
    memory = cuda.mem_alloc(nbytes)
    cuda.memset_d8(memory, byte, nbytes)
    return memory


def _vecadd(cuda: Any, scale: int) -> Launch:
    n = (1 << 25) // scale
    a, b, c = (_filled(cuda, 4 * n) for _ in range(3))
    return (a, b, c, np.int32(n)), (256, 1, 1), (-(-n // 256), 1)


def _stencil(cuda: Any, scale: int) -> Launch:
    width, height = 4096, 4096 // scale
    a, b = (_filled(cuda, 4 * width * height) for _ in range(2))
    return (a, b, np.int32(width), np.int32(height)), (32, 8, 1), (width // 32, -(-height // 8))


def _square(cuda: Any, scale: int) -> Launch:
    n = max(1024 // scale // 16 * 16, 64)
    a, b, c = (_filled(cuda, 4 * n * n) for _ in range(3))
    return (a, b, c, np.int32(n)), (16, 16, 1), (n // 16, n // 16)


def _reduce(cuda: Any, scale: int) -> Launch:
    n = (1 << 26) // scale
    return (_filled(cuda, 4 * n), _filled(cuda, 4 * 1024), np.int32(n)), (256, 1, 1), (1024, 1)


def _histogram(cuda: Any, scale: int) -> Launch:
    n = (1 << 27) // scale
    data = cuda.mem_alloc(n)
    some = np.random.default_rng(0).integers(0, 256, min(n, 1 << 22), dtype=np.uint8)
    for start in range(0, n, some.size):
        cuda.memcpy_htod(int(data) + start, some[: n - start])
    return (data, _filled(cuda, 4 * 256), np.int32(n)), (256, 1, 1), (1056, 1)


def _spmv(cuda: Any, scale: int) -> Launch:
    rows, a_row = (1 << 20) // scale, 16
    starts = np.arange(0, a_row * (rows + 1), a_row, dtype=np.int32)
    columns = np.random.default_rng(0).integers(0, rows, a_row * rows, dtype=np.int32)
    uploaded = []
    for host in (starts, columns):
        uploaded.append(cuda.mem_alloc(host.nbytes))
        cuda.memcpy_htod(uploaded[-1], host)
    values, x, y = (_filled(cuda, 4 * count) for count in (a_row * rows, rows, rows))
    return (*uploaded, values, x, y, np.int32(rows)), (256, 1, 1), (-(-rows // 256), 1)


def _nbody(cuda: Any, scale: int) -> Launch:
    n = max((1 << 15) // scale // 256 * 256, 256)
    bodies, forces = (_filled(cuda, 16 * n) for _ in range(2))
    return (bodies, forces, np.int32(n)), (256, 1, 1), (n // 256, 1)


def _blur(cuda: Any, scale: int) -> Launch:
    width, height = 8192, 8192 // scale
    a, b = (_filled(cuda, width * height) for _ in range(2))
    return (a, b, np.int32(width), np.int32(height)), (32, 8, 1), (width // 32, -(-height // 8))


def _axpy(cuda: Any, scale: int) -> Launch:
    n = (1 << 26) // scale
    x, y = (_filled(cuda, 2 * n) for _ in range(2))
    return (np.float16(2).view(np.uint16), x, y, np.int32(n)), (256, 1, 1), (-(-n // 256), 1)


PROGRAMS: tuple[Program, ...] = (
    Program("vecadd", "2^25 floats", _vecadd),
    Program("stencil", "4096², 5 points", _stencil),
    Program("matmul", "1024, naive", _square),
    Program("tiled", "matmul 1024, tiled", _square),
    Program("reduce", "2^26 floats", _reduce),
    Program("histogram", "2^27 bytes", _histogram),
    Program("spmv", "2^20 rows of 16", _spmv),
    Program("nbody", "2^15 bodies", _nbody),
    Program("blur", "8192² bytes, 3×3", _blur),
    Program("axpy", "2^26 halves", _axpy),
)
