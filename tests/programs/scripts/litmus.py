"""What orders work on the device and what does not: for each rule of CUDA a pair that is right or wrong.

What is printed does not depend on the wrong ones.
"""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule

N = 1024
SOURCE = """
__global__ void fill(float *x, float value) { x[blockIdx.x * blockDim.x + threadIdx.x] = value; }
__global__ void copy(float *to, const float *x)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    to[i] = x[i];
}
"""
module = SourceModule(SOURCE)
fill, copy = module.get_function("fill"), module.get_function("copy")
shape = {"block": (128, 1, 1), "grid": (N // 128, 1)}
ordered, free, other = cuda.Stream(), cuda.Stream(1), cuda.Stream(1)
x, y, z = (gpuarray.zeros(N, np.float32).gpudata for _ in range(3))
host = np.zeros(N, np.float32)
pinned, result = cuda.pagelocked_zeros(N, np.float32), cuda.pagelocked_zeros(N, np.float32)
cuda.Context.synchronize()


def writes(stream=None):
    fill(x, np.float32(1), stream=stream, **shape)


def done():
    cuda.Context.synchronize()


# a launch: its stream, and the default stream with blocking ones
writes(free)
copy(y, x, stream=free, **shape)
done()
writes(ordered)
copy(y, x, **shape)
done()
writes(free)
copy(y, x, stream=other, **shape)  # finds PG103
done()
writes(ordered)
copy(y, x, stream=free, **shape)  # finds PG103
done()

# memcpy_htod from pageable memory is on the default stream; from page-locked memory it is over on return
cuda.memcpy_htod(x, host)
copy(y, x, stream=ordered, **shape)
done()
cuda.memcpy_htod(x, pinned)
copy(y, x, stream=free, **shape)
done()

# memcpy_dtoh waits for the default stream and the blocking ones alone
writes()
cuda.memcpy_dtoh(host, x)
print(host.sum())
writes(ordered)
cuda.memcpy_dtoh(pinned, x)
print(pinned.sum())
writes(free)
cuda.memcpy_dtoh(host, x)  # finds PG103
done()

# within the device: asynchronous, on the default stream
cuda.memcpy_dtod(y, x, 4 * N)
copy(z, y, stream=ordered, **shape)
done()
cuda.memcpy_dtod(y, x, 4 * N)
copy(z, y, stream=free, **shape)  # finds PG103
done()
rows = cuda.Memcpy2D()
rows.set_src_device(x)
rows.set_dst_device(y)
rows.width_in_bytes = rows.src_pitch = rows.dst_pitch = N
rows.height = 4
rows(True)
copy(z, y, stream=free, **shape)  # finds PG103
done()

# copies that go on while the host does, on their stream
cuda.memcpy_htod_async(x, pinned, free)
copy(y, x, stream=free, **shape)
done()
cuda.memcpy_htod_async(x, pinned, free)
copy(y, x, stream=other, **shape)  # finds PG103
done()
cuda.memcpy_dtod_async(y, x, 4 * N, free)
copy(z, y, stream=other, **shape)  # finds PG103
done()
writes(free)
cuda.memcpy_dtoh_async(result, x, other)  # finds PG103
done()

# memsets
cuda.memset_d32(x, 0, N)
copy(y, x, stream=ordered, **shape)
done()
cuda.memset_d32(x, 0, N)
copy(y, x, stream=free, **shape)  # finds PG103
done()
cuda.memset_d32_async(x, 0, N, free)
copy(y, x, stream=free, **shape)
done()
cuda.memset_d32_async(x, 0, N, free)
copy(y, x, stream=other, **shape)  # finds PG103
done()

# memory that the host reads without a copy
managed = cuda.managed_zeros(N, np.float32, mem_flags=cuda.mem_attach_flags.GLOBAL)
fill(managed, np.float32(2), **shape)
done()
print(managed.sum())
fill(managed, np.float32(2), **shape)
managed.sum()  # finds PG101
done()

# nothing that waits: free(), allocations, loading a module, the end of a stream
spare = cuda.mem_alloc(64)
writes(free)
spare.free()
copy(y, x, stream=other, **shape)  # finds PG103
done()
writes(free)
spare = cuda.mem_alloc(64), cuda.pagelocked_empty(16, np.float32)
copy(y, x, stream=other, **shape)  # finds PG103
done()
writes(free)
again = SourceModule(SOURCE)
copy(y, x, stream=other, **shape)  # finds PG103
done()
short = cuda.Stream(1)
writes(short)
del short
copy(y, x, stream=other, **shape)  # finds PG103
done()

# events: what they captured last, and nothing where they were never recorded
event, early, never = cuda.Event(), cuda.Event(), cuda.Event()
writes(free)
event.record(free)
other.wait_for_event(event)
copy(y, x, stream=other, **shape)
done()
early.record(free)
writes(free)
other.wait_for_event(early)
copy(y, x, stream=other, **shape)  # finds PG103
done()
early.record(free)
writes(free)
early.record(free)
other.wait_for_event(early)
copy(y, x, stream=other, **shape)
done()
writes(free)
other.wait_for_event(never)  # finds PG107
copy(y, x, stream=other, **shape)  # finds PG103
done()

# the host waits, for a stream or an event, or by asking until it is done
writes(free)
free.synchronize()
copy(y, x, stream=other, **shape)
done()
writes(free)
event.record(free).synchronize()
copy(y, x, stream=other, **shape)
done()
writes(free)
while not free.is_done():
    pass
copy(y, x, stream=other, **shape)
done()
writes(free)
event.record(free)
while not event.query():
    pass
copy(y, x, stream=other, **shape)
done()

# In, Out and InOut copy on the default stream, whatever the stream of the launch
fill(cuda.Out(host), np.float32(3), **shape)
print(host.sum())
fill(cuda.Out(host), np.float32(3), stream=free, **shape)  # finds PG103
done()
