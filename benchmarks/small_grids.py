"""Measures what the guard adds to a small launch and the wait for its end, in microseconds of the wall clock.

Three kernels of about 1 000 threads, each launched and waited for: bare, recorded, with instrumented kernels
in addition, and with races looked for in addition, all in one process; the median of several rounds counts.
Run ``python benchmarks/small_grids.py [--device cpu|gpu]``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import TYPE_CHECKING

import numpy as np
from ways import chosen_device, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 30
CALLS = 20
THREADS = 1000

SOURCE = """
__global__ void scale(float *out, const float *in, float factor, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = factor * in[i];
}

__global__ void total(float *out, const float *in, float start, int n)
{
    __shared__ float part[256];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    part[threadIdx.x] = i < n ? in[i] : start;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

__global__ void count(float *out, const float *in, float width, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) atomicAdd(&out[(int)(in[i] / width) & 15], 1.0f);
}
"""
KERNELS = ("scale", "total", "count")

#: how much of the guard there is, in the order of the columns
WAYS = ("bare", "recorded", "kernels", "races")


def launches() -> dict[str, Callable[[], object]]:
    """Return the launches to measure, each with the wait for its end."""
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    source = cuda.to_device(np.arange(THREADS, dtype=np.float32))
    target = cuda.to_device(np.zeros(THREADS, np.float32))
    module = SourceModule(SOURCE)
    block, grid = (256, 1, 1), ((THREADS + 255) // 256, 1)
    factor, number = np.float32(2), np.int32(THREADS)

    def launch(name: str) -> Callable[[], object]:
        function = module.get_function(name)

        def run() -> None:
            function(target, source, factor, number, block=block, grid=grid)
            cuda.Context.synchronize()

        return run

    return {name: launch(name) for name in KERNELS}


def main() -> None:
    """Measure and print the table."""
    device = chosen_device(__doc__)
    taken: dict[str, list[float]] = {name: [] for name in KERNELS}
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            with guarded(way, device, folder):
                for name, launch in launches().items():
                    taken[name].append(_median(launch))
    print(f"{'kernel':10}" + "".join(f"{way:>10}" for way in WAYS))
    for name, (bare, *others) in taken.items():
        print(f"{name:10}{bare:10.1f}" + "".join(f"{each - bare:+10.1f}" for each in others))


def _median(launch: Callable[[], object]) -> float:
    """Return the median of the rounds' microseconds for one launch, after a first one that is not counted."""
    launch()
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            launch()
        rounds.append(1e6 * (time.perf_counter() - start) / CALLS)
    return statistics.median(rounds)


if __name__ == "__main__":
    main()
