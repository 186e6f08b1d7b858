"""Double the elements of an array on the GPU. Two classic bugs are in it."""

import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

twice = SourceModule("""
__global__ void twice(const float *x, float *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = 2 * x[i];
}
""").get_function("twice")

x = np.arange(1000, dtype=np.float32)
x_gpu = cuda.mem_alloc(x.nbytes)
y_gpu = cuda.mem_alloc(x.nbytes)
cuda.memcpy_htod(x_gpu, x)
twice(x_gpu, y_gpu, np.int32(x.size), block=(256, 1, 1), grid=(x.size // 256, 1))

y = np.empty(x.size)
try:
    cuda.memcpy_dtoh(y, y_gpu)
except cuda.Error as error:
    print("PyCUDA says:", error)
    y = np.empty_like(x)
    cuda.memcpy_dtoh(y, y_gpu)
