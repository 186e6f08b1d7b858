"""Another library changes the current context behind PyCUDA's back."""

import ctypes

import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

library = ctypes.CDLL("libcuda.so.1")
primary = cuda.Device(0).retain_primary_context()
SOURCE = "__global__ void f(float *x) { x[threadIdx.x] = 2; }"


def make_current(context):
    """Do what a library does that works in the primary context."""
    assert library.cuCtxSetCurrent(ctypes.c_void_p(context.handle)) == 0


kernel = SourceModule(SOURCE).get_function("f")
memory = cuda.mem_alloc(128)
kernel(memory, block=(32, 1, 1))

make_current(primary)
make_current(pycuda.autoinit.context)
kernel(memory, block=(32, 1, 1))

make_current(primary)
cuda.memset_d32(memory, 1, 32)
try:
    kernel(memory, block=(32, 1, 1))  # finds PG606
except cuda.Error as error:
    print(type(error).__name__)
theirs = SourceModule(SOURCE + " ").get_function("f")
theirs(memory, block=(32, 1, 1))
make_current(pycuda.autoinit.context)
kernel(memory, block=(32, 1, 1))
print("done")
