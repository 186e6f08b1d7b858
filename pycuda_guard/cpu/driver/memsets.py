"""Filling memory with 8-, 16- and 32-bit values, in one and two dimensions."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import contexts, streams
from pycuda_guard.cpu.driver.copies import device_place, is_waited_for
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
    def fill_row(address: int, value: int, count: int, stream: int, waits: bool = False) -> None:
        queue = streams.lookup(stream, contexts.current())
        if address % width:
            raise DriverError(Result.INVALID_VALUE)
        if count:
            place = device_place(address, count * width)
            pattern = value.to_bytes(width, "little")
            submit = queue.perform if waits and is_waited_for(queue, place.kind) else queue.enqueue
            submit(lambda: _fill(place.address, pattern, count))

    def async_(address: int, value: int, count: int, stream: int) -> None:
        fill_row(address, value, count, stream)

    def sync(address: int, value: int, count: int) -> None:
        fill_row(address, value, count, 0, waits=True)

    async_.__doc__ = f"Queue filling of memory with a {8 * width}-bit value; the count is in values."
    sync.__doc__ = (
        f"Queue filling of memory with a {8 * width}-bit value in the default stream; the count is in values."
    )
    return sync, async_


def _rows(
    element: int,
) -> tuple[
    Callable[[int, int, int, int, int], None],
    Callable[[int, int, int, int, int, int], None],
]:
    def fill_rows(
        address: int, pitch: int, value: int, width: int, height: int, stream: int, waits: bool = False
    ) -> None:
        queue = streams.lookup(stream, contexts.current())
        row = width * element
        if address % element or (height > 1 and (row > pitch or pitch % element)):
            raise DriverError(Result.INVALID_VALUE)
        if width and height:
            place = device_place(address, (height - 1) * pitch + row)
            pattern = value.to_bytes(element, "little")

            def work() -> None:
                for y in range(height):
                    _fill(place.address + y * pitch, pattern, width)

            submit = queue.perform if waits and is_waited_for(queue, place.kind) else queue.enqueue
            submit(work)

    def async_(address: int, pitch: int, value: int, width: int, height: int, stream: int) -> None:
        fill_rows(address, pitch, value, width, height, stream)

    def sync(address: int, pitch: int, value: int, width: int, height: int) -> None:
        fill_rows(address, pitch, value, width, height, 0, waits=True)

    async_.__doc__ = f"Queue filling of rows with a {8 * element}-bit value; the width is in values."
    sync.__doc__ = (
        f"Queue filling of rows with a {8 * element}-bit value in the default stream; the width is in values."
    )
    return sync, async_


d8, d8_async = _row(1)
d16, d16_async = _row(2)
d32, d32_async = _row(4)
d2d8, d2d8_async = _rows(1)
d2d16, d2d16_async = _rows(2)
d2d32, d2d32_async = _rows(4)
