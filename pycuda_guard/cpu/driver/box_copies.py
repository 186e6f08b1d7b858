"""Copying rectangles and boxes between host memory, device memory and arrays.

Sides of a copy are laid out alike in CUDA_MEMCPY2D, CUDA_MEMCPY3D and CUDA_MEMCPY3D_PEER: every field
takes eight bytes.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import arrays, contexts, queues, streams
from pycuda_guard.cpu.driver.copies import Kind, Place, device_place, host_place, submit
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.transfer import move

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.cpu.driver.queues import Queue

_HOST, _DEVICE, _ARRAY, _UNIFIED = 1, 2, 3, 4


@dataclass(slots=True)
class _Side:
    """One side of a copy: where its first byte is, and whose; strides are in bytes."""

    start: Place
    row_stride: int
    slice_stride: int

    def span(self, extent: Extent) -> int:
        """Return the number of bytes from the first to the last of a box."""
        width, rows, slices = extent
        return (slices - 1) * self.slice_stride + (rows - 1) * self.row_stride + width


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
        pitch, height = array.row_bytes, array.rows
        start = Place(array.address + (z * height + y) * pitch + x, Kind.DEVICE)
    else:
        pitch = pitch or x + width
        height = height or y + rows
        if x + width > pitch or y + rows > height:
            raise DriverError(Result.INVALID_VALUE)
        offset = (z * height + y) * pitch + x
        nbytes = ((slices - 1) * height + rows - 1) * pitch + width
        if kind == _HOST and host:
            start = host_place(host + offset, nbytes)
        elif kind == _DEVICE:
            start = device_place(device + offset, nbytes)
        elif kind == _UNIFIED and device:
            start = host_place(device + offset, nbytes)
        else:
            raise DriverError(Result.INVALID_VALUE)
    return _Side(start, pitch, pitch * height)


@dataclass(slots=True)
class _Copy:
    """A copy of a box."""

    source: _Side
    destination: _Side
    extent: Extent

    def work(self, start: int) -> Callable[[], None]:
        """Return the work of copying; the source's first byte is at ``start``."""
        source, destination = self.source, self.destination
        width, rows, slices = self.extent

        def run() -> None:
            for z in range(slices):
                origin = start + z * source.slice_stride
                to = destination.start.address + z * destination.slice_stride
                if source.row_stride == destination.row_stride == width:
                    move(to, origin, width * rows)
                    continue
                for y in range(rows):
                    move(to + y * destination.row_stride, origin + y * source.row_stride, width)

        return run

    def submit(self, queue: Queue, waits: bool = False) -> None:
        """Queue the copy; ``waits``: the call is a synchronous one."""
        span = self.source.span(self.extent)
        submit(queue, self.destination.start.kind, self.source.start, span, self.work, waits)


def _read(pointer: int, words: int) -> Sequence[int]:
    if not pointer:
        raise DriverError(Result.INVALID_VALUE)
    return list((ctypes.c_uint64 * words).from_address(pointer))


def _kind(word: int) -> int:
    return word & 0xFFFF_FFFF  # the rest is padding


def _parse_2d(pointer: int) -> _Copy | None:
    f = _read(pointer, 16)
    extent = (f[14], f[15], 1)
    if not all(extent):
        return None
    source = _side(_kind(f[2]), f[3], f[4], f[5], f[6], 0, (f[0], f[1], 0), extent)
    destination = _side(_kind(f[9]), f[10], f[11], f[12], f[13], 0, (f[7], f[8], 0), extent)
    return _Copy(source, destination, extent)


def _parse_3d(pointer: int) -> _Copy | None:
    f = _read(pointer, 25)
    extent = (f[22], f[23], f[24])
    if not all(extent):
        return None
    source = _side(_kind(f[4]), f[5], f[6], f[7], f[9], f[10], (f[0], f[1], f[2]), extent)
    destination = _side(_kind(f[15]), f[16], f[17], f[18], f[20], f[21], (f[11], f[12], f[13]), extent)
    return _Copy(source, destination, extent)


def copy_2d(pointer: int) -> None:
    """Copy a rectangle; inside the device, queue it in the default stream."""
    queue = contexts.current_waiting().queues.legacy
    if copy := _parse_2d(pointer):
        copy.submit(queue, waits=True)


def copy_2d_async(pointer: int, stream: int) -> None:
    """Queue the copy of a rectangle."""
    queue = streams.lookup(stream, contexts.current())
    if copy := _parse_2d(pointer):
        copy.submit(queue)


def copy_3d(pointer: int) -> None:
    """Copy a box; inside the device, queue it in the default stream."""
    queue = contexts.current_waiting().queues.legacy
    if copy := _parse_3d(pointer):
        copy.submit(queue, waits=True)


def copy_3d_async(pointer: int, stream: int) -> None:
    """Queue the copy of a box."""
    queue = streams.lookup(stream, contexts.current())
    if copy := _parse_3d(pointer):
        copy.submit(queue)


def copy_3d_peer(pointer: int) -> None:
    """Copy a box between contexts, in order with their work as :func:`.copies.peer` is."""
    queues.finish(queues.all_work())
    copy_3d(pointer)
    queues.finish(queues.all_work())


def copy_3d_peer_async(pointer: int, stream: int) -> None:
    """Queue the copy of a box between contexts, which share the device's memory."""
    copy_3d_async(pointer, stream)
