"""Whether somebody else in this process may write device memory that PyCUDA allocated.

Libraries like cuBLAS, CuPy or CUDA-aware MPI are given addresses and write there without a call that
the guard sees. Where one is loaded, nothing can be said of memory that seems never written.
"""

from __future__ import annotations

import os
import sys

_PACKAGES = (
    "cupy", "torch", "numba.cuda", "jax", "jaxlib", "tensorflow", "cuda", "rmm", "cudf", "nvmath", "skcuda",
    "mpi4py", "pynccl", "tinygrad", "warp.context", "taichi", "triton", "arrayfire", "ucp", "cuquantum",
)  # fmt: skip

#: libraries that compile or describe and never touch device memory, and what PyCUDA itself brings
_HARMLESS = ("libcuda.", "libnvidia-", "libnvrtc", "libnvjitlink", "libnvptx", "libnvvm", "libcurand")
_PREFIXES = ("libcu", "libnpp", "libnv", "libnccl", "libmagma", "libmpi", "libucp")
#: what a library that has kernels of its own, or calls the driver, contains
_MARKS = (b".nv_fatbin", b"libcuda.so.1", b"libcudart.so")

_checked: dict[str, bool] = {}  # shared libraries looked at before
_modules_seen = 0
_is_shared = False


def is_shared() -> bool:
    """Return whether another user of CUDA is loaded, as far as the names of modules tell. Cheap."""
    global _modules_seen, _is_shared
    if not _is_shared and len(sys.modules) != _modules_seen:
        _modules_seen = len(sys.modules)
        _is_shared = any(name in sys.modules for name in _PACKAGES)
    return _is_shared


def is_certainly_ours() -> bool:
    """Return whether no shared library of this process could write device memory. Slow at first."""
    global _is_shared
    if is_shared():
        return False
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.rstrip("\n").partition("/")[2] for line in maps if ".so" in line}
    except OSError:
        return True
    if any(_writes(f"/{path}") for path in paths):
        _is_shared = True
    return not _is_shared


def _writes(path: str) -> bool:
    known = _checked.get(path)
    if known is None:
        known = _checked[path] = _looks_like_cuda(path)
    return known


def _looks_like_cuda(path: str) -> bool:
    name = os.path.basename(path)
    if name.startswith(_HARMLESS) or f"{os.sep}pycuda{os.sep}" in path or "pycuda_guard" in path:
        return False
    if name.startswith(("_driver.", "libcudadevrt")):
        return False
    if name.startswith(_PREFIXES):
        return True
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    return any(mark in content for mark in _MARKS)
