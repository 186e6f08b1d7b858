"""What the page has pictures of: streams in the wrong order, a short grid, a race within a block."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

module = SourceModule("""
__global__ void scale(float *x, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] = 2.0f * x[i] + 1.0f;
}

__global__ void fill(float *image, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        image[i] = i;
}

__global__ void turn(float *x)
{
    __shared__ float line[64];
    line[threadIdx.x] = x[threadIdx.x];
    x[threadIdx.x] = line[(threadIdx.x + 1) % 64];
}
""")
scale, fill, turn = (module.get_function(name) for name in ("scale", "fill", "turn"))

n = 1 << 14
samples = cuda.pagelocked_empty(n, np.float32)
samples[:] = 1
result = cuda.pagelocked_empty(n, np.float32)
load, work = cuda.Stream(), cuda.Stream()
loaded = cuda.Event()
samples_gpu = cuda.mem_alloc(samples.nbytes)
result_gpu = cuda.mem_alloc(samples.nbytes)
for frame in range(5):
    cuda.memcpy_htod_async(samples_gpu, samples, load)
    scale(samples_gpu, np.int32(n), block=(256, 1, 1), grid=(n // 256, 1), stream=load)
    loaded.record(load)
    if frame != 3:
        work.wait_for_event(loaded)
    cuda.memcpy_dtod_async(result_gpu, samples_gpu, samples.nbytes, work)
    scale(result_gpu, np.int32(n), block=(256, 1, 1), grid=(n // 256, 1), stream=work)
    cuda.memcpy_dtoh_async(result, result_gpu, work)
    work.synchronize()
    load.synchronize()

image = np.empty((40, 60), np.float32)
image_gpu = cuda.mem_alloc(image.nbytes)
fill(image_gpu, np.int32(image.size), block=(256, 1, 1), grid=(image.size // 512, 1))
cuda.memcpy_dtoh(image, image_gpu)

line = np.ones(1000, np.float32)
line_gpu = cuda.mem_alloc(line.nbytes)
cuda.memcpy_htod(line_gpu, line)
scale(line_gpu, np.int32(1000), block=(256, 1, 1), grid=(1000 // 256, 1))
cuda.memcpy_dtoh(line, line_gpu)
image_gpu.free()

turn(result_gpu, block=(64, 1, 1))
cuda.memcpy_dtoh(result, result_gpu)
