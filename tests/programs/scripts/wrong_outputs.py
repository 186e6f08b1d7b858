"""Launches with too few threads, and arrays that nobody wrote."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
import pycuda.gpuarray as gpuarray
from pycuda.compiler import SourceModule
from pycuda.elementwise import ElementwiseKernel

mod = SourceModule("""
#define X (int)(blockIdx.x * blockDim.x + threadIdx.x)
#define Y (int)(blockIdx.y * blockDim.y + threadIdx.y)
#define Z (int)(blockIdx.z * blockDim.z + threadIdx.z)
__global__ void fill(float *y, int n) { int i = X; if (i < n) y[i] = i; }
__global__ void clip(float *y, int n) { int i = X; if (i >= n) return; y[i] = fminf(y[i], 100); }
__global__ void image(unsigned char *y, int w, int h) { if (X < w && Y < h) y[Y * w + X] = 1; }
__global__ void volume(float *y, int w, int h, int d) {
    if (X < w && Y < h && Z < d) y[(Z * h + Y) * w + X] = 1;
}
__global__ void add(const float *a, const float *b, float *c, int n) {
    int i = X; if (i < n) c[i] = a[i] + b[i];
}
__global__ void copy(const float *a, float *b, int n) { int i = X; if (i < n) b[i] = a[i]; }
__global__ void count(const int *x, int *bins, int n) { int i = X; if (i < n) atomicAdd(&bins[x[i]], 1); }
__global__ void sum(const float *x, float *out, int n) {
    float s = 0;
    for (int i = 0; i < n; i++) s += x[i];
    *out = s;
}
""")
fill, clip, image, volume, add, copy, count, total = (
    mod.get_function(name) for name in ("fill", "clip", "image", "volume", "add", "copy", "count", "sum")
)
N = 1000
FEW = {"block": (256, 1, 1), "grid": (N // 256, 1)}
ALL = {"block": (256, 1, 1), "grid": (-(-N // 256), 1)}
index = np.arange(N, dtype=np.float32)

# the last elements, of a fresh array and of one with values
fresh = gpuarray.empty(N, np.float32)
fill(fresh, np.int32(N), **FEW)  # finds PG301
print(fresh.get()[:5])
filled = gpuarray.to_gpu(index)
clip(filled, np.int32(N), **FEW)  # finds PG302
print(filled.get()[-5:])
cleared = gpuarray.zeros(N, np.float32)
fill(cleared, np.int32(N), **FEW)  # finds PG302
print(cleared.get()[-5:])
twice = gpuarray.empty(N, np.float32)
fill(twice, np.int32(N), **ALL)
clip(twice, np.int32(N), **FEW)  # finds PG302
print(twice.get()[-5:])
never_read = gpuarray.to_gpu(index)
clip(never_read, np.int32(N), **FEW)  # finds PG302
del never_read

# rows, columns and slices
rows = np.zeros((50, 60), np.uint8)
image(cuda.InOut(rows), np.int32(60), np.int32(50), block=(16, 16, 1), grid=(4, 3))  # finds PG302
print(rows.sum())
tall = gpuarray.empty((300, 40), np.uint8)
image(tall, np.int32(40), np.int32(300), block=(8, 8, 1), grid=(4, 38))  # finds PG301
print(tall.get()[:, :32].sum())
painted = gpuarray.zeros((300, 40), np.uint8)
image(painted, np.int32(40), np.int32(300), block=(8, 8, 1), grid=(4, 38))  # finds PG302
print(painted.get().sum())
slices = gpuarray.empty((9, 8, 7), np.float32)
volume(slices, np.int32(7), np.int32(8), np.int32(9), block=(4, 4, 4), grid=(2, 2, 2))  # finds PG301
print(slices.get()[:8].sum())

# nobody wrote it
scratch, other = cuda.mem_alloc(4 * N), cuda.mem_alloc(4 * N)
out = np.empty(N, np.float32)
cuda.memcpy_dtoh(out, scratch)  # finds PG301
copy(scratch, other, np.int32(N), **ALL)
a_gpu, c_gpu = gpuarray.to_gpu(index), gpuarray.empty(N, np.float32)
b_gpu = gpuarray.empty(N, np.float32)
add(a_gpu, b_gpu, c_gpu, np.int32(N), **ALL)  # finds PG303
c_gpu.get()
bins = gpuarray.empty(10, np.int32)
count(gpuarray.to_gpu(np.zeros(N, np.int32)), bins, np.int32(N), **ALL)  # finds PG303
bins.get()
plus_one = ElementwiseKernel("float *y", "y[i] += 1", "plus_one")
plus_one(gpuarray.empty(N, np.float32))  # finds PG303

# a kernel uses what another one left out
part, result = gpuarray.empty(N, np.float32), gpuarray.empty(1, np.float32)
fill(part, np.int32(N), **FEW)
total(part, result, np.int32(N), block=(1, 1, 1))  # finds PG303
result.get()
