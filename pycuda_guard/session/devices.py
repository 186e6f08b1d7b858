"""Which device the program's kernels run on: a GPU, or the CPU device.

The choice is made without a single call into the driver: ``cuInit`` before the program forks
would break CUDA in its children.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.errors import StartError

if TYPE_CHECKING:
    from pycuda_guard.config import Config

#: how each device is named in messages
NAMES = {"cpu": "the CPU device", "gpu": "the GPU"}


def _is_cpu_loaded() -> bool:
    """Tell whether the CPU device has been put in the driver's place, by the guard or by the program."""
    module = sys.modules.get("pycuda_guard.cpu")
    return module is not None and bool(module.is_loaded())


def choose(options: Config) -> str:
    """Return ``cpu`` or ``gpu``, as the options say, and see to it that PyCUDA gets it.

    Raises :class:`StartError` where there is no such device, or PyCUDA is bound to the other one.
    """
    wanted = options.device
    if _is_cpu_loaded():
        if wanted == "gpu":
            raise StartError("the CPU device is in use in this process, so the GPU can't be")
        return "cpu"
    if "pycuda._driver" in sys.modules:
        if wanted == "cpu":
            raise StartError(
                "the CPU device can't be chosen any more: pycuda.driver is already imported",
                "call pycuda_guard.enable() before importing pycuda, or use pycuda-guard run",
            )
        return "gpu"
    missing = "" if wanted == "cpu" else missing_gpu()
    if wanted == "gpu" and missing:
        raise StartError(f"there is no GPU to use: {missing}", "--device cpu runs kernels on the CPU")
    if wanted == "cpu" or missing:
        from pycuda_guard import cpu

        chosen = cpu.DeviceOptions(
            schedule=options.schedule,
            kernel_timeout=float(options.kernel_timeout or 0),
            devices=int(options.cpu_devices),
            compute_capability=options.compute_capability,
        )
        cpu.load(replace(chosen, memory_bytes=options.cpu_memory) if options.cpu_memory else chosen)
        return "cpu"
    return "gpu"


def missing_gpu() -> str:
    """Return why no GPU can be used, or an empty string if one can, as far as can be told from outside."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible} hides every GPU"
    if sys.platform == "win32":
        return _missing_library("nvcuda.dll")
    nodes = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("dxg")]
    if not nodes:
        return "no device file /dev/nvidia* or /dev/dxg"
    if not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return f"no permission to open {nodes[0]}"
    return _missing_library("libcuda.so.1")


def _missing_library(name: str) -> str:
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return f"the driver's library can't be loaded ({error})"
    return ""
