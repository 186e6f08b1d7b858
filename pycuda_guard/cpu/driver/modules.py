"""Modules: loading PTX, finding kernels and variables in it."""

from __future__ import annotations

import ctypes
import re
from functools import partial
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import contexts, functions, queues, state
from pycuda_guard.cpu.driver.attributes import CAPABILITY_MAJOR, CAPABILITY_MINOR
from pycuda_guard.cpu.driver.cells import get_text, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.driver.logs import Logs
from pycuda_guard.cpu.memory import OutOfDeviceMemoryError

if TYPE_CHECKING:
    from pycuda_guard.cpu.jit import LoadedModule
    from pycuda_guard.cpu.runtime import Kernel

#: beginnings of images that hold a GPU's machine code: ELF and fat binaries
_BINARIES = (b"\x7fELF", b"\x50\xed\x55\xba", b"\x45\xba\xb2\x46")

#: for which devices PTX is
_TARGET = re.compile(rb"^\s*\.target\s+sm_([0-9]+)", re.MULTILINE)

_modules = state.Handles(0x5000_0000)


class Module:
    """A loaded module of a context."""

    def __init__(self, context: contexts.Context, loaded: LoadedModule) -> None:
        self.context = context
        self.loaded = loaded
        self.handle = _modules.add(self)
        self._functions: dict[str, int] = {}  # handles by name
        context.modules.add(self)

    def function(self, name: str) -> int:
        """Return the handle of a kernel; the same one each time."""
        if name not in self._functions:
            outline = self.loaded.outlines.get(name)
            if outline is None:
                raise DriverError(Result.NOT_FOUND)
            find = partial(_kernel, self.loaded, name)
            function = functions.Function(self.context, outline, find, self._numbered)
            self._functions[name] = functions.handles.add(function)
        return self._functions[name]

    def _numbered(self, number: int) -> functions.Function | None:
        """Return a kernel by its number in the module; None if it has none of that number."""
        names = list(self.loaded.outlines)
        return functions.lookup(self.function(names[number])) if number < len(names) else None

    def unload(self) -> None:
        """Free code and variables; the handles become invalid."""
        self.context.modules.discard(self)
        _modules.remove(self.handle)
        for handle in self._functions.values():
            functions.handles.remove(handle)
        self.loaded.unload()


def _kernel(loaded: LoadedModule, name: str) -> Kernel:
    """Return a kernel of a module, compiled if it is not yet."""
    from pycuda_guard.cpu.jit import InvalidPtx, UnsupportedPtx

    try:
        return loaded.kernels[name]
    except (InvalidPtx, UnsupportedPtx) as error:
        raise DriverError(Result.INVALID_PTX, str(error)) from error


def _image(address: int) -> bytes:
    """Return the text of an image, which must be NUL-terminated PTX."""
    if not address:
        raise DriverError(Result.INVALID_VALUE)
    text = get_text(address)
    if text.startswith(_BINARIES):
        raise DriverError(
            Result.NO_BINARY_FOR_GPU,
            "the image is machine code of a GPU, and the CPU device runs PTX only "
            '(compile with target="ptx")',
        )
    return text


def _load(image: bytes) -> LoadedModule:
    from pycuda_guard.cpu.jit import InvalidPtx, UnsupportedPtx, load_module

    try:
        return load_module(image, state.memory, whole=False)
    except InvalidPtx as error:
        result = Result.INVALID_PTX if b".version" in image else Result.INVALID_IMAGE
        raise DriverError(result, str(error)) from error
    except UnsupportedPtx as error:
        raise DriverError(Result.INVALID_PTX, str(error)) from error
    except OutOfDeviceMemoryError:
        raise DriverError(Result.OUT_OF_MEMORY) from None


def _check_target(image: bytes) -> None:
    """Raise if PTX is for devices of a higher compute capability than this one's."""
    target = _TARGET.search(image)
    have = state.attributes[CAPABILITY_MAJOR] * 10 + state.attributes[CAPABILITY_MINOR]
    if target is not None and int(target[1]) > have:
        raise DriverError(
            Result.INVALID_PTX, f"the PTX is for sm_{target[1].decode()}, and the CPU device is an sm_{have}"
        )


def load_image(image: bytes, context: contexts.Context) -> Module:
    """Load PTX into a context."""
    _check_target(image)
    return Module(context, _load(image))


def load_data(out: int, image: int) -> None:
    """Load a module from PTX in memory."""
    load_data_with_options(out, image, 0, 0, 0)


def load_data_with_options(out: int, image: int, count: int, options: int, values: int) -> None:
    """Load a module from PTX in memory; of the options only the buffers for messages matter."""
    logs = Logs(count, options, values)  # PyCUDA reads them whatever goes wrong
    context = contexts.current_waiting()
    try:
        put_u64(out, load_image(_image(image), context).handle)
    except DriverError as error:
        if logs.write_error(error.detail):
            raise DriverError(error.result) from error
        raise


def load_file(out: int, path: int) -> None:
    """Load a module from a PTX file."""
    context = contexts.current_waiting()
    name = get_text(path)
    try:
        with open(name, "rb") as file:
            image = file.read()
    except OSError:
        raise DriverError(Result.FILE_NOT_FOUND) from None
    buffer = ctypes.create_string_buffer(image)
    put_u64(out, load_image(_image(ctypes.addressof(buffer)), context).handle)


def unload(handle: int) -> None:
    """Unload a module when all work is done: its variables are freed, its kernels become invalid."""
    if state.status.trouble:
        state.require(True)
    module: Module = _modules.get(handle)
    queues.when_done(module.unload)


def get_function(out: int, handle: int, name: int) -> None:
    """Return a kernel of a module."""
    contexts.current_waiting()
    module: Module = _modules.get(handle)
    put_u64(out, module.function(get_text(name).decode("utf-8", "replace")))


def get_global(address_out: int, size_out: int, handle: int, name: int) -> None:
    """Return address and size of a module's variable."""
    contexts.current_waiting()
    module: Module = _modules.get(handle)
    found = module.loaded.globals.get(get_text(name).decode("utf-8", "replace"))
    if found is None:
        raise DriverError(Result.NOT_FOUND)
    if address_out:
        put_u64(address_out, found[0])
    if size_out:
        put_u64(size_out, found[1])
