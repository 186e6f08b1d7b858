"""Kernels on the CPU device against the same loops in C, side by side on one thread.

Prints the best CPU time of several runs, and its ratio to ``gcc -O2 -march=native`` where gcc is installed.
The column "unchecked" is the same code without the check that keeps kernels out of host memory.

    python benchmarks/cpu_kernels.py [repetitions]
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

os.environ["PYCUDA_GUARD_CPU_THREADS"] = "1"

import numpy as np
from llvmlite import ir

from pycuda_guard.cpu import abi, jit
from pycuda_guard.cpu.codegen.emitter import Emitter
from pycuda_guard.cpu.codegen.module import lower_module
from pycuda_guard.cpu.codegen.types import I64
from pycuda_guard.cpu.memory import DeviceMemory
from pycuda_guard.cpu.runtime import get_runtime
from pycuda_guard.kernels.ptx import parse
from pycuda_guard.toolchain import find_nvcc

if TYPE_CHECKING:
    from collections.abc import Callable

KERNELS = """
extern "C" {
__global__ void vecadd(const float *a, const float *b, float *c, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        c[i] = a[i] + b[i];
}
__global__ void stencil(const float *a, const float *b, float *c, int n)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x > 0 && y > 0 && x < n - 1 && y < n - 1)
        c[y * n + x] = 0.2f * (a[y * n + x] + a[y * n + x - 1] + a[y * n + x + 1] + a[(y - 1) * n + x]
                               + a[(y + 1) * n + x]);
}
__global__ void matmul(const float *a, const float *b, float *c, int n)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    float sum = 0;
    if (x < n && y < n) {
        for (int k = 0; k < n; k++)
            sum += a[y * n + k] * b[k * n + x];
        c[y * n + x] = sum;
    }
}
__global__ void tiled(const float *a, const float *b, float *c, int n)
{
    __shared__ float as[16][16], bs[16][16];
    int tx = threadIdx.x, ty = threadIdx.y, x = blockIdx.x * 16 + tx, y = blockIdx.y * 16 + ty;
    float sum = 0;
    for (int t = 0; t < n / 16; t++) {
        as[ty][tx] = a[y * n + t * 16 + tx];
        bs[ty][tx] = b[(t * 16 + ty) * n + x];
        __syncthreads();
        for (int k = 0; k < 16; k++)
            sum += as[ty][k] * bs[k][tx];
        __syncthreads();
    }
    c[y * n + x] = sum;
}
}
"""

LOOPS = """
#include <math.h>
void vecadd(const float *a, const float *b, float *c, int n)
{
    for (int i = 0; i < n; i++)
        c[i] = a[i] + b[i];
}
void stencil(const float *a, const float *b, float *c, int n)
{
    for (int y = 1; y < n - 1; y++)
        for (int x = 1; x < n - 1; x++)
            c[y * n + x] = 0.2f * (a[y * n + x] + a[y * n + x - 1] + a[y * n + x + 1] + a[(y - 1) * n + x]
                                   + a[(y + 1) * n + x]);
}
void matmul(const float *a, const float *b, float *c, int n)
{
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            float sum = 0;
            for (int k = 0; k < n; k++)
                sum = fmaf(a[y * n + k], b[k * n + x], sum);
            c[y * n + x] = sum;
        }
}
void tiled(const float *a, const float *b, float *restrict c, int n)
{
    for (int y = 0; y < n; y++) {
        for (int x = 0; x < n; x++)
            c[y * n + x] = 0;
        for (int k = 0; k < n; k++)
            for (int x = 0; x < n; x++)
                c[y * n + x] = fmaf(a[y * n + k], b[k * n + x], c[y * n + x]);
    }
}
"""

#: name, last parameter, grid, block
CASES = (
    ("vecadd", 1 << 22, (1 << 14, 1, 1), (256, 1, 1)),
    ("stencil", 2048, (64, 256, 1), (32, 8, 1)),
    ("matmul", 256, (16, 16, 1), (16, 16, 1)),
    ("tiled", 256, (16, 16, 1), (16, 16, 1)),
)
ELEMENTS = 1 << 22


def best(run: Callable[[], object], repetitions: int) -> float:
    """Return the least CPU time of a call in ms, after one that does not count."""
    run()
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def compile_kernels(folder: Path) -> str:
    """Return the PTX of the kernels."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise SystemExit("this benchmark needs nvcc")
    (folder / "kernels.cu").write_text(KERNELS)
    command = [nvcc, "-ptx", "-arch=sm_80", folder / "kernels.cu", "-o", folder / "kernels.ptx"]
    subprocess.run(command, check=True)
    return (folder / "kernels.ptx").read_text()


def compile_loops(folder: Path) -> ctypes.CDLL | None:
    """Return the C loops as a library, or None without gcc."""
    if shutil.which("gcc") is None:
        return None
    (folder / "loops.c").write_text(LOOPS)
    command = [
        "gcc",
        "-O2",
        "-march=native",
        "-shared",
        "-fPIC",
        folder / "loops.c",
        "-o",
        folder / "loops.so",
    ]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "loops.so"))


def load(ptx: str, memory: DeviceMemory, checked: bool) -> jit.LoadedModule:
    """Compile and load the kernels."""
    if checked:
        return jit.LoadedModule(jit.compile_lowered(lower_module(parse(ptx))), memory)
    with mock.patch.object(Emitter, "translation", lambda self, root: ir.Constant(I64, abi.WINDOW)):
        lowered = lower_module(parse(ptx))
    return jit.LoadedModule(jit.compile_lowered(lowered), memory)


def main() -> None:
    """Print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    runtime = get_runtime()
    memory = DeviceMemory(256 << 20, runtime)
    values = np.random.default_rng(1).random(ELEMENTS, dtype=np.float32)
    buffers = [memory.allocate(values.nbytes) for _ in range(3)]
    for buffer in buffers:
        memory.write(buffer, values.tobytes())
    arrays = [values.copy() for _ in range(3)]
    with tempfile.TemporaryDirectory() as name:
        loops = compile_loops(Path(name))
        ptx = compile_kernels(Path(name))
        modules = [load(ptx, memory, checked) for checked in (True, False)]
        print(f"{'ms (ratio to C)':16}{'C':>10}{'checked':>18}{'unchecked':>18}")
        for kernel, n, grid, block in CASES:
            parameters = struct.pack("<3Qi", *buffers, n)
            launches = [
                partial(runtime.launch, module.kernels[kernel], grid, block, 0, parameters)
                for module in modules
            ]
            times = [best(launch, repetitions) for launch in launches]
            c = float("nan")
            if loops is not None:
                pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
                c = best(partial(getattr(loops, kernel), *pointers, n), repetitions)
            cells = "".join(f"{ms:10.2f} ({ms / c:4.2f})" for ms in times)
            print(f"{kernel:16}{c:10.2f}{cells}")


if __name__ == "__main__":
    main()
