"""Double the elements of an array on the GPU. Two classic bugs are in it."""

import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

scale = SourceModule("""
__global__ void scale(float *x, float factor, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] *= factor;
}
""").get_function("scale")

x = np.arange(1000, dtype=np.float32)
x_gpu = cuda.mem_alloc(x.nbytes)
cuda.memcpy_htod(x_gpu, x)
scale(x_gpu, np.float32(2), block=(256, 1, 1), grid=(4, 1))

doubled = np.empty(x.size)
try:
    cuda.memcpy_dtoh(doubled, x_gpu)
except cuda.Error as error:
    print("PyCUDA says:", error)
