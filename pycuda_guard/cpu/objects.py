"""LLVM text to machine code, and machine code into this process.

LLVM is built with assertions in llvmlite: a wrong module would abort the process, so modules are verified
first. Objects are linked by ORC, which reports what is missing; symbols from outside come from the native
runtime and from the C library.
"""

from __future__ import annotations

import atexit
import itertools
import struct
import threading
import weakref
from functools import cache
from typing import TYPE_CHECKING

import llvmlite
import llvmlite.binding as llvm

from pycuda_guard.cpu.runtime import get_runtime
from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: LLVM's optimization level, and that of long code which is not to run long
SPEED_LEVEL, QUICK_LEVEL = 2, 1

_SYMBOL_TABLE = 2  # SHT_SYMTAB
_names = itertools.count(1)
_lock = threading.Lock()


class CompilationError(GuardError):
    """LLVM refused generated code, or it needs a function that is nowhere: a bug of this package."""


def describe_target() -> str:
    """Return what machine code depends on besides its source: LLVM's version and this processor."""
    version = ".".join(map(str, llvm.llvm_version_info))
    return f"llvmlite {llvmlite.__version__}, LLVM {version}, {_processor()}, {_features()}, -O{SPEED_LEVEL}"


def compile_ir(text: str, *, quickly: bool = False) -> bytes:
    """Return the object file of an LLVM module, optimized for this processor, ``quickly`` less so.

    Raises CompilationError.
    """
    with _lock:
        machine = _target_machine(QUICK_LEVEL if quickly else SPEED_LEVEL)
        try:
            module = llvm.parse_assembly(text)
            module.triple = llvm.get_process_triple()
            module.data_layout = str(machine.target_data)
            module.verify()
        except RuntimeError as error:
            raise CompilationError(f"LLVM refuses the generated code: {error}") from error
        options = llvm.create_pipeline_tuning_options(speed_level=QUICK_LEVEL if quickly else SPEED_LEVEL)
        options.loop_vectorization = not quickly
        options.slp_vectorization = not quickly
        options.loop_interleaving = not quickly
        options.loop_unrolling = not quickly
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        return bytes(machine.emit_object(module))


class LoadedObject:
    """An object file in memory, ready to run; gone when no reference to it is left."""

    def __init__(self, image: bytes, symbols: Iterable[str]) -> None:
        """Link the object file; ``symbols`` are the names whose addresses are wanted.

        Raises CompilationError if the object needs a symbol that is not in the runtime, libc or libm.
        """
        exports = set(symbols)
        builder = llvm.JITLibraryBuilder().add_object_img(image)
        missing = []
        for name in undefined_symbols(image):
            address = get_runtime().symbol(name)
            if address is None:
                missing.append(name)
            else:
                builder.import_symbol(name, address)
        if missing:
            raise CompilationError(f"generated code needs functions that do not exist: {', '.join(missing)}")
        for name in exports:
            builder.export_symbol(name)
        with _lock:
            try:
                self._tracker = builder.link(_jit(), f"module {next(_names)}")
            except RuntimeError as error:
                raise CompilationError(f"LLVM cannot load the generated code: {error}") from error
        self.addresses = {name: int(self._tracker[name]) for name in exports}
        _live.add(self._tracker)


def undefined_symbols(image: bytes) -> list[str]:
    """Return the names that an ELF64 object file uses without defining them."""
    (sections,) = struct.unpack_from("<Q", image, 0x28)
    size, count = struct.unpack_from("<HH", image, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", image, sections + i * size) for i in range(count)]
    names = []
    for header in headers:
        if header[1] != _SYMBOL_TABLE:
            continue
        start, length, strings = header[4], header[5], headers[header[6]][4]
        for place in range(start + 24, start + length, 24):
            name, _, _, section = struct.unpack_from("<IBBH", image, place)
            if section == 0:
                begin = strings + name
                names.append(image[begin : image.index(b"\0", begin)].decode())
    return names


#: trackers whose code must not go while the interpreter shuts down: worker threads may still run in it
_live: weakref.WeakSet[llvm.ResourceTracker] = weakref.WeakSet()


@atexit.register
def _keep_code() -> None:
    for tracker in list(_live):
        tracker.detach()
    if _jit.cache_info().currsize:
        _jit().detach()


@cache
def _processor() -> str:
    return str(llvm.get_host_cpu_name())


@cache
def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


def _make_target_machine(level: int) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=_processor(), features=_features(), opt=level, reloc="pic", codemodel="small", jit=True
    )


@cache
def _target_machine(level: int) -> llvm.TargetMachine:
    return _make_target_machine(level)


@cache
def _jit() -> llvm.LLJIT:
    # a target machine of its own, which LLJIT takes apart
    return llvm.create_lljit_compiler(_make_target_machine(SPEED_LEVEL), suppress_errors=True)
