"""Kernels that leave their arrays a little, which no device objects to, and shared memory nobody wrote."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
import pycuda.gpuarray as gpuarray
from pycuda.compiler import SourceModule

mod = SourceModule("""
#define X (int)(blockIdx.x * blockDim.x + threadIdx.x)
__global__ void twice(float *y) { y[X] *= 2; }
__global__ void fill(float *y, int n) { int i = X; if (i < n) y[i] = i; }
__global__ void stride(float *y, int n) { for (int i = X; i < n; i += gridDim.x * blockDim.x) y[i] = i; }
__global__ void blur(const float *x, float *y, int n) {
    int i = X;
    if (i < n - 1) y[i] = x[i - 1] + x[i] + x[i + 1];
}
__global__ void bins(const int *x, int *bins, int n) { int i = X; if (i < n) atomicAdd(&bins[x[i]], 1); }
__global__ void neighbours(const float *x, float *y) {
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t + 1] = x[t];
    __syncthreads();
    y[t] = s[t] + s[t + 1];
}
__global__ void total(const int *x, int *out) {
    __shared__ int sum;
    atomicAdd(&sum, x[threadIdx.x]);
    __syncthreads();
    if (threadIdx.x == 0) *out = sum;
}
""")
twice, fill, stride, blur, bins, neighbours, total = (
    mod.get_function(name) for name in ("twice", "fill", "stride", "blur", "bins", "neighbours", "total")
)
N = 1000
FOUR = {"block": (256, 1, 1), "grid": (4, 1)}
index = np.arange(N, dtype=np.float32)

y_gpu = gpuarray.to_gpu(index)
twice(y_gpu, **FOUR)  # finds PG202
print(y_gpu.get()[-3:])
for kernel in (fill, stride):
    short = cuda.mem_alloc(4 * N)
    kernel(short, np.int32(N + 24), **FOUR)  # finds PG202
    y = np.empty(N, np.float32)
    cuda.memcpy_dtoh(y, short)
    print(y[-3:])
    del short
both = cuda.mem_alloc(2 * 4 * N)  # the neighbour is in the same allocation: right
fill(both, np.int32(N + 24), **FOUR)
x_gpu, blurred = gpuarray.to_gpu(index), gpuarray.zeros(N, np.float32)
blur(x_gpu, blurred, np.int32(N), **FOUR)  # finds PG202
print(blurred.get()[1:4])
values = np.arange(N, dtype=np.int32) % 11
counts = gpuarray.zeros(10, np.int32)
bins(gpuarray.to_gpu(values), counts, np.int32(N), **FOUR)  # finds PG202
print(counts.get())
row = gpuarray.to_gpu(index[:64])
out = gpuarray.empty(64, np.float32)
neighbours(row, out, block=(64, 1, 1))  # finds PG504 # finds PG505
one = gpuarray.empty(1, np.int32)
total(gpuarray.to_gpu(np.ones(64, np.int32)), one, block=(64, 1, 1))  # finds PG505
