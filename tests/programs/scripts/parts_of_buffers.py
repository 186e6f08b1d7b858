"""Kernels that work on a part of a buffer while a copy of another part, or of the same, is under way."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

SOURCE = """
__global__ void rows(float *image, int width, int first, int last) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = first + blockIdx.y * blockDim.y + threadIdx.y;
    if (x < width && y < last) image[y * width + x] = y;
}
__global__ void part(float *x, int first, int last) {
    int i = first + blockIdx.x * blockDim.x + threadIdx.x;
    if (i < last) x[i] = i;
}
__global__ void column(float *image, int width, int height, int at) {
    int y = blockIdx.x * blockDim.x + threadIdx.x;
    if (y < height) image[y * width + at] = y;
}
"""

module = SourceModule(SOURCE)
rows, part, column = (module.get_function(name) for name in ("rows", "part", "column"))
WIDTH, HEIGHT = 100, 64
HALF = WIDTH * HEIGHT // 2
first, second = cuda.Stream(1), cuda.Stream(1)
pinned = cuda.pagelocked_zeros(HALF, np.float32)
image = cuda.mem_alloc(4 * WIDTH * HEIGHT)
cuda.memset_d32(image, 0, WIDTH * HEIGHT)
cuda.Context.synchronize()
lower = int(image) + 4 * HALF
i32 = np.int32

# the upper half is written while the lower one is copied
rows(image, i32(WIDTH), i32(0), i32(HEIGHT // 2), block=(32, 4, 1), grid=(4, 8), stream=first)
cuda.memcpy_dtoh_async(pinned, lower, second)
cuda.Context.synchronize()
part(image, i32(0), i32(HALF), block=(128, 1, 1), grid=(25, 1), stream=first)
cuda.memcpy_dtoh_async(pinned, lower, second)
cuda.Context.synchronize()
cuda.memcpy_htod_async(lower, pinned, second)
rows(image, i32(WIDTH), i32(0), i32(HEIGHT // 2), block=(32, 4, 1), grid=(4, 8), stream=first)
cuda.Context.synchronize()

# one row too many
rows(image, i32(WIDTH), i32(0), i32(HEIGHT // 2 + 1), block=(32, 4, 1), grid=(4, 9), stream=first)
cuda.memcpy_dtoh_async(pinned, lower, second)  # finds PG103
cuda.Context.synchronize()
part(image, i32(8), i32(HALF + 1), block=(128, 1, 1), grid=(26, 1), stream=first)
cuda.memcpy_dtoh_async(pinned, lower, second)  # finds PG103
cuda.Context.synchronize()
cuda.memcpy_htod_async(lower, pinned, second)
rows(image, i32(WIDTH), i32(8), i32(HEIGHT), block=(32, 4, 1), grid=(4, 14), stream=first)  # finds PG103
cuda.Context.synchronize()

# a column is written while others are copied, row by row
copy = cuda.Memcpy2D()
copy.set_src_device(int(image))
copy.set_dst_host(pinned)
copy.width_in_bytes, copy.src_pitch, copy.dst_pitch, copy.height = 4 * 10, 4 * WIDTH, 4 * 10, HEIGHT
column(image, i32(WIDTH), i32(HEIGHT), i32(10), block=(64, 1, 1), stream=first)
copy(second)
cuda.Context.synchronize()
column(image, i32(WIDTH), i32(HEIGHT), i32(9), block=(64, 1, 1), stream=first)
copy(second)  # finds PG103
cuda.Context.synchronize()
host = np.empty(WIDTH * HEIGHT, np.float32)
cuda.memcpy_dtoh(host, image)
print(host.sum(), pinned[:3])
