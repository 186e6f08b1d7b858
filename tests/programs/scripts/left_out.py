"""Kernels that can't be watched: the arguments of a launch tell which buffers are too small for it."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

mod = SourceModule("""
__device__ int depth(int n) { return n < 2 ? n : depth(n - 1) + depth(n - 2); }
__global__ void fill(int *x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = depth(i % 5);
}
""")
fill = mod.get_function("fill")
result = np.empty(100, np.int32)

small = cuda.mem_alloc(100 * 4 - 8)
fill(small, np.int32(100), block=(64, 1, 1), grid=(2, 1))  # finds PG208
cuda.memcpy_dtoh(result[:98], small)
print(result[:98].sum())

# as large as it must be, a part of a larger one, and a bound that no thread gets to
right = cuda.mem_alloc(100 * 4)
fill(right, np.int32(100), block=(64, 1, 1), grid=(2, 1))
whole = cuda.mem_alloc(200 * 4)
fill(np.uintp(int(whole) + 400), np.int32(100), block=(64, 1, 1), grid=(2, 1))
fill(right, np.int32(1 << 20), block=(50, 1, 1), grid=(2, 1))
cuda.memcpy_dtoh(result, right)
print(result.sum())
cuda.memcpy_dtoh(result, int(whole) + 400)
print(result.sum())
