"""A module linked of two parts that use one another's functions and variables."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import compile

SUMS = """
__device__ int offsets[4] = {1, 2, 3, 4};
extern __device__ int scaled(const int *x, int i);
static __device__ __noinline__ int own(int i) { return offsets[i % 4]; }
extern "C" __global__ void sums(const int *x, int *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = scaled(x, i) + own(i);
}
"""
SCALES = """
extern __device__ int offsets[4];
static __device__ __noinline__ int own(int i) { return 10 * offsets[i % 4]; }
__device__ int scaled(const int *x, int i) { return x[i] * own(i); }
extern "C" __global__ void scales(int *x, int n) {
    if (threadIdx.x < n) x[threadIdx.x] = scaled(x, threadIdx.x);
}
"""
options = ["-rdc=true", "-lineinfo"]
linker = cuda.Linker()
for name, source in (("sums.ptx", SUMS), ("scales.ptx", SCALES)):
    ptx = compile(source, options=options, no_extern_c=True, target="ptx")
    linker.add_data(ptx, cuda.jit_input_type.PTX, name)
module = linker.link_module()
x = gpuarray.to_gpu(np.arange(8, dtype=np.int32))
y = gpuarray.zeros(8, np.int32)
sums, scales = module.get_function("sums"), module.get_function("scales")
sums(x, y, np.int32(8), block=(32, 1, 1))
print(y)
scales(x, np.int32(8), block=(32, 1, 1))
print(x, module.get_global("offsets")[1])
short = cuda.mem_alloc(16)
cuda.memset_d32(short, 1, 4)
scales(short, np.int32(8), block=(4, 1, 1))
cuda.Context.synchronize()
scales(short, np.int32(8), block=(8, 1, 1))  # finds PG202
cuda.Context.synchronize()
