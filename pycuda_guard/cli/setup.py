"""``pycuda-guard setup``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pycuda_guard import platforms, toolchain
from pycuda_guard.cli import provision
from pycuda_guard.cli.verb import Verb
from pycuda_guard.errors import StartError

if TYPE_CHECKING:
    import argparse


class Setup(Verb):
    """Bring what is missing to run PyCUDA programs on the CPU device.

    That is a CUDA compiler (NVIDIA's wheels, 390 MB) where no nvcc is on PATH, and PyCUDA, built
    from its source in about two minutes, where none is installed. What is there is used as it is.
    The built wheel is kept in the user's cache for the next environment.
    """

    def run(self, options: argparse.Namespace) -> int:
        """Install what is missing into this Python environment."""
        for limit in platforms.limits_here():
            if limit.startswith("the CPU device"):
                raise StartError(limit, "on a machine with a GPU, PyCUDA and pycuda-guard are all it takes")
        provision.ensure_packages({"llvmlite": "llvmlite>=0.44"})
        nvcc = provision.ensure_compiler()
        provision.ensure_pycuda()
        versions = {
            "nvcc": toolchain.nvcc_release(nvcc),
            "PyCUDA": toolchain.installed_version("pycuda"),
            "llvmlite": toolchain.installed_version("llvmlite"),
        }
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        print(f"setup: ready with {listed}. Next: pycuda-guard demo", file=sys.stderr)
        return 0
