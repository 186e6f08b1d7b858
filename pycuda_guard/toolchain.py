"""Where the CUDA compiler, its libraries and PyCUDA are on this machine.

What the user already has comes first: an ``nvcc`` on PATH, an installed PyCUDA. What is missing
comes from NVIDIA's wheels on PyPI, which ``pycuda-guard setup`` installs.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: the CUDA compiler and the headers that PyCUDA is built against, as wheels on PyPI
CUDA_WHEELS = (
    "nvidia-cuda-nvcc==13.0.*",
    "nvidia-cuda-runtime==13.0.*",
    "nvidia-nvvm==13.0.*",
    "nvidia-cuda-crt==13.0.*",
    "nvidia-cuda-cccl==13.0.*",
    "nvidia-cuda-profiler-api==13.0.*",
    "nvidia-curand",
)

#: the PyCUDA that ``setup`` builds where none is installed
PYCUDA_RELEASE = "2026.1"


def cache_directory() -> Path:
    """Return the folder for everything that is kept between runs; it need not exist yet.

    ``PYCUDA_GUARD_CACHE_DIR`` names another than ``$XDG_CACHE_HOME/pycuda-guard``.
    """
    chosen = os.environ.get("PYCUDA_GUARD_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pycuda-guard"


def wheel_root() -> Path | None:
    """Return the folder in which NVIDIA's CUDA 12 or 13 wheels put ``bin``, ``include`` and ``lib``."""
    for name in ("cu13", "cu12"):
        root = Path(sysconfig.get_path("purelib")) / "nvidia" / name
        if root.is_dir():
            return root
    return None


def find_nvcc() -> Path | None:
    """Return the CUDA compiler: the one on PATH, else the wheel's, else None."""
    on_path = shutil.which("nvcc")
    if on_path:
        return Path(on_path)
    root = wheel_root()
    if root is not None and (root / "bin" / "nvcc").is_file():
        return root / "bin" / "nvcc"
    return None


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A CUDA toolkit that PyCUDA can be built against."""

    nvcc: Path
    root: Path
    curand: Path  #: libcurand.so.10, or libcurand.so

    @property
    def include(self) -> Path:
        """The folder of cuda.h."""
        return self.root / "include"


@cache
def nvcc_release(nvcc: Path) -> str:
    """Return the release that ``nvcc --version`` names (``13.0``), or an empty string."""
    try:
        printed = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"release (\d+\.\d+)", printed.stdout)
    return match[1] if match else ""


def _real_root(nvcc: Path) -> Path | None:
    """Return the toolkit folder of ``nvcc``, which may be a script that calls the real one."""
    beside = nvcc.resolve().parent.parent
    if (beside / "include" / "cuda.h").is_file():
        return beside
    try:
        printed = subprocess.run(
            [nvcc, "--dryrun", "-E", "-x", "cu", os.devnull],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"^#\$ TOP=(.+)$", printed.stderr, re.MULTILINE)
    root = Path(match[1].strip()).resolve() if match else None
    return root if root is not None and (root / "include" / "cuda.h").is_file() else None


def find_toolkit() -> Toolkit | None:
    """Return a toolkit with compiler, headers and cuRAND: the user's, else the wheels', else None."""
    candidates = []
    on_path = shutil.which("nvcc")
    if on_path:
        candidates.append((Path(on_path), _real_root(Path(on_path))))
    root = wheel_root()
    if root is not None and (root / "bin" / "nvcc").is_file():
        candidates.append((root / "bin" / "nvcc", root))
    for nvcc, place in candidates:
        if place is None or not (place / "include" / "curand.h").is_file():
            continue
        for library in ("lib64/libcurand.so", "lib/libcurand.so", "lib/libcurand.so.10"):
            if (place / library).exists():
                return Toolkit(nvcc, place, place / library)
    return None


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution, or an empty string."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def is_importable(module: str) -> bool:
    """Return whether a top-level module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None


def is_wsl() -> bool:
    """Return whether this is Linux under Windows (WSL2)."""
    return sys.platform == "linux" and "microsoft" in platform.release().lower()
