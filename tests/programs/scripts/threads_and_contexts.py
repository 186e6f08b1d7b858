"""Threads that each make, use and destroy contexts of their own, several times, all at once."""

import threading

import numpy as np
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

SOURCE = """
__global__ void add(float *x, int n) { if (threadIdx.x < n) x[threadIdx.x] += 1; }
"""
ROUNDS, THREADS = 4, 4

cuda.init()
device = cuda.Device(0)
results = [0.0] * THREADS


def work(number):
    """Add up what kernels in several contexts compute, one context after the other."""
    for turn in range(ROUNDS):
        context = device.make_context()
        try:
            add = SourceModule(SOURCE).get_function("add")
            x = cuda.to_device(np.full(64, number, np.float32))
            for _ in range(turn + 1):
                add(x, np.int32(64), block=(64, 1, 1))
            context.synchronize()
            results[number] += float(cuda.from_device(x, 64, np.float32).sum())
            x.free()
            del x, add
        finally:
            context.pop()
            context.detach()


threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(results)
