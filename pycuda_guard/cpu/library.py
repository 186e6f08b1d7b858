"""Puts libraries of our own into the process, under the names of others."""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycuda_guard.cpu import elf
from pycuda_guard.cpu.runtime import get_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping


def load(soname: str, functions: Mapping[str, Any], folder: Path, version: str = "") -> None:
    """Load a library named ``soname`` whose functions are these ctypes callbacks.

    Its symbols are visible to libraries loaded later. It stays for the rest of the process, and so do the
    callbacks. The file is written to ``folder``, or to a temporary folder if that cannot be written.
    """
    library = ctypes.CDLL(
        os.fspath(_file(soname, elf.build(soname, list(functions), version), folder)), mode=ctypes.RTLD_GLOBAL
    )
    cells = (ctypes.c_uint64 * (1 + len(functions))).in_dll(library, elf.TABLE_SYMBOL)
    cells[0] = get_runtime().symbol("pg_gate") or 0
    for index, function in enumerate(functions.values(), 1):
        cells[index] = ctypes.cast(function, ctypes.c_void_p).value or 0
    # C code may call them until the process is gone, when the interpreter has dropped everything else
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(list(functions.values())))


def _file(soname: str, image: bytes, folder: Path) -> Path:
    """Return the path of a file with these contents; its name says what they are."""
    digest = hashlib.blake2b(image, digest_size=8).hexdigest()
    path = folder / f"{soname}.{digest}"
    try:
        if path.read_bytes() == image:
            return path
    except OSError:
        pass
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _written(path, image)
    except OSError:
        return _written(Path(tempfile.mkdtemp(prefix="pycuda-guard-")) / soname, image)


def _written(path: Path, image: bytes) -> Path:
    """Write a file under another name and rename it, so that nobody ever loads half of one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(image)
    os.chmod(temporary, 0o755)
    os.replace(temporary, path)
    return path
