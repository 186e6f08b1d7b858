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

columns = np.asfortranarray(square)
rows = gpuarray.empty((3, 3), np.float32)
rows.set(square.T)  # finds PG408
rows.set_async(columns)  # finds PG408
rows.set(square)
rows.get(columns)  # finds PG408
rows.T.get(columns)
rows.T.set(columns)
rows.set(np.asfortranarray(np.ones((3, 3), np.float32)))  # all alike
rows.set(np.asfortranarray(np.eye(3, dtype=np.float32)))  # symmetric
rows[1:, :2].set(np.ascontiguousarray(square[1:, :2]))
print(rows.get())

read = SourceModule("__global__ void read(float *x, int n) { if (threadIdx.x < n) x[threadIdx.x] += 1; }")
read = read.get_function("read")
words = cuda.to_device(np.frombuffer(square.tobytes(), np.uint8))
read(words, np.int32(9), block=(9, 1, 1))
print(cuda.from_device(words, (3, 3), np.float32))
doubles = cuda.to_device(np.arange(9.0))
read(doubles, np.int32(9), block=(9, 1, 1))  # finds PG403
