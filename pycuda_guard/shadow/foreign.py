"""Whether somebody else in this process may write device memory that PyCUDA allocated.

Libraries like cuBLAS, CuPy or CUDA-aware MPI are given addresses and write there without a call that
the guard sees. Where one is loaded, nothing can be said of memory that seems never written.
"""

from __future__ import annotations

import ctypes
import gc
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

#: CUDA's runtime: it writes memory for whoever calls it, but cuRAND may have brought it along
_RUNTIME = "libcudart."

_checked: dict[str, bool] = {}  # shared libraries looked at before
_modules_seen = 0
_writer = ""


def writer() -> str:
    """Return the first other user of CUDA that was seen: a package, or the file of a library; or empty."""
    global _modules_seen, _writer
    if not _writer and len(sys.modules) != _modules_seen:
        _modules_seen = len(sys.modules)
        _writer = next((name for name in _PACKAGES if name in sys.modules), "")
    return _writer


def is_shared() -> bool:
    """Return whether another user of CUDA is loaded, as far as the names of modules tell. Cheap."""
    return bool(writer())


def is_certainly_ours() -> bool:
    """Return whether no shared library of this process could write device memory. Slow at first."""
    global _writer
    if is_shared():
        return False
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.rstrip("\n").partition("/")[2] for line in maps if ".so" in line}
    except OSError:
        return True
    for path in sorted(paths):
        full = f"/{path}"
        if full not in _checked:
            _checked[full] = _looks_like_cuda(full, paths)
        if _checked[full]:
            _writer = os.path.basename(full)
            return False
    return True


def _looks_like_cuda(path: str, loaded: set[str]) -> bool:
    name = os.path.basename(path)
    if name.startswith(_RUNTIME) and _came_with_curand(name, loaded):
        return False
    if name.startswith(_HARMLESS) or f"{os.sep}pycuda{os.sep}" in path or "pycuda_guard" in path:
        return False
    if name.startswith(("_driver.", "libcudadevrt")):
        return False
    if name.startswith(_PREFIXES):
        return True
    content = _content(path)
    return any(mark in content for mark in _MARKS)


def _came_with_curand(runtime: str, loaded: set[str]) -> bool:
    """Tell whether PyCUDA's cuRAND needs the runtime, and the program has not opened it by ctypes."""
    if any(type(each) is ctypes.CDLL and _RUNTIME in str(each._name) for each in gc.get_objects()):
        return False
    needs = runtime.encode()
    return any(
        os.path.basename(path).startswith("libcurand.") and needs in _content(f"/{path}") for path in loaded
    )


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
