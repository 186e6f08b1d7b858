"""Runs kernels written in CUDA C or PTX on the code generator and the scheduler, on numpy arrays."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np

from pycuda_guard.cpu import jit
from pycuda_guard.cpu.codegen.module import lower_module
from pycuda_guard.kernels.ptx import parse
from pycuda_guard.toolchain import find_nvcc

if TYPE_CHECKING:
    from pathlib import Path

PTX_HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"


def compile_cuda(source: Path, folder: Path, architecture: str = "sm_80") -> str:
    """Return the PTX of a CUDA C file."""
    nvcc = find_nvcc()
    assert nvcc is not None
    target = folder / (source.stem + ".ptx")
    subprocess.run([nvcc, "-ptx", f"-arch={architecture}", source, "-o", target], check=True)
    return target.read_text()


class Kernels:
    """The kernels of one module: ``run`` takes arrays, whose contents go to the device and come back."""

    def __init__(self, device, ptx: str) -> None:
        self.device = device
        self.lowered = lower_module(parse(ptx))
        self.module = jit.LoadedModule(jit.compile_lowered(self.lowered), device.memory)

    def launch(self, name: str, *arguments, grid=1, block=1, shared=0):
        """Launch a kernel; return the Fault or None."""
        kernel = self.module.kernels[name]
        memory = self.device.memory
        packed = b""
        arrays = []
        for (offset, _), argument in zip(kernel.plan.parameters, arguments, strict=True):
            packed = packed.ljust(offset, b"\0")
            if isinstance(argument, np.ndarray):
                address = memory.allocate(argument.nbytes)
                memory.write(address, argument.tobytes())
                arrays.append((argument, address))
                argument = np.uint64(address)
            packed += np.asarray(argument).tobytes()
        fault = self.device.runtime.launch(kernel, _triple(grid), _triple(block), shared, packed)
        for array, address in arrays:
            data = np.frombuffer(memory.read(address, array.nbytes), array.dtype)
            array[...] = data.reshape(array.shape)
            memory.free(address)
        return fault

    def run(self, name: str, *arguments, grid=1, block=1, shared=0) -> None:
        """Launch a kernel that must not fail."""
        assert self.launch(name, *arguments, grid=grid, block=block, shared=shared) is None

    def plan(self, name: str):
        """Return the plan of a kernel."""
        return self.module.kernels[name].plan

    def read_global(self, name: str, dtype) -> np.ndarray:
        """Return the contents of a module variable."""
        address, nbytes = self.module.globals[name]
        return np.frombuffer(self.device.memory.read(address, nbytes), dtype)


def _triple(extent):
    extent = (extent,) if isinstance(extent, int) else tuple(extent)
    return extent + (1,) * (3 - len(extent))
