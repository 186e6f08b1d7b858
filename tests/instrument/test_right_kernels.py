"""Right kernels of all kinds: instrumented they compute the same bits and report nothing."""

from __future__ import annotations

import numpy as np
import pytest
from launching import Buffer, Launcher, compile_cuda

from pycuda_guard.kernels.instrument import abi

SOURCE = r"""
#include <cuda_fp16.h>
#define I (blockIdx.x * blockDim.x + threadIdx.x)
typedef unsigned char byte;
struct Pair { float *to; long long offset; const float *from; int n; };
__constant__ float weights[4] = {1, 2, 3, 4};
__device__ int counter[8];
extern "C" {
__global__ void axpy(float *y, const float *x, float a, int n) { int i = I; if (i < n) y[i] += a * x[i]; }
__global__ void before_start(float *y, const float *x, int n) { int i = I; if (i < n) y[i] = (x + 4)[i - 4]; }
__global__ void one_past(float *y, const float *x, int n)
{ float s = 0; for (const float *p = x, *end = x + n; p != end; ++p) s += *p; y[I] = s; }
__global__ void last_to_first(float *y, const float *x, int n)
{ const float *p = x + n; float s = 0; while (p != x) s = s * 0.5f + *--p; y[I] = s; }
__global__ void difference(long long *y, const float *x, int n)
{ const float *a = x + I, *b = x + n; y[I] = (b - a) + (*a > 3 ? 1 : 0); }
__global__ void swapped(float *a, float *b, int n)
{ for (int k = 0; k < 5; ++k) { b[I] = a[I] + k; float *t = a; a = b; b = t; } }
__global__ void chosen(float *a, float *b, const int *which) { (which[I] ? a : b)[I] = 5; }
__global__ void vectors(float4 *y, const float2 *x)
{ float2 v = x[I]; y[I] = make_float4(v.x, v.y, v.x + v.y, 1); }
__global__ void bytes(byte *y, const byte *x, int n) { int i = I; if (i < n) y[n - 1 - i] = x[i] + 1; }
__global__ void halves(__half *y, const __half *x, int n) { int i = I; if (i < n) y[i] = __hadd(x[i], x[i]); }
__global__ void doubles(double *y, const double *x) { y[I] = x[I] * 2; }
__global__ void wrapped(float *y, const float *x, unsigned n)
{ unsigned i = I; y[i] = x[i - n + 8 * n - 7 * n]; }
__global__ void long_indices(char *y, const char *x, const long long *where) { y[where[I]] = x[where[I]]; }
__global__ void sizes(float *y, const float *x, size_t n) { size_t i = I; if (i < n) y[n - 1 - i] = x[i]; }
__global__ void histogram(int *bins, const byte *x) { atomicAdd(&bins[x[I] & 15], 1); }
__global__ void atomics(unsigned *a, unsigned long long *b, float *c)
{ a[I] = atomicMax(&a[0], I) ? 1 : 2; atomicCAS(&b[1], 0ull, 7ull); atomicExch(&c[I], 1.5f);
  atomicInc(&a[40], 9); }
__global__ void by_value(Pair p) { int i = I; if (i < p.n) p.to[i + p.offset] = p.from[i]; }
__global__ void constants(float *y) { y[I] = weights[I & 3]; }
__global__ void variables(int *y) { counter[I & 7] = 3; y[I] = counter[I & 7]; }
__global__ void rows(float **row, int n) { for (int k = 0; k < n; ++k) row[k][I] = k + I; }
__global__ void local(int *y, const int *where)
{ int buffer[16]; for (int k = 0; k < 16; ++k) buffer[(k * 7 + where[I]) & 15] = k;
  y[I] = buffer[where[I] & 15]; }
__global__ void tile(float *y, const float *x)
{ __shared__ float t[2][33]; t[threadIdx.x & 1][threadIdx.x] = x[I]; __syncthreads();
  y[I] = t[(threadIdx.x + 1) & 1][31 - threadIdx.x]; }
__global__ void dynamic(float *y, const float *x, int n)
{ extern __shared__ float s[]; double *d = (double *)(s + n); s[threadIdx.x] = x[I]; d[threadIdx.x] = x[I];
  __syncthreads(); y[I] = s[n - 1 - threadIdx.x] + d[threadIdx.x]; }
__global__ void switched(int *y, const int *x)
{ int v = x[I], r; switch (v & 7) { case 0: r = y[I]; break; case 1: r = v * v; break; case 2: r = x[0];
  break;
  case 3: r = x[1] - v; break; case 4: r = 77; break; case 5: r = v ^ 5; break; case 6: r = x[2]; break;
  default: r = 9; }
  y[I] = r; }
__global__ void spin(volatile int *flag, int *y)
{ if (threadIdx.x == 0) *flag = 1; while (*flag == 0) {} y[I] = *flag; }
}
__device__ __noinline__ float deep(const float *x, int n)
{ return n == 0 ? x[0] : x[n] + deep(x, n - 1) * 0.5f; }
__device__ __noinline__ void put(float *y, float v) { *y = v; }
__device__ __noinline__ float add(const float *x) { return x[0] + 1; }
__device__ __noinline__ float twice(const float *x) { return x[0] * 2; }
__device__ float (*const operations[2])(const float *) = {add, twice};
__device__ __noinline__ float apply(float (*f)(const float *), const float *x) { return f(x); }
__device__ __noinline__ float any_space(const float *p) { return *p + p[1]; }
extern "C" {
__global__ void recursive(float *y, const float *x, int n) { put(&y[I], deep(x, n)); }
__global__ void pointers(float *y, const float *x) { y[I] = operations[I & 1](&x[I]); }
__global__ void handed(float *y, const float *x, int w) { y[I] = apply(w ? add : twice, &x[I]); }
__global__ void generic(float *y, const float *x)
{ __shared__ float s[40]; float l[2] = {x[I], 2.0f}; s[threadIdx.x] = x[I];
  if (threadIdx.x == 0) s[32] = 1; __syncthreads();
  y[I] = any_space(x + I) + any_space(s) + any_space(l) + any_space(weights); }
}
"""

i32, f32, u64 = np.int32, np.float32, np.uint64


@pytest.fixture(scope="module")
def kernels(cuda, tmp_path_factory):
    return Launcher(cuda, compile_cuda(SOURCE, tmp_path_factory.mktemp("cuda")), only_fast=True)


@pytest.fixture(scope="module")
def debug_kernels(cuda, tmp_path_factory):
    return Launcher(cuda, compile_cuda(SOURCE, tmp_path_factory.mktemp("cuda"), "-G"), only_fast=True)


def buffers(*kinds, n=64):
    rng = np.random.default_rng(5)
    shifts = {1: 0, 2: 1}
    return [
        Buffer(rng.integers(0, 100, n).astype(kind), shifts.get(np.dtype(kind).itemsize, 2)) for kind in kinds
    ]


def indices(*high, n=64):
    return Buffer(np.random.default_rng(7).permutation(n).astype(high[0] if high else np.int32))


CASES = {
    "axpy": lambda: (*buffers(f32, f32), f32(1.5), i32(60)),
    "before_start": lambda: (*buffers(f32, f32), i32(60)),
    "one_past": lambda: (*buffers(f32, f32), i32(64)),
    "last_to_first": lambda: (*buffers(f32, f32), i32(64)),
    "difference": lambda: (*buffers(np.int64, f32), i32(64)),
    "swapped": lambda: (*buffers(f32, f32), i32(64)),
    "chosen": lambda: (*buffers(f32, f32), Buffer(np.arange(64, dtype=i32) % 2)),
    "vectors": lambda: (buffers(f32, n=256)[0], buffers(f32, n=128)[0]),
    "bytes": lambda: (*buffers(np.uint8, np.uint8), i32(61)),
    "halves": lambda: (*buffers(np.float16, np.float16), i32(63)),
    "doubles": lambda: buffers(np.float64, np.float64),
    "wrapped": lambda: (*buffers(f32, f32), np.uint32(1 << 31)),
    "long_indices": lambda: (*buffers(np.int8, np.int8), indices(np.int64)),
    "sizes": lambda: (*buffers(f32, f32), u64(62)),
    "histogram": lambda: buffers(i32, np.uint8),
    "atomics": lambda: buffers(np.uint32, np.uint64, f32),
    "constants": lambda: buffers(f32),
    "variables": lambda: buffers(i32),
    "local": lambda: (buffers(i32)[0], indices()),
    "tile": lambda: buffers(f32, f32),
    "switched": lambda: buffers(i32, i32),
    "spin": lambda: buffers(i32, i32),
    "pointers": lambda: buffers(f32, f32),
    "handed": lambda: (*buffers(f32, f32), i32(1)),
    "generic": lambda: (buffers(f32)[0], buffers(f32, n=65)[0]),
}


def check(launcher, name, **told):
    arguments = CASES[name]()
    expected = launcher.bare_run(name, *arguments, grid=2, block=32)
    launcher.run(name, *arguments, grid=2, block=32, **told)
    assert not launcher.reports and launcher.count() == 0
    for argument, want in zip([a for a in arguments if isinstance(a, Buffer)], expected, strict=True):
        assert argument.array.tobytes() == want.tobytes()


@pytest.mark.parametrize("name", CASES)
def test_same_bits_and_no_reports(kernels, name):
    check(kernels, name)


@pytest.mark.parametrize("name", ["axpy", "swapped", "bytes", "tile", "generic", "handed", "switched"])
def test_same_without_optimization(debug_kernels, name):
    check(debug_kernels, name)


@pytest.mark.parametrize("name", CASES)
def test_same_where_no_range_is_told(kernels, name):
    check(kernels, name, known=[])


@pytest.mark.parametrize("name", CASES)
def test_same_where_nothing_is_known(kernels, name):
    check(kernels, name, known=[], table=False, flags=int(abi.Flag.PERMISSIVE))


def test_recursion_is_left_out(kernels, debug_kernels):
    for launcher in (kernels, debug_kernels):
        (name,) = launcher.result.left_out
        assert name == "recursive"
        assert "which is recursive" in launcher.result.left_out[name]


def test_struct_by_value(kernels):
    names = kernels.result.kernels["by_value"]
    assert [(root.parameter, root.offset) for root in names.roots] == [(0, 16), (0, 0)]


def test_dynamic_shared_memory(kernels):
    arguments = (*buffers(f32, f32), i32(32))
    expected = kernels.bare_run("dynamic", *arguments, grid=2, block=32, shared=32 * 12)
    kernels.run("dynamic", *arguments, grid=2, block=32, shared=32 * 12)
    assert kernels.count() == 0
    assert arguments[0].array.tobytes() == expected[0].tobytes()
