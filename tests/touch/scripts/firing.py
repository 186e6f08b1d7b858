"""Touches in flight. Each marked line must be told, and nothing else."""

import threading

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule

N = 8192
module = SourceModule("""
__global__ void fill(float *x) { x[blockIdx.x * blockDim.x + threadIdx.x] = 7; }
__global__ void total(const float *x, float *sum) { atomicAdd(sum, x[blockIdx.x * 256 + threadIdx.x]); }
""")
fill, total = module.get_function("fill"), module.get_function("total")
shape = {"block": (256, 1, 1), "grid": (N // 256, 1)}
x_gpu = gpuarray.to_gpu(np.ones(N, np.float32)).gpudata
stream = cuda.Stream()
x = cuda.pagelocked_zeros(N, np.float32)
y = cuda.pagelocked_zeros(N, np.float32)


def down(array=x, **keywords):
    stream.synchronize()
    cuda.memcpy_dtoh_async(array, x_gpu, stream)


def up(array=x):
    stream.synchronize()
    cuda.memcpy_htod_async(x_gpu, array, stream)


# in Python and in C
down()
x.sum()  # PG101
down()
x[5]  # PG101
down()
x[1000:1001].copy()  # PG101
down()
y + x  # PG101
down()
bytes(memoryview(x))  # PG101
down()
np.copyto(y, x)  # PG101
down()
x.tolist()  # PG101
down()
(x == 1).all()  # PG101
down()
x[:] = 0  # PG102
down()
x[-1] += 1  # PG101
up()
x[7] = 1  # PG102
up()
x[:] = y  # PG102
up()
np.multiply(y, 2, out=x)  # PG102
up()
x.fill(0)  # PG102

# other calls
stream.synchronize()
gpuarray.to_gpu(np.ones(N, np.float32)).get_async(stream, x)
x.max()  # PG101
stream.synchronize()
gpuarray.empty(N, np.float32).set_async(x, stream)
x[0] = 1  # PG102
stream.synchronize()
cuda.memcpy_dtoh_async(x, x_gpu)
x.min()  # PG101
cuda.Context.synchronize()

copy = cuda.Memcpy2D()
copy.set_src_device(x_gpu)
copy.set_dst_host(x)
copy.width_in_bytes, copy.height, copy.src_pitch, copy.dst_pitch = 4096, 4, 4096, 8192
copy(stream)
x[1500]  # not in a row of the copy
x[2048]  # PG101

# kernels on memory that the host shares
stream.synchronize()
mapped = cuda.pagelocked_zeros(N, np.float32, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
pointer = np.intp(mapped.base.get_device_pointer())
fill(pointer, **shape)
mapped.sum()  # PG101
cuda.Context.synchronize()
sum_gpu = gpuarray.zeros(1, np.float32)
cuda.Context.synchronize()
total(pointer, sum_gpu.gpudata, stream=stream, **shape)
mapped[3] = 4  # PG102

managed = cuda.managed_zeros(N, np.float32, mem_flags=cuda.mem_attach_flags.GLOBAL)
fill(np.intp(managed.ctypes.data), stream=stream, **shape)
managed[-1]  # PG101
stream.synchronize()
total(np.intp(managed.ctypes.data), sum_gpu.gpudata, stream=stream, **shape)
managed.sum()
managed[:] = 1  # PG102

# parts, and several operations at once
stream.synchronize()
other = cuda.Stream()
cuda.memcpy_dtoh_async(x[: N // 2], x_gpu, stream)
cuda.memcpy_dtoh_async(x[N // 2 :], x_gpu, other)
stream.synchronize()
x[: N // 2].sum()
x[N // 2]  # PG101
other.synchronize()
up()
cuda.memcpy_htod_async(cuda.mem_alloc(4096), x[:1024], other)
stream.synchronize()
x[0] = 3  # PG102
other.synchronize()

# a download nested in an upload: the part that is waited for first is free first
up()
event = cuda.Event().record(stream)
cuda.memcpy_dtoh_async(x[2048:4096], x_gpu, stream)
x[0]
event.synchronize()
x[0] = 1
x[4096] = 1
x[3000]  # PG101

# another thread
down()
thread = threading.Thread(target=lambda: x.sum())  # PG101
thread.start()
thread.join()

# small arrays are seen on the device whose arrays have pages of their own
small = cuda.pagelocked_zeros(10, np.float32)
down(small)
small[9]  # PG101
down(small[:5])
small[0]
small[7]
stream.synchronize()

# one finding for what one synchronize mends
down()
x.sum()  # PG101
x.max()
stream.synchronize()

# a pool's blocks and a loop
from pycuda.tools import PageLockedMemoryPool  # noqa: E402

block = PageLockedMemoryPool().allocate((N,), np.float32)
for _ in range(40):
    cuda.memcpy_htod_async(x_gpu, block, stream)
    block[0] = 1  # PG102
    stream.synchronize()
