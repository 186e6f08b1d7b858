"""Multiply an array by a number that is passed in the wrong type.

The kernel takes a float, ``np.float64`` packs eight bytes: the parameter after it moves, and the
number that arrives is not the one that was sent.
"""

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

x = np.ones(256, dtype=np.float32)
factor = np.float64(2.5)
x_gpu = cuda.mem_alloc(x.nbytes)
cuda.memcpy_htod(x_gpu, x)
try:
    scale(x_gpu, factor, np.int32(x.size), block=(256, 1, 1), grid=(1, 1))
    cuda.memcpy_dtoh(x, x_gpu)
    print("1.0 times 2.5 is", x[0])
except cuda.Error as error:
    print("launch failed:", error)
