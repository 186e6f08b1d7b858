"""What kernels compiled to is kept on disk; see :mod:`pycuda_guard.diskcache`."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

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
#: what Linux says of a processor that LLVM looks at
_PROCESSOR = re.compile(r"^(?:vendor_id|cpu family|model|model name|stepping|flags)\s*:.*$", re.MULTILINE)


def fingerprint() -> str:
    """Return a hash of the sources that decide what code is generated for a given PTX."""
    return diskcache.fingerprint(_SOURCES)


@cache
def environment() -> str:
    """Return what code depends on besides its PTX: the package's sources, LLVM, and the processor.

    Found out without LLVM, which a kernel of the cache does not need.
    """
    return "\n".join((fingerprint(), _llvm(), *_PROCESSOR.findall(_first_processor())))


def _llvm() -> str:
    """Return what says which llvmlite is installed, and with it which LLVM."""
    found = importlib.util.find_spec("llvmlite")
    if found is None or found.origin is None:
        return ""
    try:
        return Path(found.origin).with_name("_version.py").read_text(encoding="utf-8")
    except OSError:
        return found.origin


def _first_processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        return file.read(1 << 14).split("\n\n", 1)[0]
