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
with np.errstate(all="ignore"):
    fill(x, np.float32(3), **shape)  # finds PG401
fill(x, **shape)  # finds PG402
cuda.Context.synchronize()
