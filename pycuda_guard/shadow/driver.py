"""The driver functions that the guard itself calls, through ctypes.

PyCUDA's own objects keep the context alive that they were made in, and complain when they are
destroyed elsewhere; what the guard allocates must not change when a program's contexts die. So it
is made with the driver's handles, and goes with its context.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from ctypes import c_int, c_size_t, c_ubyte, c_uint, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST_PORTABLE_AND_MAPPED = 1 | 2
_NON_BLOCKING = 1
_DISABLE_TIMING = 2
_NOT_READY = 600
_PAGEABLE_MEMORY_ACCESS = 88
_BUFFER_ID = 7
_INVALID_VALUE = 1

_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "cuCtxPushCurrent_v2": (c_uint64,),
    "cuCtxPopCurrent_v2": (c_void_p,),
    "cuCtxGetCurrent": (c_void_p,),
    "cuCtxGetDevice": (c_void_p,),
    "cuCtxSynchronize": (),
    "cuDeviceGetAttribute": (c_void_p, c_int, c_int),
    "cuDriverGetVersion": (c_void_p,),
    "cuMemAlloc_v2": (c_void_p, c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (c_void_p, c_size_t, c_uint),
    "cuMemFreeHost": (c_uint64,),
    "cuMemHostGetDevicePointer_v2": (c_void_p, c_uint64, c_uint),
    "cuMemGetAddressRange_v2": (c_void_p, c_void_p, c_uint64),
    "cuPointerGetAttribute": (c_void_p, c_int, c_uint64),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_uint64, c_size_t, c_uint64),
    "cuMemcpyDtoHAsync_v2": (c_uint64, c_uint64, c_size_t, c_uint64),
    "cuMemcpyPeer": (c_uint64, c_uint64, c_uint64, c_uint64, c_size_t),
    "cuMemcpyPeerAsync": (c_uint64, c_uint64, c_uint64, c_uint64, c_size_t, c_uint64),
    "cuMemsetD8Async": (c_uint64, c_ubyte, c_size_t, c_uint64),
    "cuMemsetD2D8Async": (c_uint64, c_size_t, c_ubyte, c_size_t, c_size_t, c_uint64),
    "cuStreamCreate": (c_void_p, c_uint),
    "cuStreamSynchronize": (c_uint64,),
    "cuStreamWaitEvent": (c_uint64, c_uint64, c_uint),
    "cuStreamDestroy_v2": (c_uint64,),
    "cuEventCreate": (c_void_p, c_uint),
    "cuEventRecord": (c_uint64, c_uint64),
    "cuEventQuery": (c_uint64,),
    "cuEventDestroy_v2": (c_uint64,),
    "cuModuleLoadData": (c_void_p, c_void_p),
    "cuModuleUnload": (c_uint64,),
    "cuModuleGetFunction": (c_void_p, c_uint64, ctypes.c_char_p),
    "cuLaunchKernel": (c_uint64, *(c_uint,) * 7, c_uint64, c_void_p, c_void_p),
}


#: what every call in a context answers once a kernel in it has failed (CUDA_ERROR_ILLEGAL_ADDRESS, …_TIMEOUT,
#: …_ASSERT, …_HARDWARE_STACK_ERROR to …_LAUNCH_FAILED); the context is still there
_KERNEL_FAILED = frozenset({700, 702, 710, *range(714, 720)})


class DriverError(GuardError):
    """The driver refused something that the guard itself asked for."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} failed with error {code}")
        self.code = code

    @property
    def is_of_kernel(self) -> bool:
        """Whether a kernel that failed before is the reason."""
        return self.code in _KERNEL_FAILED


class Driver:
    """The CUDA driver of this process. Every method raises :class:`DriverError` if the call fails."""

    def __init__(self) -> None:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        self._functions: dict[str, Any] = {}
        for name, arguments in _ARGUMENTS.items():
            function = getattr(library, name)
            function.argtypes = arguments
            function.restype = c_int
            self._functions[name] = function
        self._memset = self._functions["cuMemsetD8Async"]
        self._query = self._functions["cuEventQuery"]
        self._launch = self._functions["cuLaunchKernel"]

    def _call(self, name: str, *arguments: Any) -> None:
        code = self._functions[name](*arguments)
        if code:
            raise DriverError(name, code)

    def _get(self, name: str, *arguments: Any) -> int:
        """Call a function whose first argument is where a handle or address goes."""
        out = c_uint64()
        self._call(name, ctypes.byref(out), *arguments)
        return out.value

    # -- contexts and devices -------------------------------------------------------------------

    def version(self) -> tuple[int, int]:
        """Return the CUDA version of the driver."""
        number = self._get("cuDriverGetVersion") & 0xFFFFFFFF
        return number // 1000, number % 1000 // 10

    def current_context(self) -> int:
        """Return the handle of the calling thread's context, or 0."""
        return self._get("cuCtxGetCurrent")

    @contextmanager
    def current(self, context: int) -> Iterator[None]:
        """Have a context current in the calling thread for a while.

        It must exist: the driver follows the handle of one that is gone into memory that was freed.
        """
        self._call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            self._get("cuCtxPopCurrent_v2")

    def synchronize(self) -> None:
        """Wait for everything in the current context."""
        self._call("cuCtxSynchronize")

    def maps_pageable_memory(self) -> bool:
        """Tell whether kernels may use any memory of the host."""
        device = self._get("cuCtxGetDevice") & 0xFFFFFFFF
        return bool(self._get("cuDeviceGetAttribute", _PAGEABLE_MEMORY_ACCESS, device) & 0xFFFFFFFF)

    # -- memory ---------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> int:
        """Return the address of new device memory."""
        return self._get("cuMemAlloc_v2", nbytes)

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cuMemFree_v2", address)

    def allocate_mapped(self, nbytes: int) -> tuple[int, int]:
        """Return host and device address of new pinned memory that the device can access."""
        host = self._get("cuMemHostAlloc", nbytes, _HOST_PORTABLE_AND_MAPPED)
        return host, self._get("cuMemHostGetDevicePointer_v2", host, 0)

    def free_host(self, address: int) -> None:
        """Give pinned memory back."""
        self._call("cuMemFreeHost", address)

    def address_range(self, address: int) -> tuple[int, int]:
        """Return base and size of the allocation at an address, as far as the driver knows."""
        size = c_uint64()
        base = c_uint64()
        self._call("cuMemGetAddressRange_v2", ctypes.byref(base), ctypes.byref(size), address)
        return base.value, size.value

    def buffer_id(self, address: int) -> int:
        """Return the number of the allocation at an address, which no other one ever has; 0 if there is none.

        Needs no context: the way to tell whether one is gone, and its memory with it.
        """
        try:
            return self._get("cuPointerGetAttribute", _BUFFER_ID, address)
        except DriverError as error:
            if error.code == _INVALID_VALUE:
                return 0
            raise

    def upload(self, destination: int, source: int, nbytes: int, stream: int) -> None:
        """Copy from host memory, which must stay as it is until the stream has passed."""
        self._call("cuMemcpyHtoDAsync_v2", destination, source, nbytes, stream)

    def download(self, destination: int, source: int, nbytes: int, stream: int) -> None:
        """Copy to host memory."""
        self._call("cuMemcpyDtoHAsync_v2", destination, source, nbytes, stream)

    def copy_across(
        self, destination: int, to: int, source: int, origin: int, nbytes: int, stream: int | None
    ) -> None:
        """Copy from context ``origin`` to context ``to``: in a stream, or (None) after all work in both."""
        places = (destination, to, source, origin, nbytes)
        if stream is None:
            self._call("cuMemcpyPeer", *places)
        else:
            self._call("cuMemcpyPeerAsync", *places, stream)

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        """Set bytes of device memory."""
        code = self._memset(address, value, nbytes, stream)
        if code:
            raise DriverError("cuMemsetD8Async", code)

    def fill_rows(self, address: int, pitch: int, value: int, width: int, rows: int, stream: int) -> None:
        """Set ``width`` bytes in each of ``rows`` rows that are ``pitch`` bytes apart."""
        self._call("cuMemsetD2D8Async", address, pitch, value, width, rows, stream)

    # -- streams and events ---------------------------------------------------------------------

    def create_stream(self) -> int:
        """Return a stream that waits for no other."""
        return self._get("cuStreamCreate", _NON_BLOCKING)

    def synchronize_stream(self, stream: int) -> None:
        """Wait for a stream."""
        self._call("cuStreamSynchronize", stream)

    def wait_event(self, stream: int, event: int) -> None:
        """Have a stream wait for an event."""
        self._call("cuStreamWaitEvent", stream, event, 0)

    def create_event(self) -> int:
        """Return an event without a time."""
        return self._get("cuEventCreate", _DISABLE_TIMING)

    def record(self, event: int, stream: int) -> None:
        """Record an event in a stream."""
        self._call("cuEventRecord", event, stream)

    def is_done(self, event: int) -> bool:
        """Tell whether what an event was recorded after is done, without waiting."""
        code = self._query(event)
        if code not in (0, _NOT_READY):
            raise DriverError("cuEventQuery", code)
        return not code

    # -- kernels --------------------------------------------------------------------------------

    def load(self, image: bytes) -> int:
        """Return the handle of a module made from a NUL-terminated image."""
        return self._get("cuModuleLoadData", image)

    def function(self, module: int, name: str) -> int:
        """Return the handle of a kernel."""
        return self._get("cuModuleGetFunction", module, name.encode())

    def launch(self, function: int, blocks: int, threads: int, packed: bytes, stream: int) -> None:
        """Launch a kernel in one dimension, with packed arguments."""
        size = c_size_t(len(packed))
        buffer = ctypes.create_string_buffer(packed, len(packed))
        extra = (c_void_p * 5)(1, ctypes.addressof(buffer), 2, ctypes.addressof(size), 0)
        code = self._launch(function, blocks, 1, 1, threads, 1, 1, 0, stream, None, extra)
        if code:
            raise DriverError("cuLaunchKernel", code)
