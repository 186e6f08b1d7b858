"""Binding of the native runtime: the address region, and running kernels.

The C functions live in the extension module ``pycuda_guard.cpu._runtime``, which is empty as a Python module;
they are called through ctypes, which lets go of the GIL meanwhile. Declarations: ``native/runtime.h``.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import struct
import sys
from ctypes import POINTER, Structure, c_char, c_char_p, c_int, c_int32, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pycuda_guard.cpu.abi import FaultKind, kernel_number
from pycuda_guard.errors import GuardError, StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycuda_guard.cpu.codegen.plan import KernelPlan

Triple = tuple[int, int, int]

#: version of the interface; equal to PG_ABI in native/runtime.h
ABI = 8

_DIMENSIONS = struct.Struct("6I")
_OK, _FAULTED, _FORKED, _NO_MEMORY = range(4)


class RegionError(GuardError, OSError):
    """Memory for a range of the address region is not to be had; ``errno`` says why."""

    def __init__(self, message: str, errno: int, hint: str = "") -> None:
        GuardError.__init__(self, f"{message}: {os.strerror(errno)}", hint)
        self.errno = errno


class ForkedError(GuardError):
    """A kernel was launched in a forked child, which has none of its parent's threads."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How a launch failed.

    ``address`` is a device address; it is exact if ``known``, else 0. ``block`` and ``thread`` are None where
    unknown. ``message``, ``file``, ``line`` and ``function`` are those of a failed assertion; a deadlock has
    a message only.
    """

    kind: FaultKind
    address: int = 0
    known: bool = False
    block: Triple | None = None
    thread: Triple | None = None
    message: str = ""
    file: str = ""
    line: int = 0
    function: str = ""


class _Fault(Structure):
    _fields_ = (
        ("kind", c_int32),
        ("known", c_int32),
        ("located", c_int32),
        ("line", c_int32),
        ("address", c_uint64),
        ("block", c_uint32 * 3),
        ("thread", c_uint32 * 3),
        ("message", c_char * 256),
        ("file", c_char * 256),
        ("function", c_char * 256),
    )


class _Kernel(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("blocks", c_void_p),
        ("full", POINTER(c_void_p)),
        ("range", POINTER(c_void_p)),
        ("suspension", POINTER(c_uint8)),
        ("regions", c_uint32),
        ("parameter_bytes", c_uint32),
        ("static_shared", c_uint32),
        ("local_bytes", c_uint32),
        ("frame_slots", c_uint32),
        ("reserved", c_uint32),
    )


class _Child(Structure):
    """The head of ``struct pg_child``; the bytes of the parameters follow."""

    _fields_ = (
        ("next", c_uint64),
        ("kernel", c_uint64),
        ("grid", c_uint32 * 3),
        ("block", c_uint32 * 3),
        ("shared", c_uint32),
        ("nbytes", c_uint32),
        ("is_tail", c_uint32),
        ("reserved", c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Child:
    """A launch that a kernel has made: what of, by number in its module, and how.

    ``is_tail``: to be run after all others and what they launch. ``shared`` is in bytes.
    """

    kernel: int | None
    grid: Triple
    block: Triple
    shared: int
    parameters: bytes
    is_tail: bool


class Kernel:
    """A kernel that can be launched: its plan, and where its code is.

    ``plan`` is as the code generator made it. The code stays loaded as long as the kernel's module is.
    """

    def __init__(self, plan: KernelPlan, addresses: Mapping[str, int], owner: object = None) -> None:
        """Take the code's addresses by symbol; ``owner`` is kept alive, for the code is gone with it."""
        self.name = plan.name
        self.plan = plan
        self._owner = owner
        regions = 0 if plan.unsupported else len(plan.suspensions)
        self._full = (c_void_p * regions)(*(addresses[f"{plan.name}.full.{i}"] for i in range(regions)))
        self._range = (c_void_p * regions)(*(addresses[f"{plan.name}.range.{i}"] for i in range(regions)))
        self._suspension = (c_uint8 * regions)(*plan.suspensions[:regions])
        self.native = _Kernel(
            name=plan.name.encode(),
            blocks=None if regions or plan.unsupported else addresses[f"{plan.name}.blocks"],
            full=self._full,
            range=self._range,
            suspension=self._suspension,
            regions=regions,
            parameter_bytes=plan.parameter_bytes,
            static_shared=plan.static_shared,
            local_bytes=plan.local_bytes,
            frame_slots=plan.frame_slots,
        )
        self.address = ctypes.addressof(self.native)


class Runtime:
    """The native runtime of this process, with the address region reserved at ``base``."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        for name, arguments, result in _PROTOTYPES:
            function = getattr(library, name)
            function.argtypes = arguments
            function.restype = result
        # with the GIL, unlike the others
        self._interrupt = ctypes.PyDLL(library._name).pg_interrupt
        self._interrupt.argtypes = (ctypes.py_object,)
        self._interrupt.restype = None
        self._has_output = c_int.in_dll(library, "pg_has_output")
        self.base = self.reserve()
        library.pg_arm()

    def reserve(self) -> int:
        """Reserve the address region, if that is not done yet, and return its base. Raises RegionError."""
        error = self.library.pg_reserve()
        if error:
            raise RegionError(
                "the CPU device cannot reserve its 4 TiB of addresses",
                error,
                "these are addresses, not memory: lift the limit on them with `ulimit -v unlimited`",
            )
        return c_uint64.in_dll(self.library, "pg_region_base").value

    def launch(
        self,
        kernel: Kernel,
        grid: Triple,
        block: Triple,
        shared: int,
        parameters: bytes,
        timeout: float = 0.0,
        stack: int = 0,
        children: list[Child] | None = None,
        most_children: int = 0,
    ) -> Fault | None:
        """Run a kernel to its end and return how it failed, or None; the GIL is free meanwhile.

        ``grid`` and ``block`` are in blocks and threads, ``shared`` is dynamic shared memory in bytes.
        ``parameters`` is cut or padded with zeros to the kernel's size. After ``timeout`` seconds (0: never)
        the kernel is given up. One that recurses or has ``alloca`` gets ``stack`` bytes of local memory a
        thread for that. What it launches itself, ``most_children`` at most, is appended to ``children``, in
        this order. Raises ForkedError, MemoryError.
        """
        if kernel.plan.unsupported:
            raise GuardError(f"kernel {kernel.name} cannot run: {kernel.plan.unsupported}")
        dimensions = _DIMENSIONS.pack(*grid, *block)
        fault = _Fault()
        stack = stack if kernel.plan.needs_stack else 0
        milliseconds = round(1000 * timeout)
        first = c_void_p()
        result = self.library.pg_launch_kernel(
            kernel.address,
            dimensions,
            shared,
            stack,
            parameters,
            len(parameters),
            milliseconds,
            most_children,
            ctypes.byref(first),
            fault,
        )
        if first.value:
            if children is not None:
                children += _children(first.value)
            self.library.pg_free_children(first)
        if result == _OK:
            return None
        if result == _FORKED:
            raise ForkedError(
                "a forked child process cannot use the CPU device of its parent",
                'start processes with multiprocessing.set_start_method("spawn")',
            )
        if result == _NO_MEMORY:
            raise MemoryError("no memory or no threads to run a kernel with")
        return _fault(fault)

    def cancel(self) -> None:
        """Give up the kernel that another thread runs, if there is one."""
        self.library.pg_cancel()

    def raise_later(self, exception: BaseException) -> None:
        """Have an exception raised in the program as soon as the running driver function has returned.

        For the main thread, as only there handlers of signals raise exceptions.
        """
        self._interrupt(exception)

    def resize_printf(self, nbytes: int) -> None:
        """Set how many bytes of what kernels print are kept until they are written; the oldest are lost."""
        self.library.pg_printf_resize(nbytes)

    def flush(self) -> None:
        """Write what kernels have printed to standard output."""
        if self._has_output.value:
            self.library.pg_flush()

    def commit(self, address: int, nbytes: int) -> None:
        """Put memory (zeros) behind a range of the device window, in whole pages. Raises RegionError."""
        self._check(self.library.pg_commit(address, nbytes), "commit", address, nbytes)

    def decommit(self, address: int, nbytes: int) -> None:
        """Take the memory behind a range of the device window away; accesses fault from now on."""
        self._check(self.library.pg_decommit(address, nbytes), "decommit", address, nbytes)

    def commit_host(self, address: int, nbytes: int) -> None:
        """Put memory (zeros) at a range of the host window, shared with the device. Raises RegionError."""
        self._check(self.library.pg_commit_host(address, nbytes), "commit pinned", address, nbytes)

    def decommit_host(self, address: int, nbytes: int) -> None:
        """Take the memory at a range of the host window away, for host and device."""
        self._check(self.library.pg_decommit_host(address, nbytes), "decommit pinned", address, nbytes)

    @property
    def heap_bytes(self) -> int:
        """Size of the heap that kernels' ``malloc`` takes from, in bytes."""
        return int(self.library.pg_heap_bytes())

    def resize_heap(self, nbytes: int) -> bool:
        """Set the size of the kernels' heap; False if it has been used already or the size is too large."""
        return not self.library.pg_heap_resize(nbytes)

    def symbol(self, name: str) -> int | None:
        """Return the address of a function that generated code may call, or None if there is none."""
        # libgcc: what a processor without an instruction needs instead (half floats, 128-bit division)
        for library in (self.library, None, "libgcc_s.so.1"):
            try:
                loaded = library if isinstance(library, ctypes.CDLL) else ctypes.CDLL(library)
                return ctypes.cast(getattr(loaded, name), c_void_p).value
            except (AttributeError, OSError):
                continue
        return None

    def _check(self, error: int, verb: str, address: int, nbytes: int) -> None:
        if error:
            raise RegionError(f"cannot {verb} {nbytes} bytes at {address:#x}", error)


@cache
def get_runtime() -> Runtime:
    """Return this process's runtime, loaded and with its region reserved at the first call.

    Raises StartError where the native runtime is missing, RegionError if addresses cannot be reserved.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise StartError(
            f"the CPU device runs on Linux on x86-64 only, this is {sys.platform} on {platform.machine()}",
        )
    rebuild = (
        "build it with a C compiler installed: `python setup.py build_ext --inplace` in a clone, "
        "`pip install --force-reinstall --no-deps --no-binary :all: pycuda-guard` elsewhere"
    )
    try:
        module = importlib.import_module("pycuda_guard.cpu._runtime")
        library = ctypes.CDLL(module.__file__)
        found = library.pg_abi()
    except (ImportError, AttributeError) as error:
        raise StartError(f"the CPU device's native runtime is missing or stale ({error})", rebuild) from error
    if found != ABI:
        raise StartError(f"the CPU device's native runtime is stale (version {found}, not {ABI})", rebuild)
    return Runtime(library)


def _children(address: int) -> Iterator[Child]:
    """Yield the launches of a list."""
    while address:
        child = _Child.from_address(address)
        yield Child(
            kernel_number(child.kernel),
            _triple(child.grid),
            _triple(child.block),
            child.shared,
            ctypes.string_at(address + ctypes.sizeof(_Child), child.nbytes),
            bool(child.is_tail),
        )
        address = child.next


def _fault(fault: _Fault) -> Fault:
    return Fault(
        kind=FaultKind(fault.kind),
        address=fault.address,
        known=bool(fault.known),
        block=_triple(fault.block) if fault.located else None,
        thread=_triple(fault.thread) if fault.located else None,
        message=_text(fault.message),
        file=_text(fault.file),
        line=fault.line,
        function=_text(fault.function),
    )


def _triple(values: ctypes.Array[c_uint32]) -> Triple:
    return values[0], values[1], values[2]


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


_PROTOTYPES: tuple[tuple[str, tuple[type, ...], type | None], ...] = (
    ("pg_reserve", (), c_int),
    ("pg_arm", (), None),
    ("pg_commit", (c_uint64, c_uint64), c_int),
    ("pg_decommit", (c_uint64, c_uint64), c_int),
    ("pg_commit_host", (c_uint64, c_uint64), c_int),
    ("pg_decommit_host", (c_uint64, c_uint64), c_int),
    ("pg_heap_resize", (c_uint64,), c_int),
    ("pg_heap_bytes", (), c_uint64),
    (
        "pg_launch_kernel",
        (
            c_void_p,
            c_char_p,
            c_uint32,
            c_uint32,
            c_char_p,
            c_uint64,
            c_uint64,
            c_uint32,
            c_void_p,
            POINTER(_Fault),
        ),
        c_int,
    ),
    ("pg_free_children", (c_void_p,), None),
    ("pg_cancel", (), None),
    ("pg_flush", (), None),
    ("pg_printf_resize", (c_uint64,), None),
)
