"""Copying rectangles and boxes between host memory, device memory and arrays.

Sides of a copy are laid out alike in CUDA_MEMCPY2D, CUDA_MEMCPY3D and CUDA_MEMCPY3D_PEER: every field
takes eight bytes.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import arrays, contexts, streams
from pycuda_guard.cpu.driver.copies import device_range, host_range
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.transfer import move

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HOST, _DEVICE, _ARRAY, _UNIFIED = 1, 2, 3, 4


@dataclass(slots=True)
class _Side:
    """One side of a copy: ``start`` is where its first byte is; strides are in bytes."""

    start: int
    row_stride: int
    slice_stride: int


Extent = tuple[int, int, int]  # width in bytes, height, depth


def _side(
    kind: int,
    host: int,
    device: int,
    array_handle: int,
    pitch: int,
    height: int,
    position: Extent,
    extent: Extent,
) -> _Side:
    x, y, z = position
    width, rows, slices = extent
    if kind == _ARRAY:
        array = arrays.lookup(array_handle)
        if x + width > array.row_bytes or y + rows > array.rows or z + slices > array.slices:
            raise DriverError(Result.INVALID_VALUE)
        pitch, height, base = array.row_bytes, array.rows, array.address
    else:
        pitch = pitch or x + width
        height = height or y + rows
        if x + width > pitch or y + rows > height:
            raise DriverError(Result.INVALID_VALUE)
        offset = (z * height + y) * pitch + x
        nbytes = ((slices - 1) * height + rows - 1) * pitch + width
        if kind == _HOST:
            base = host_range(host + offset, nbytes) - offset if host else 0
        elif kind == _DEVICE:
            base = device_range(device + offset, nbytes) - offset
        elif kind == _UNIFIED:
            base = host_range(device + offset, nbytes) - offset if device else 0
        else:
            base = 0
        if not base:
            raise DriverError(Result.INVALID_VALUE)
    return _Side(base + (z * height + y) * pitch + x, pitch, pitch * height)


def _work(source: _Side, destination: _Side, extent: Extent) -> Callable[[], None]:
    width, rows, slices = extent

    def copy() -> None:
        for z in range(slices):
            origin = source.start + z * source.slice_stride
            to = destination.start + z * destination.slice_stride
            if source.row_stride == destination.row_stride == width:
                move(to, origin, width * rows)
                continue
            for y in range(rows):
                move(to + y * destination.row_stride, origin + y * source.row_stride, width)

    return copy


def _read(pointer: int, words: int) -> Sequence[int]:
    if not pointer:
        raise DriverError(Result.INVALID_VALUE)
    return list((ctypes.c_uint64 * words).from_address(pointer))


def _kind(word: int) -> int:
    return word & 0xFFFF_FFFF  # the rest is padding


def _parse_2d(pointer: int) -> Callable[[], None] | None:
    f = _read(pointer, 16)
    extent = (f[14], f[15], 1)
    if not all(extent):
        return None
    source = _side(_kind(f[2]), f[3], f[4], f[5], f[6], 0, (f[0], f[1], 0), extent)
    destination = _side(_kind(f[9]), f[10], f[11], f[12], f[13], 0, (f[7], f[8], 0), extent)
    return _work(source, destination, extent)


def _parse_3d(pointer: int) -> Callable[[], None] | None:
    f = _read(pointer, 25)
    extent = (f[22], f[23], f[24])
    if not all(extent):
        return None
    source = _side(_kind(f[4]), f[5], f[6], f[7], f[9], f[10], (f[0], f[1], f[2]), extent)
    destination = _side(_kind(f[15]), f[16], f[17], f[18], f[20], f[21], (f[11], f[12], f[13]), extent)
    return _work(source, destination, extent)


def _queue(copy: Callable[[], None] | None, stream: streams.Stream) -> None:
    if copy is not None:
        stream.enqueue(copy)


def copy_2d(pointer: int) -> None:
    """Copy a rectangle."""
    contexts.current_waiting()
    _queue(_parse_2d(pointer), streams.default())


def copy_2d_async(pointer: int, stream: int) -> None:
    """Queue the copy of a rectangle."""
    queue = streams.lookup(stream, contexts.current())
    _queue(_parse_2d(pointer), queue)


def copy_3d(pointer: int) -> None:
    """Copy a box."""
    contexts.current_waiting()
    _queue(_parse_3d(pointer), streams.default())


def copy_3d_async(pointer: int, stream: int) -> None:
    """Queue the copy of a box."""
    queue = streams.lookup(stream, contexts.current())
    _queue(_parse_3d(pointer), queue)


def copy_3d_peer(pointer: int) -> None:
    """Copy a box between contexts, which share the device's memory."""
    copy_3d(pointer)


def copy_3d_peer_async(pointer: int, stream: int) -> None:
    """Queue the copy of a box between contexts, which share the device's memory."""
    copy_3d_async(pointer, stream)
