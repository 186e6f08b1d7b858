"""Filling memory with 8-, 16- and 32-bit values, in one and two dimensions."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import contexts, streams
from pycuda_guard.cpu.driver.copies import device_range
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.transfer import fill, move

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 16


def _fill(where: int, pattern: bytes, count: int) -> None:
    """Write ``count`` copies of ``pattern`` at a host address."""
    if pattern.count(pattern[0]) == len(pattern):
        fill(where, pattern[0], count * len(pattern))
        return
    total = count * len(pattern)
    chunk = min(total, _CHUNK)
    ctypes.memmove(where, pattern * (chunk // len(pattern)), chunk)
    for offset in range(chunk, total, chunk):
        move(where + offset, where, min(chunk, total - offset))


def _row(width: int) -> tuple[Callable[[int, int, int], None], Callable[[int, int, int, int], None]]:
    def async_(address: int, value: int, count: int, stream: int) -> None:
        queue = streams.lookup(stream, contexts.current())
        if address % width:
            raise DriverError(Result.INVALID_VALUE)
        if count:
            where = device_range(address, count * width)
            pattern = value.to_bytes(width, "little")
            queue.enqueue(lambda: _fill(where, pattern, count))

    def sync(address: int, value: int, count: int) -> None:
        async_(address, value, count, 0)

    async_.__doc__ = f"Queue filling of memory with a {8 * width}-bit value; the count is in values."
    sync.__doc__ = f"Fill memory with a {8 * width}-bit value; the count is in values."
    return sync, async_


def _rows(
    element: int,
) -> tuple[
    Callable[[int, int, int, int, int], None],
    Callable[[int, int, int, int, int, int], None],
]:
    def async_(address: int, pitch: int, value: int, width: int, height: int, stream: int) -> None:
        queue = streams.lookup(stream, contexts.current())
        row = width * element
        if address % element or (height > 1 and (row > pitch or pitch % element)):
            raise DriverError(Result.INVALID_VALUE)
        if width and height:
            where = device_range(address, (height - 1) * pitch + row)
            pattern = value.to_bytes(element, "little")

            def work() -> None:
                for y in range(height):
                    _fill(where + y * pitch, pattern, width)

            queue.enqueue(work)

    def sync(address: int, pitch: int, value: int, width: int, height: int) -> None:
        async_(address, pitch, value, width, height, 0)

    async_.__doc__ = f"Queue filling of rows with a {8 * element}-bit value; the width is in values."
    sync.__doc__ = f"Fill rows with a {8 * element}-bit value; the width is in values."
    return sync, async_


d8, d8_async = _row(1)
d16, d16_async = _row(2)
d32, d32_async = _row(4)
d2d8, d2d8_async = _rows(1)
d2d16, d2d16_async = _rows(2)
d2d32, d2d32_async = _rows(4)
