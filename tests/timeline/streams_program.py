"""Two streams; once, the second does not wait for the first. Then a grid that is too short."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

step = SourceModule("""
__global__ void step(float *x, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] = x[i] * 2.0f + 1.0f;
}
""").get_function("step")
n = 4096
a = cuda.pagelocked_empty(n, np.float32)
a[:] = 1
b = cuda.pagelocked_empty(n, np.float32)
first, second = cuda.Stream(), cuda.Stream()
ready = cuda.Event()
a_gpu = cuda.mem_alloc(a.nbytes)
b_gpu = cuda.mem_alloc(a.nbytes)
for round in range(3):
    cuda.memcpy_htod_async(a_gpu, a, first)
    step(a_gpu, np.int32(n), block=(256, 1, 1), grid=(n // 256, 1), stream=first)
    ready.record(first)
    if round != 1:
        second.wait_for_event(ready)
    cuda.memcpy_dtod_async(b_gpu, a_gpu, a.nbytes, second)
    cuda.memcpy_dtoh_async(b, b_gpu, second)
    second.synchronize()
    first.synchronize()
c_gpu = cuda.mem_alloc(4000)
c = np.empty(1000, np.float32)
cuda.memset_d32(c_gpu, 0, 1000)
step(c_gpu, np.int32(1000), block=(256, 1, 1), grid=(3, 1))
cuda.memcpy_dtoh(c, c_gpu)
c_gpu.free()
