"""Several contexts and threads, wrong and right."""

import threading

import numpy as np
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

SOURCE = "__global__ void f(float *x) { x[threadIdx.x] = 2; }"


def attempt(name, call):
    """Say whether a call raises."""
    try:
        call()  # finds PG604
    except cuda.Error as error:
        print(name, "raised", type(error).__name__)
    else:
        print(name, "went through")


def in_thread(call):
    """Make a call in a thread of its own."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


cuda.init()
first = cuda.Device(0).make_context()
kernel = SourceModule(SOURCE).get_function("f")
memory, stream, event = cuda.mem_alloc(128), cuda.Stream(), cuda.Event()
kernel(memory, block=(32, 1, 1))
cuda.Context.synchronize()

second = cuda.Device(0).make_context()
other = cuda.mem_alloc(128)
attempt("launch", lambda: kernel(other, block=(32, 1, 1)))  # finds PG602
attempt("record", lambda: event.record())  # finds PG602
attempt("copy", lambda: cuda.memcpy_dtod_async(other, memory, 64, stream))  # finds PG602
own = SourceModule(SOURCE + " ").get_function("f")
attempt("stream", lambda: own(other, block=(32, 1, 1), stream=stream))  # finds PG602
attempt("plain copy", lambda: cuda.memcpy_dtod(other, memory, 64))
attempt("wait", lambda: cuda.Stream().wait_for_event(event))
attempt("synchronize", lambda: stream.synchronize())
attempt("free", memory.free)
attempt("own", lambda: own(other, block=(32, 1, 1)))
host = np.empty(32, np.float32)
cuda.memcpy_dtoh(host, other)
print(host.sum())

box = [cuda.mem_alloc(64), cuda.mem_alloc(64), cuda.mem_alloc(64)]


def pushed():
    """Free memory where its context is current."""
    second.push()
    box.pop().free()
    box.pop()
    cuda.Context.pop()


in_thread(pushed)
in_thread(lambda: box.clear())  # finds PG604
second.detach()
attempt("dead", lambda: cuda.memcpy_dtoh(host, other))  # finds PG604
attempt("dead", other.free)
first.pop()
