"""Arrays of both orders, their transposed views, and words seen as other words."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule

square = np.arange(9, dtype=np.float32).reshape(3, 3)
for host in (square, np.asfortranarray(square)):
    device = gpuarray.to_gpu(host)
    print(np.array_equal(device.get(), square), np.array_equal(device.T.get(), square.T))

into_rows = np.empty((3, 3), np.float32)
cuda.memcpy_dtoh(into_rows, device.gpudata)  # finds PG408

read = SourceModule("__global__ void read(float *x, int n) { if (threadIdx.x < n) x[threadIdx.x] += 1; }")
read = read.get_function("read")
words = cuda.to_device(np.frombuffer(square.tobytes(), np.uint8))
read(words, np.int32(9), block=(9, 1, 1))
print(cuda.from_device(words, (3, 3), np.float32))
doubles = cuda.to_device(np.arange(9.0))
read(doubles, np.int32(9), block=(9, 1, 1))  # finds PG403
