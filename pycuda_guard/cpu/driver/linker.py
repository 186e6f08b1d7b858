"""The linker, for what it can do here: make one PTX module of several.

Of libraries, which are machine code, it takes CUDA's device runtime, as the device has its own.
"""

from __future__ import annotations

import ctypes
import os

from pycuda_guard.cpu.compile import DEVICE_RUNTIME
from pycuda_guard.cpu.driver import contexts, state
from pycuda_guard.cpu.driver.cells import get_text, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.driver.logs import Logs
from pycuda_guard.kernels.ptx import PtxSyntaxError
from pycuda_guard.kernels.ptx.linking import PtxLinkError, link as join_modules

_PTX, _LIBRARY = 1, 4  # CU_JIT_INPUT_*


class Link:
    """A link in progress: what has been added, and the image once it is complete."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self.inputs: list[bytes] = []
        self.image: ctypes.Array[ctypes.c_char] | None = None


_links = state.Handles(0x7000_0000)


def create(count: int, options: int, values: int, out: int) -> None:
    """Begin a link."""
    logs = Logs(count, options, values)
    contexts.current_waiting()
    put_u64(out, _links.add(Link(logs)))


def add_data(
    handle: int, kind: int, data: int, nbytes: int, name: int, _count: int, _options: int, _values: int
) -> None:
    """Add a PTX module from memory."""
    contexts.current_waiting()
    link: Link = _links.get(handle)
    if not data or not nbytes:
        raise DriverError(Result.INVALID_VALUE)
    title = get_text(name).decode("utf-8", "replace") if name else "unnamed input"
    _add(link, kind, ctypes.string_at(data, nbytes), title)


def add_file(handle: int, kind: int, path: int, _count: int, _options: int, _values: int) -> None:
    """Add a PTX module from a file."""
    contexts.current_waiting()
    link: Link = _links.get(handle)
    name = get_text(path).decode("utf-8", "surrogateescape")
    try:
        with open(name, "rb") as file:
            data = file.read()
    except OSError:
        raise DriverError(Result.FILE_NOT_FOUND) from None
    _add(link, kind, data, name)


def _add(link: Link, kind: int, data: bytes, name: str) -> None:
    if kind == _LIBRARY and os.path.basename(name) == f"lib{DEVICE_RUNTIME}.a":
        return
    if kind != _PTX:
        _refuse(link, f"{name} is machine code of a GPU, and the CPU device runs PTX only")
    link.inputs.append(data.rstrip(b"\0"))


def _refuse(link: Link, reason: str) -> None:
    raise DriverError(Result.NOT_SUPPORTED, "" if link.logs.write_error(reason) else reason)


def complete(handle: int, image_out: int, size_out: int) -> None:
    """End a link: the image is the PTX of all that was added, for cuModuleLoadData."""
    contexts.current_waiting()
    link: Link = _links.get(handle)
    if not link.inputs:
        raise DriverError(Result.INVALID_IMAGE)
    try:
        image = join_modules([each.decode("utf-8", "surrogateescape") for each in link.inputs])
    except (PtxLinkError, PtxSyntaxError) as error:
        message = str(error)
        raise DriverError(Result.INVALID_PTX, "" if link.logs.write_error(message) else message) from None
    link.image = ctypes.create_string_buffer(image.encode("utf-8", "surrogateescape"))
    put_u64(image_out, ctypes.addressof(link.image))
    if size_out:
        put_u64(size_out, len(link.image))


def destroy(handle: int) -> None:
    """Free a link and its image."""
    _links.remove(handle)
