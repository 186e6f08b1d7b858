"""Square numbers on a stream of their own, and read them before that stream is done.

The stream does not order itself against the default stream (flag 1, NON_BLOCKING), so neither does
the copy: it takes what is in the buffer at that moment. ``stream.synchronize()`` before it is missing.
"""

import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

square = SourceModule("""
__global__ void square(float *x, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] *= x[i];
}
""").get_function("square")

x = np.arange(4096, dtype=np.float32)
x_gpu = cuda.mem_alloc(x.nbytes)
cuda.memcpy_htod(x_gpu, x)
stream = cuda.Stream(1)
square(x_gpu, np.int32(x.size), block=(256, 1, 1), grid=(16, 1), stream=stream)
result = np.empty_like(x)
cuda.memcpy_dtoh(result, x_gpu)
print("squares of", x[:4], "are", result[:4])
