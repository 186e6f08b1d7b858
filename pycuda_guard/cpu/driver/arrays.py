"""CUDA arrays, and copies from and to them in one dimension.

An array's elements lie in rows without padding, in memory of their own that has no device address.
"""

from __future__ import annotations

import ctypes

from pycuda_guard.cpu.driver import contexts, queues, state
from pycuda_guard.cpu.driver.cells import put_u64
from pycuda_guard.cpu.driver.copies import Kind, Place, copy, device_place, host_place
from pycuda_guard.cpu.driver.errors import DriverError, Result

#: bytes of a channel, by CUarray_format
_FORMATS = {0x01: 1, 0x02: 2, 0x03: 4, 0x08: 1, 0x09: 2, 0x0A: 4, 0x10: 2, 0x20: 4}
_CHANNELS = (1, 2, 4)


class Descriptor(ctypes.Structure):
    """CUDA_ARRAY_DESCRIPTOR."""

    _fields_ = (
        ("width", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
        ("format", ctypes.c_int),
        ("channels", ctypes.c_uint),
    )


class Descriptor3D(ctypes.Structure):
    """CUDA_ARRAY3D_DESCRIPTOR."""

    _fields_ = (
        ("width", ctypes.c_size_t),
        ("height", ctypes.c_size_t),
        ("depth", ctypes.c_size_t),
        ("format", ctypes.c_int),
        ("channels", ctypes.c_uint),
        ("flags", ctypes.c_uint),
    )


class Array:
    """A CUDA array. ``row_bytes``, ``rows`` and ``slices`` are at least 1; extents of 0 count as 1."""

    def __init__(self, width: int, height: int, depth: int, format_: int, channels: int, flags: int) -> None:
        self.width, self.height, self.depth = width, height, depth
        self.format, self.channels, self.flags = format_, channels, flags
        self.row_bytes = width * channels * _FORMATS[format_]
        self.rows = max(1, height)
        self.slices = max(1, depth)
        self._memory = ctypes.create_string_buffer(self.row_bytes * self.rows * self.slices)
        self.address = ctypes.addressof(self._memory)


_arrays = state.Handles(0x4000_0000)


def lookup(handle: int) -> Array:
    """Return the array of a handle."""
    array: Array = _arrays.get(handle)
    return array


def _create(out: int, *shape: int) -> None:
    contexts.current_waiting()
    width, _, _, format_, channels, _ = shape
    if not width or format_ not in _FORMATS or channels not in _CHANNELS:
        raise DriverError(Result.INVALID_VALUE)
    try:
        put_u64(out, _arrays.add(Array(*shape)))
    except (MemoryError, OverflowError, ValueError):
        raise DriverError(Result.OUT_OF_MEMORY) from None


def create(out: int, descriptor: int) -> None:
    """Create a one- or two-dimensional array."""
    if not descriptor:
        raise DriverError(Result.INVALID_VALUE)
    d = Descriptor.from_address(descriptor)
    _create(out, d.width, d.height, 0, d.format, d.channels, 0)


def create_3d(out: int, descriptor: int) -> None:
    """Create an array of up to three dimensions, or of layers."""
    if not descriptor:
        raise DriverError(Result.INVALID_VALUE)
    d = Descriptor3D.from_address(descriptor)
    _create(out, d.width, d.height, d.depth, d.format, d.channels, d.flags)


def destroy(handle: int) -> None:
    """Free an array when all work is done."""
    if state.status.trouble:
        state.require(True)
    lookup(handle)
    queues.when_done(lambda: _arrays.objects.pop(handle, None))


def get_descriptor(out: int, handle: int) -> None:
    """Return the shape and format of an array, without its depth."""
    contexts.current_waiting()
    array = lookup(handle)
    if not out:
        raise DriverError(Result.INVALID_VALUE)
    d = Descriptor.from_address(out)
    d.width, d.height, d.format, d.channels = array.width, array.height, array.format, array.channels


def get_descriptor_3d(out: int, handle: int) -> None:
    """Return the shape and format of an array."""
    contexts.current_waiting()
    array = lookup(handle)
    if not out:
        raise DriverError(Result.INVALID_VALUE)
    d = Descriptor3D.from_address(out)
    d.width, d.height, d.depth = array.width, array.height, array.depth
    d.format, d.channels, d.flags = array.format, array.channels, array.flags


def _part(handle: int, offset: int, nbytes: int) -> Place:
    """Return the place of a range of an array's first row."""
    array = lookup(handle)
    if offset + nbytes > array.row_bytes:
        raise DriverError(Result.INVALID_VALUE)
    return Place(array.address + offset, Kind.DEVICE)


def host_to_array(array: int, offset: int, source: int, nbytes: int) -> None:
    """Copy from the host into the first row of an array; offset and size are in bytes."""
    queue = contexts.current_waiting().queues.legacy
    if nbytes:
        copy(queue, _part(array, offset, nbytes), host_place(source, nbytes), nbytes, True)


def array_to_host(destination: int, array: int, offset: int, nbytes: int) -> None:
    """Copy from the first row of an array to the host; offset and size are in bytes."""
    queue = contexts.current_waiting().queues.legacy
    if nbytes:
        copy(queue, host_place(destination, nbytes), _part(array, offset, nbytes), nbytes, True)


def device_to_array(array: int, offset: int, source: int, nbytes: int) -> None:
    """Queue a copy from device memory into the first row of an array; offset and size are in bytes."""
    queue = contexts.current_waiting().queues.legacy
    if nbytes:
        copy(queue, _part(array, offset, nbytes), device_place(source, nbytes), nbytes, True)


def array_to_device(destination: int, array: int, offset: int, nbytes: int) -> None:
    """Queue a copy from the first row of an array to device memory; offset and size are in bytes."""
    queue = contexts.current_waiting().queues.legacy
    if nbytes:
        copy(queue, device_place(destination, nbytes), _part(array, offset, nbytes), nbytes, True)


def array_to_array(to: int, to_offset: int, origin: int, origin_offset: int, nbytes: int) -> None:
    """Queue a copy between the first rows of two arrays; offsets and size are in bytes."""
    queue = contexts.current_waiting().queues.legacy
    if nbytes:
        copy(queue, _part(to, to_offset, nbytes), _part(origin, origin_offset, nbytes), nbytes, True)
