"""What kernels compiled to is kept on disk; see :mod:`pycuda_guard.diskcache`."""

from __future__ import annotations

from pycuda_guard import diskcache

#: folders of sources that decide what code is generated, relative to the package
_SOURCES = (
    "cpu/codegen",
    "kernels/ptx",
    "cpu/abi.py",
    "cpu/initial_values.py",
    "cpu/jit.py",
    "cpu/objects.py",
    "cpu/variables.py",
)


def fingerprint() -> str:
    """Return a hash of the sources that decide what code is generated for a given PTX."""
    return diskcache.fingerprint(_SOURCES)
