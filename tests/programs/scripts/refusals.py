"""Calls that PyCUDA refuses, in programs that count on it."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule

module = SourceModule("__global__ void fill(float *x, int n) { if (threadIdx.x < n) x[threadIdx.x] = n; }")
fill = module.get_function("fill")
x = gpuarray.zeros(8, np.float32)


def launch(*arguments):
    """Convert plain numbers only where they have to be."""
    try:
        fill(*arguments, block=(8, 1, 1))
    except TypeError:
        fill(*[np.int32(a) if isinstance(a, int) else a for a in arguments], block=(8, 1, 1))


def upload(target, array):
    """Take a GPUArray or device memory."""
    try:
        cuda.memcpy_htod(target, array)
    except TypeError:
        cuda.memcpy_htod(target.gpudata, array)


def expect(error, call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except error as caught:
        print(type(caught).__name__)


launch(x, 8)
upload(x, np.ones(8, np.float32))
print(x.get())
fill.prepare("Pi")
expect(Exception, fill.prepared_call, (1, 1), (8, 1, 1), x.gpudata)
expect(TypeError, cuda.memcpy_dtoh, np.empty(8, np.float32), np.uintp(x.ptr))
expect(ValueError, cuda.memcpy_htod, x.gpudata, np.zeros((8, 9), np.float64)[:, 1])
expect(cuda.Error, cuda.Event().time_since, cuda.Event())
expect(cuda.LogicError, fill, x, np.int32(8), block=(4096, 1, 1))
