"""What looks like a touch in flight and is none. Nothing may be told."""

import concurrent.futures
import ctypes
import os
import tempfile
import threading

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule

N = 8192
module = SourceModule("""
__global__ void fill(float *x) { x[blockIdx.x * blockDim.x + threadIdx.x] = 7; }
__global__ void half(float *x) { x[threadIdx.x] = 7; }
__global__ void flag(volatile int *done) { *done = 1; __threadfence_system(); }
__global__ void count(int *done) { atomicAdd(done, 1); }
""")
fill = module.get_function("fill")
shape = {"block": (256, 1, 1), "grid": (N // 256, 1)}
x_gpu = gpuarray.to_gpu(np.arange(N, dtype=np.float32)).gpudata
stream, other = cuda.Stream(), cuda.Stream()
x = cuda.pagelocked_zeros(N, np.float32)


def down(array=x):
    cuda.memcpy_dtoh_async(array, x_gpu, stream)


def up(array=x):
    cuda.memcpy_htod_async(x_gpu, array, stream)


# every way to wait
down()
stream.synchronize()
assert x.sum() == N * (N - 1) / 2
down()
cuda.Context.synchronize()
x[:] = 1
down()
event = cuda.Event().record(stream)
event.synchronize()
x.sum()
down()
while not stream.is_done():
    pass
x.sum()
down()
event.record(stream)
while not event.query():
    pass
x.sum()
down()
event.record(stream)
other.wait_for_event(event)
other.synchronize()
x.sum()
begin, end = cuda.Event(), cuda.Event()
begin.record(stream)
down()
end.record(stream)
end.synchronize()
end.time_since(begin)
x.sum()
down()
back = np.empty(N, np.float32)
cuda.memcpy_dtoh(back, x_gpu)  # waits for all blocking streams
x.sum()
down()
gpuarray.to_gpu(np.ones(16, np.float32)).get()
x.sum()

# reading what the device reads
up()
x.sum()
with tempfile.TemporaryFile() as file:
    x.tofile(file)
stream.synchronize()

# chunks: work on one while the others are in flight
chunk = N // 4
events = [cuda.Event() for _ in range(4)]
for i in range(4):
    part = slice(i * chunk, (i + 1) * chunk)
    cuda.memcpy_dtoh_async(x[part], int(x_gpu) + part.start * 4, stream)
    events[i].record(stream)
for i in range(4):
    events[i].synchronize()
    assert x[i * chunk : (i + 1) * chunk][0] == i * chunk
    x[i * chunk : (i + 1) * chunk] = 0

# a ring whose first lap waits for events that were never recorded
ring = [cuda.pagelocked_zeros(chunk, np.float32) for _ in range(2)]
ready = [cuda.Event() for _ in ring]
for i in range(7):
    ready[i % 2].synchronize()
    ring[i % 2][:] = i
    cuda.memcpy_htod_async(x_gpu, ring[i % 2], stream)
    ready[i % 2].record(stream)
stream.synchronize()

# next to what is in flight: parts of pages, rows, neighbours, files
down(x[100:5000])
x[:100] = 1
x[5000:] = 1
with tempfile.TemporaryFile() as file:
    x[:100].tofile(file)
    file.seek(0)
    file.readinto(x[5000:5100])
stream.synchronize()
neighbours = [cuda.pagelocked_zeros(10, np.float32) for _ in range(4)]
down(neighbours[1])
neighbours[0][:] = neighbours[2][:] = 1
neighbours[3].sum()
down(neighbours[3][:4])
neighbours[3][4:] = 1
stream.synchronize()
copy = cuda.Memcpy2D()
copy.set_src_device(x_gpu)
copy.set_dst_host(x)
copy.width_in_bytes, copy.height, copy.src_pitch, copy.dst_pitch = 4096, 4, 4096, 8192
copy(stream)
x[1024:2048] = 1
x[7168:] = 1
stream.synchronize()

# pageable memory, and copies that wait
pageable = np.zeros(N, np.float32)
cuda.memcpy_dtoh_async(pageable, x_gpu, stream)
stream.synchronize()
cuda.memcpy_dtoh(x, x_gpu)
x[:] = 1
cuda.memcpy_htod(x_gpu, x)
x[:] = 2

# kernels on memory that the host shares
mapped = cuda.pagelocked_zeros(N, np.float32, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
pointer = np.intp(mapped.base.get_device_pointer())
fill(pointer, **shape)
cuda.Context.synchronize()
assert (mapped == 7).all()
module.get_function("half")(pointer, block=(256, 1, 1))
mapped[4096:] = 1
cuda.Context.synchronize()
managed = cuda.managed_zeros(N, np.float32, mem_flags=cuda.mem_attach_flags.GLOBAL)
module.get_function("half")(np.intp(managed.ctypes.data), block=(256, 1, 1), stream=stream)
managed[4096:] = 1
stream.synchronize()
assert (managed[:256] == 7).all()
managed[:] = 2
done = cuda.pagelocked_zeros(1, np.int32, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
for name in ("flag", "count"):
    module.get_function(name)(np.intp(done.base.get_device_pointer()), block=(1, 1, 1), stream=stream)
    done[0]
    stream.synchronize()

# other threads wait, or work on something else
down()
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    pool.submit(cuda.Context.get_current)
    thread = threading.Thread(target=lambda: ring[0].sum())
    thread.start()
    thread.join()
stream.synchronize()
x.sum()

# a copy that fails uses nothing
try:
    cuda.memcpy_dtoh_async(x, "nothing", stream)
except TypeError:
    x.sum()

# memory that was freed, and its next owner
for _ in range(3):
    block = cuda.pagelocked_zeros(N, np.float32)
    cuda.memcpy_dtoh_async(block, x_gpu, stream)
    stream.synchronize()
    block[:] = 1
    block.base.free()

# a child has its parent's memory to itself
down()
child = os.fork()
if not child:
    ctypes.string_at(np.arange(4).ctypes.data, 8)
    x[:100].sum()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
stream.synchronize()
print("done")
