"""Puts the CPU device in the place of the CUDA driver, for this process."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys

from pycuda_guard import toolchain
from pycuda_guard.cpu.options import THREADS_VARIABLE, DeviceOptions
from pycuda_guard.errors import StartError

_loaded: DeviceOptions | None = None


def is_loaded() -> bool:
    """Return whether the CPU device is what PyCUDA binds to in this process."""
    return _loaded is not None


def load(options: DeviceOptions | None = None) -> None:
    """Make the CPU device the one that PyCUDA finds, and PyCUDA's compiler produce what it runs.

    Must come before the first import of ``pycuda.driver``. Raises StartError where it can't be done: on
    another platform, when something is missing, or too late. Loading again with the same options (or none)
    does nothing.
    """
    global _loaded
    if _loaded is not None:
        if options not in (None, _loaded):
            raise StartError("the CPU device is loaded already, with other options")
        return
    _check()
    chosen = options or DeviceOptions()
    chosen.check()

    from pycuda_guard.cpu import children, compile as compiling, curand
    from pycuda_guard.cpu.driver import export, state
    from pycuda_guard.cpu.memory import DeviceMemory
    from pycuda_guard.cpu.runtime import get_runtime

    os.environ[THREADS_VARIABLE] = str(chosen.threads)
    runtime = get_runtime()
    folder = toolchain.cache_directory() / "libraries"
    state.start(chosen, DeviceMemory(chosen.memory_bytes, runtime), runtime)
    curand.load(folder)
    export.load(folder)
    compiling.install()
    children.install(load, chosen)
    _loaded = chosen


def _check() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise StartError(
            f"the CPU device runs on Linux on x86-64 only, this is {sys.platform} on {platform.machine()}"
        )
    if importlib.util.find_spec("llvmlite") is None:
        raise StartError(
            "the CPU device compiles kernels with llvmlite, which is not installed",
            "pip install 'pycuda-guard[cpu]', then pycuda-guard setup",
        )
    if "pycuda._driver" in sys.modules:
        raise StartError(
            "the CPU device cannot be loaded any more: pycuda.driver is already imported, bound to a driver",
            "load it before importing pycuda",
        )
