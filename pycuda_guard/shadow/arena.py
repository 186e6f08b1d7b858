"""Device memory for shadows: blocks cut from a few chunks, because the driver's own calls may wait.

Blocks are handed out again at once. That is right because whoever uses a block first initializes it on
one stream, which has been made to wait for whoever used it before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from pycuda_guard.shadow.driver import DriverError

if TYPE_CHECKING:
    from pycuda_guard.shadow.driver import Driver

_ALIGNMENT = 256
_FIRST_CHUNK = 1 << 20
_LARGEST_CHUNK = 64 << 20


class Arena:
    """The chunks of one context."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._chunks: list[int] = []
        self._free: list[tuple[int, int]] = []  # (address, nbytes), by address; never across chunks
        self._sizes: dict[int, int] = {}  # of blocks in use
        self._next_chunk = _FIRST_CHUNK
        self.total = 0  # bytes of all chunks

    def take(self, nbytes: int) -> int:
        """Return the address of a block, or 0 where the device has no room."""
        size = max(1, -(-nbytes // _ALIGNMENT)) * _ALIGNMENT
        address = self._cut(size)
        if not address:
            chunk = max(size, self._next_chunk)
            try:
                start = self._driver.allocate(chunk)
            except DriverError:
                if chunk == size:
                    return 0
                chunk = size
                try:
                    start = self._driver.allocate(chunk)
                except DriverError:
                    return 0
            self._next_chunk = min(2 * self._next_chunk, _LARGEST_CHUNK)
            self._chunks.append(start)
            self.total += chunk
            insort(self._free, (start, chunk))
            address = self._cut(size)
        return address

    def give(self, address: int) -> None:
        """Take a block back."""
        size = self._sizes.pop(address, 0)
        if not size:
            return
        index = bisect_left(self._free, (address, 0))
        end = address + size
        if index < len(self._free) and self._free[index][0] == end and end not in self._chunks:
            size += self._free.pop(index)[1]
        if index and sum(self._free[index - 1]) == address and address not in self._chunks:
            before, nbytes = self._free[index - 1]
            self._free[index - 1] = (before, nbytes + size)
        else:
            self._free.insert(index, (address, size))

    def release(self) -> int:
        """Give all chunks back to the driver, whether in use or not, and return how many bytes that is."""
        released = self.total
        for chunk in self._chunks:
            self._driver.free(chunk)
        self._chunks.clear()
        self._free.clear()
        self._sizes.clear()
        self._next_chunk = _FIRST_CHUNK
        self.total = 0
        return released

    def _cut(self, size: int) -> int:
        for index, (address, available) in enumerate(self._free):
            if available >= size:
                if available > size:
                    self._free[index] = (address + size, available - size)
                else:
                    del self._free[index]
                self._sizes[address] = size
                return address
        return 0
