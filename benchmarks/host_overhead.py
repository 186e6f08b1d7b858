"""Measures what the guard adds to each call on the host, in microseconds.

Every call is timed bare, under the hooks alone (with a sink that only counts), under them and the rules,
with a recording in addition, and with instrumented kernels in addition, all in one process; the best of
several rounds counts. Measured is processor time of the calling thread: the CPU device's own threads compete
with it for the interpreter. Run ``python benchmarks/host_overhead.py [--device cpu|gpu]``.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
import timeit
from typing import TYPE_CHECKING

import numpy as np
from ways import chosen_device, guarded

from pycuda_guard import hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycuda_guard.events.model import Event
    from pycuda_guard.events.patterns import Pattern

ROUNDS = 40
CALLS = 200

KERNEL = """
__global__ void scale(float *out, const float *in, float factor, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = factor * in[i];
}
"""


class Counter:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.count = 0

    def emit(self, event: Event, pattern: Pattern | None = None) -> int:
        """Count the event."""
        self.count += 1
        return self.count

    def guard_error(self, where: str, error: BaseException) -> None:
        """Stop: a failing hook is not worth measuring."""
        raise SystemExit(f"{where}: {error!r}")


def calls() -> dict[str, Callable[[], object]]:
    """Return the calls to measure. Each looks its function up as a program does."""
    import pycuda.driver as cuda
    from pycuda import gpuarray
    from pycuda.compiler import SourceModule

    host = np.zeros(16, np.float32)
    source, target = cuda.mem_alloc(host.nbytes), cuda.mem_alloc(host.nbytes)
    cuda.memcpy_htod(source, host)
    cuda.memcpy_htod(target, host)
    array = gpuarray.to_gpu(host)
    stream, event = cuda.Stream(), cuda.Event()
    function = SourceModule(KERNEL).get_function("scale").prepare("PPfi")
    factor, count = np.float32(2), np.int32(16)
    grid, block = (1, 1), (16, 1, 1)
    in_turn = itertools.cycle(((target, source), (source, target)))
    steps = itertools.count()
    return {
        "mem_alloc + free": lambda: cuda.mem_alloc(64).free(),
        "memcpy_htod": lambda: cuda.memcpy_htod(target, host),
        "memcpy_htod_async": lambda: cuda.memcpy_htod_async(target, host, stream),
        "memcpy_dtoh": lambda: cuda.memcpy_dtoh(host, source),
        "memcpy_dtod": lambda: cuda.memcpy_dtod(target, source, 64),
        "memset_d32": lambda: cuda.memset_d32(target, 0, 16),
        "launch, __call__": lambda: function(target, source, factor, count, block=block, grid=grid),
        "launch, __call__, GPUArray": lambda: function(array, source, factor, count, block=block, grid=grid),
        "launch, prepared_call": lambda: function.prepared_call(grid, block, target, source, 2.0, 16),
        "launch, buffers swapped": lambda: function.prepared_call(grid, block, *next(in_turn), 2.0, 16),
        "launch, a number counts up": lambda: function.prepared_call(
            grid, block, target, source, next(steps), 16
        ),
        "launch, prepared_async_call": lambda: function.prepared_async_call(
            grid, block, stream, target, source, 2.0, 16
        ),
        "Context.synchronize": lambda: cuda.Context.synchronize(),
        "Stream.synchronize": lambda: stream.synchronize(),
        "Event.record": lambda: event.record(stream),
    }


#: how much of the guard there is, in the order of the columns
WAYS = ("bare", "hooks", "rules", "recorded", "kernels")


@contextlib.contextmanager
def hooked() -> Iterator[None]:
    """Put the hooks in place, with a sink that only counts."""
    hooks.install(Counter())
    yield
    hooks.uninstall()


def measure(device: str) -> dict[str, list[float]]:
    """Return microseconds of each call in each of :data:`WAYS`.

    The objects of each are made under its hooks, so that they are known there.
    """
    best: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            with hooked() if way == "hooks" else guarded(way, device, folder):
                for name, microseconds in _rounds(calls()).items():
                    best.setdefault(name, []).append(microseconds)
    return best


def _rounds(named: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the best time of each call in microseconds."""
    import pycuda.driver as cuda

    best = dict.fromkeys(named, float("inf"))
    for _ in range(ROUNDS):
        for name, call in named.items():
            call()
            cuda.Context.synchronize()
            seconds = timeit.timeit(call, timer=time.thread_time, number=CALLS)
            cuda.Context.synchronize()
            best[name] = min(best[name], 1e6 * seconds / CALLS)
    return best


def main() -> None:
    """Measure and print the table."""
    device = chosen_device(__doc__)
    print(f"{'call':30}" + "".join(f"{way:>10}" for way in WAYS))
    for name, (bare, *others) in measure(device).items():
        print(f"{name:30}{bare:10.2f}" + "".join(f"{taken - bare:10.2f}" for taken in others))


if __name__ == "__main__":
    main()
