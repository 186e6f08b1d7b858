"""Measures what the guard adds to a program whose kernels take long: wall time as a multiple of the bare one.

The program launches a kernel 50 times on a stream, waits and copies the result back. It is run bare,
recorded, and recorded with instrumented kernels in turn; the best of several rounds counts. The CPU device
works beside the host, as a GPU does, so there have to be two idle cores.
Run ``python benchmarks/long_kernels.py [--device cpu|gpu] [--microseconds N] [--rounds N]``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from host_overhead import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

LAUNCHES = 50
WAYS = ("bare", "recorded", "kernels")

SOURCE = """
__global__ void work(float *x, int rounds)
{
    float value = x[threadIdx.x];
    for (int i = 0; i < rounds; i++) value = value * 0.999f + 0.001f;
    x[threadIdx.x] = value;
}
"""


def program() -> Callable[[int], None]:
    """Return a program that works so many rounds in each kernel."""
    import pycuda.driver as cuda
    from pycuda import gpuarray
    from pycuda.compiler import SourceModule

    work = SourceModule(SOURCE).get_function("work")
    x = gpuarray.to_gpu(np.ones(32, np.float32))
    stream = cuda.Stream()

    def run(rounds: int) -> None:
        for _ in range(LAUNCHES):
            work(x, np.int32(rounds), block=(32, 1, 1), stream=stream)
        stream.synchronize()
        x.get()

    return run


def rounds_for(microseconds: float) -> int:
    """Return how many rounds make a kernel take that long."""
    run = program()
    run(1)
    taken = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        run(100_000)
        taken = min(taken, time.perf_counter() - start)
    return max(int(100_000 * microseconds / (1e6 * taken / LAUNCHES)), 1)


def measure(device: str, rounds: int, times: int) -> dict[str, float]:
    """Return the best wall time of the program each way, in seconds."""
    best: dict[str, Any] = dict.fromkeys(WAYS, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(times):
            for way in WAYS:
                with guarded(way, device, folder):
                    run = program()
                    run(1)
                    for _ in range(3):
                        start = time.perf_counter()
                        run(rounds)
                        best[way] = min(best[way], time.perf_counter() - start)
                    del run
    return best


def main() -> None:
    """Measure and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--microseconds", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    if chosen.device == "cpu":
        from pycuda_guard import cpu

        cpu.load(cpu.DeviceOptions(schedule="eager"))
    import pycuda.autoinit  # noqa: F401

    best = measure(chosen.device, rounds_for(chosen.microseconds), chosen.rounds)
    each = 1e6 * best["bare"] / LAUNCHES
    print(
        f"bare: {each:.0f} µs a kernel; recorded: {best['recorded'] / best['bare']:.3f} times that, "
        f"with instrumented kernels {best['kernels'] / best['bare']:.3f}"
    )


if __name__ == "__main__":
    main()
