"""libcurand.so.10, which PyCUDA's extension module needs in order to be loaded at all.

PyCUDA calls five functions of it, for the tables of quasi-random generators; everything else of its
random numbers is compiled with the program's kernels. Without the library, those five return an error.
"""

from __future__ import annotations

import ctypes
import sysconfig
from pathlib import Path

from pycuda_guard.cpu import library

SONAME = "libcurand.so.10"
_FUNCTIONS = (
    "curandGetVersion",
    "curandGetDirectionVectors32",
    "curandGetDirectionVectors64",
    "curandGetScrambleConstants32",
    "curandGetScrambleConstants64",
)
_STATUS_INTERNAL_ERROR = 999


def load(folder: Path) -> None:
    """Load the library: an installed one, or a stand-in kept in ``folder``."""
    for candidate in [*_from_wheels(), SONAME]:
        try:
            ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    failing = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: _STATUS_INTERNAL_ERROR)
    library.load(SONAME, dict.fromkeys(_FUNCTIONS, failing), folder, version=SONAME)


def _from_wheels() -> list[str]:
    """Return where pip's packages of NVIDIA have put the library."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    return [str(packages / name / "lib" / SONAME) for name in ("cu13", "cu12", "curand")]
