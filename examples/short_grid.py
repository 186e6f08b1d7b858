"""Copy an array on the GPU, with one block of threads where sixty-four are needed.

Sixteen elements are copied; the other 1008 are whatever was in that memory before.
"""

import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

copy = SourceModule("""
__global__ void copy(const float *a, float *b, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        b[i] = a[i];
}
""").get_function("copy")

a = np.arange(1024, dtype=np.float32)
b = np.empty_like(a)
a_gpu = cuda.mem_alloc(a.nbytes)
b_gpu = cuda.mem_alloc(b.nbytes)
cuda.memcpy_htod(a_gpu, a)
copy(a_gpu, b_gpu, np.int32(a.size), block=(16, 1, 1), grid=(1, 1))
cuda.memcpy_dtoh(b, b_gpu)
print("equal elements:", int((a == b).sum()), "of", a.size)
