"""``pycuda-guard doctor``."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard import platforms, toolchain
from pycuda_guard.cli.verb import Verb
from pycuda_guard.session import devices

if TYPE_CHECKING:
    import argparse


class Doctor(Verb):
    """Say what is here, what is missing, and what therefore can't be checked.

    The exit status is 1 where something is missing without which no program can run.
    """

    def run(self, options: argparse.Namespace) -> int:
        """Print one line for each part, then what is missing and what can't be checked."""
        missing: list[str] = []
        no_gpu = devices.missing_gpu()
        on_cpu = bool(no_gpu)
        nvcc = toolchain.find_nvcc()
        rows = [
            (
                "pycuda_guard",
                toolchain.installed_version("pycuda-guard") or "not installed, run from its source",
            ),
            (
                "platform",
                f"{platforms.current_platform()}, Python {platform.python_version()} ({sys.executable})",
            ),
            ("device", f"the CPU device, because there is {no_gpu}" if on_cpu else "the GPU"),
            ("driver", _driver_version() or "none"),
            ("PyCUDA", _version("pycuda", "PyCUDA", missing)),
            ("nvcc", f"{toolchain.nvcc_release(nvcc)} ({nvcc})" if nvcc else "none"),
            ("numpy", _version("numpy", "numpy", missing)),
            ("wrapt", _version("wrapt", "wrapt", missing)),
        ]
        if nvcc is None:
            missing.append("an nvcc, which compiles kernels: `pycuda-guard setup` brings one")
        if on_cpu:
            rows.append(("llvmlite", _version("llvmlite", "llvmlite", missing)))
            missing += [f"{limit}" for limit in platforms.limits_here() if limit.startswith("the CPU device")]
        rows.append(("cache", str(toolchain.cache_directory())))
        for name, value in rows:
            print(f"{name:13} {value}")
        for text in missing:
            print(f"missing: {text}")
        for text in platforms.limits_here():
            print(f"not checked: {text}")
        if not missing:
            print("everything is here; next: pycuda-guard run script.py, or pycuda-guard demo")
        return 1 if missing else 0


def _version(distribution: str, name: str, missing: list[str]) -> str:
    """Return an installed version; where there is none, note it as missing."""
    version = toolchain.installed_version(distribution)
    if not version:
        missing.append(f"{name}: `pycuda-guard setup` brings it")
    return version or "none"


def _driver_version() -> str:
    """Return the version of NVIDIA's kernel driver, or an empty string; nothing of CUDA is called."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d[\d.]+)", text)
    return match[1] if match else text.splitlines()[0] if text else ""
