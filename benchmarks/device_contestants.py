"""What ``cpu_device.py`` compares, each in a process of its own: ``python device_contestants.py NAME``.

It prints one line about itself, ``ready …`` or ``missing …``. Then it reads names of cases, a line each, and
answers each with the least seconds of several runs, or ``-`` where it has no such program. Times of a part of
the grid (Oclgrind, numba's simulator) are multiplied by what is left out.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from device_kernels import BINS, CASES, CUDA, NUMBA, OPENCL, C

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_kernels import Case

#: seconds for the runs of one question, and how many there are at least and at most
PATIENCE, FEWEST, MOST = 0.5, 3, 60


class Missing(Exception):  # noqa: N818 (what is said, not what went wrong)
    """The contestant is not installed; the message says what is."""


class Contestant(Protocol):
    """Something that runs the cases."""

    about: str

    def runner(
        self, case: Case
    ) -> tuple[Callable[[], object], float, Callable[[], np.ndarray[Any, Any]]] | None:
        """Return a case's run, the part of its grid that this is, and its result if that is all of it."""


def inputs(case: Case) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the two arrays that a case reads."""
    generator = np.random.default_rng(1)
    count = case.n if case.n > 4096 else case.n**2
    if case.name == "histogram":
        return generator.integers(0, BINS, count, dtype=np.uint8), np.zeros(1, np.float32)
    return generator.random(count, dtype=np.float32), generator.random(count, dtype=np.float32)


def expected(case: Case) -> np.ndarray[Any, Any]:
    """Return what a case must compute."""
    a, b = inputs(case)
    square = (case.n, case.n)
    match case.name:
        case "vecadd":
            return a + b
        case "stencil":
            a = a.reshape(square)
            result = np.zeros_like(a)
            around = a[1:-1, :-2] + a[1:-1, 2:] + a[:-2, 1:-1] + a[2:, 1:-1]
            result[1:-1, 1:-1] = np.float32(0.2) * (a[1:-1, 1:-1] + around)
            return result.ravel()
        case "matmul" | "tiled":
            return (a.reshape(square) @ b.reshape(square)).ravel()
        case "reduce":
            return a.reshape(-1, 256).sum(axis=1)
        case "histogram":
            return np.bincount(a, minlength=BINS).astype(np.int32)
        case "axpy":
            return a + 2 * b
        case _:
            return a.sum(keepdims=True)


def result_of(case: Case) -> np.ndarray[Any, Any]:
    """Return zeros for the result of a case."""
    return np.zeros_like(expected(case))


class CpuDevice:
    """PyCUDA on the CPU device."""

    def __init__(self) -> None:
        from pycuda_guard import cpu

        cpu.load()
        import pycuda.autoinit
        import pycuda.driver
        from pycuda import gpuarray
        from pycuda.compiler import SourceModule

        self._cuda = pycuda.driver
        self._arrays = gpuarray
        self._module = SourceModule(CUDA, no_extern_c=True)
        self.about = f"{len(os.sched_getaffinity(0))} cores"

    def runner(self, case: Case) -> tuple[Callable[[], object], float, Callable[[], np.ndarray[Any, Any]]]:
        """Return the case as a PyCUDA program."""
        a, b = map(self._arrays.to_gpu, inputs(case))
        wait = self._cuda.Context.synchronize
        if case.grid == (0, 0):
            made: list[Any] = []

            def evaluate() -> None:
                made[:] = [a + 2 * b if case.name == "axpy" else self._arrays.sum(a)]
                wait()

            return evaluate, 1.0, lambda: made[0].get().reshape(-1)
        kernel = self._module.get_function(case.name)
        c = self._arrays.to_gpu(result_of(case))
        n = np.int32(case.n)

        def run() -> None:
            kernel(a, b, c, n, grid=case.grid, block=(*case.block, 1))
            wait()

        return run, 1.0, c.get


class OpenCl:
    """PyOpenCL on the newest PoCL, or on Oclgrind."""

    #: the part of the grid that Oclgrind runs, in rows of it if it has any
    PART = 64

    def __init__(self, platform: str) -> None:
        try:
            import pyopencl
            import pyopencl.array
        except ImportError:
            raise Missing("pip install pyopencl") from None
        self._cl, self._arrays = pyopencl, pyopencl.array
        try:
            platforms = [p for p in pyopencl.get_platforms() if platform in p.name]
        except pyopencl.Error:
            platforms = []
        if not platforms:
            raise Missing(f"no OpenCL platform {platform!r}: apt install pocl-opencl-icd oclgrind")
        chosen = max(platforms, key=lambda p: str(p.version))
        self._is_slow = platform == "Oclgrind"
        self._queue = pyopencl.CommandQueue(pyopencl.Context(chosen.get_devices()))
        self._program = pyopencl.Program(self._queue.context, OPENCL).build()
        self.about = str(chosen.version)

    def runner(
        self, case: Case
    ) -> tuple[Callable[[], object], float, Callable[[], np.ndarray[Any, Any]]] | None:
        """Return the case as a PyOpenCL program."""
        a, b = (self._arrays.to_device(self._queue, array) for array in inputs(case))
        if case.grid == (0, 0):
            made: list[Any] = []
            if self._is_slow:
                return None

            def evaluate() -> None:
                made[:] = [a + 2 * b if case.name == "axpy" else self._arrays.sum(a)]
                self._queue.finish()

            return evaluate, 1.0, lambda: made[0].get().reshape(-1)
        kernel = self._cl.Kernel(self._program, case.name)
        c = self._arrays.to_device(self._queue, result_of(case))
        grid, n = list(case.grid), np.int32(case.n)
        if self._is_slow:
            grid[grid[1] > 1] = max(1, grid[grid[1] > 1] // self.PART)
            n = np.int32(case.n // self.PART) if case.name == "histogram" else n
        size = tuple(blocks * threads for blocks, threads in zip(grid, case.block, strict=True))

        def run() -> None:
            kernel(self._queue, size, case.block, a.data, b.data, c.data, n)
            self._queue.finish()

        return run, grid[0] * grid[1] / (case.grid[0] * case.grid[1]), c.get


class Numba:
    """numba's simulator of CUDA, a few blocks of each kernel."""

    BLOCKS = 2

    def __init__(self) -> None:
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
        try:
            import numba
            from numba import cuda
        except ImportError:
            raise Missing("pip install numba") from None
        self.about = f"numba {numba.__version__}"
        # the simulator replaces `cuda` among the globals of a kernel
        functions: dict[str, Any] = {"cuda": cuda, "np": np}
        exec(NUMBA, functions)
        names = ("vecadd", "stencil", "matmul")
        self._kernels = {name: cuda.jit(functions[name]) for name in names}

    def runner(
        self, case: Case
    ) -> tuple[Callable[[], object], float, Callable[[], np.ndarray[Any, Any]]] | None:
        """Return some blocks of the case, if it is one of those written for numba."""
        kernel = self._kernels.get(case.name)
        if kernel is None:
            return None
        a, b = inputs(case)
        c = result_of(case)

        def run() -> None:
            kernel[(self.BLOCKS, 1), case.block](a, b, c, case.n)

        return run, self.BLOCKS / (case.grid[0] * case.grid[1]), lambda: c


class Gcc:
    """The same loops in C, on one thread."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "loops.c").write_text(C)
            command = ["gcc", "-O2", "-march=native", "-shared", "-fPIC", "loops.c", "-o", "loops.so"]
            try:
                subprocess.run(command, check=True, cwd=folder)
            except FileNotFoundError:
                raise Missing("apt install gcc") from None
            self._library = ctypes.CDLL(str(folder / "loops.so"))
        version = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True)
        self.about = f"gcc {version.stdout.strip()} -O2 -march=native"

    def runner(self, case: Case) -> tuple[Callable[[], object], float, Callable[[], np.ndarray[Any, Any]]]:
        """Return the loop of a case."""
        arrays = [*inputs(case), result_of(case)]
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        function = getattr(self._library, case.name)
        return lambda: function(*pointers, case.n), 1.0, lambda: arrays[2]


CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    "CPU device": CpuDevice,
    "PoCL": lambda: OpenCl("Portable Computing Language"),
    "Oclgrind": lambda: OpenCl("Oclgrind"),
    "numba": Numba,
    "C": Gcc,
}


def least_seconds(run: Callable[[], object]) -> float:
    """Return the time of the fastest of several runs."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < MOST and (len(times) < FEWEST or time.perf_counter() - begin < PATIENCE):
        if times and times[0] > 10 * PATIENCE:
            break
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def start() -> None:
    """Print what a new process takes for nvcc's cache, and from there to the end of a launch, in ms.

    The latter is processor time: all of it is spent in this thread.
    """
    from pycuda_guard import cpu

    cpu.load()
    import pycuda.autoinit
    import pycuda.driver
    from pycuda.compiler import compile

    a = pycuda.driver.mem_alloc(1024)
    begin = time.perf_counter()
    module = compile(CUDA, no_extern_c=True)
    compiled = time.perf_counter()
    loading = time.process_time()
    kernel = pycuda.driver.module_from_buffer(module).get_function("vecadd")
    kernel(a, a, a, np.int32(256), grid=(1, 1), block=(256, 1, 1))
    pycuda.driver.Context.synchronize()
    print(1e3 * (compiled - begin), 1e3 * (time.process_time() - loading))


def main() -> None:
    """Answer questions until there are no more."""
    if sys.argv[1] == "start":
        start()
        return
    try:
        contestant = CONTESTANTS[sys.argv[1]]()
    except Missing as missing:
        print(f"missing {missing}", flush=True)
        return
    print(f"ready {contestant.about}", flush=True)
    known: dict[str, Any] = {}
    for line in sys.stdin:
        case = CASES[line.strip()]
        if case.name not in known:
            known[case.name] = contestant.runner(case)
            if known[case.name] is not None:
                run, part, result = known[case.name]
                run()
                if part == 1.0:
                    np.testing.assert_allclose(result(), expected(case), rtol=1e-3)
        if known[case.name] is None:
            print("-", flush=True)
            continue
        run, part, _ = known[case.name]
        print(least_seconds(run) / part, flush=True)


if __name__ == "__main__":
    main()
