"""Ways to launch and to pass arguments that only look wrong."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule

module = SourceModule("""
#define ARGUMENTS float *x, int n
// __global__ void fill(double only) {}
__global__ void fill(ARGUMENTS) { if (threadIdx.x < n) x[threadIdx.x] = n; }
__global__ void turn(ARGUMENTS) {
    extern __shared__ float s[];
    s[threadIdx.x] = x[threadIdx.x] + n;
    __syncthreads();
    x[threadIdx.x] = s[threadIdx.x ^ 1];
}
__global__ void choose(bool first, int n, float *x) { if (first) x[0] = n; }
""")
fill, choose = module.get_function("fill"), module.get_function("choose")
x = gpuarray.zeros(8, np.float32)
shape = {"block": (8, 1, 1)}
fill(x, np.int32(8), **shape)
fill(np.intp(x.ptr + 4), np.uint32(7), **shape)
choose(np.int32(1), np.int32(5), x, block=(1, 1, 1))  # the rest of the number is padding
fill._set_block_shape(4, 1, 1)
fill._param_set_size(12)
fill._param_setv(0, np.uint64(x.ptr).tobytes())
fill._param_seti(8, 3)
fill._launch_grid(1, 1)
print(x.get())
turn = module.get_function("turn")
fresh = cuda.mem_alloc(32)  # whose contents the kernel has to be watched closely for
cuda.memcpy_htod(fresh, np.arange(7, dtype=np.float32))
cuda.memcpy_htod(int(fresh) + 28, np.float32(7))
for array in (x.gpudata, fresh):
    turn._set_block_shape(8, 1, 1)
    turn._set_shared_size(32)
    turn._param_set_size(12)
    turn._param_setv(0, np.uint64(int(array)).tobytes())
    turn._param_seti(8, 3)
    turn._launch_grid(1, 1)
    print(cuda.from_device(array, 8, np.float32))
with np.errstate(all="ignore"):
    fill(x, np.float32(3), **shape)  # finds PG401
fill(x, **shape)  # finds PG402
cuda.Context.synchronize()
