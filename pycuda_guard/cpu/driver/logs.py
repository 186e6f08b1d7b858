"""Buffers that a caller gives for the compiler's messages, among the options of a call."""

from __future__ import annotations

import ctypes

from pycuda_guard.cpu.driver.cells import get_u64, put_u64

_INFO, _ERROR = 3, 5  # CU_JIT_INFO_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER; the number after each is its size's


class Logs:
    """The two message buffers of a call, any of which may be missing.

    They are empty at first. Each size option says, on return, how many bytes were written with the NUL; 0
    for no message.
    """

    def __init__(self, count: int, options: int, values: int) -> None:
        """Take the arrays of ``count`` option numbers and values at these addresses."""
        cells: dict[int, int] = {}
        if count and options and values:
            numbers = (ctypes.c_int * count).from_address(options)
            cells = {number: values + 8 * i for i, number in enumerate(numbers)}
        self._error = _Buffer(cells, _ERROR)
        self._info = _Buffer(cells, _INFO)

    def write_error(self, text: str) -> bool:
        """Put ``text`` into the buffer for errors; return whether there is one."""
        return self._error.write(text)


class _Buffer:
    def __init__(self, cells: dict[int, int], number: int) -> None:
        self._size_cell = cells.get(number + 1, 0)
        self._address = get_u64(cells[number]) if number in cells else 0
        # the size is given as an unsigned int in a pointer's place
        self._capacity = get_u64(self._size_cell) & 0xFFFF_FFFF if self._size_cell else 0
        self.write("")

    def write(self, text: str) -> bool:
        if not self._address or not self._capacity:
            return False
        data = text.encode("utf-8", "replace")[: self._capacity - 1] + b"\0"
        ctypes.memmove(self._address, data, len(data))
        put_u64(self._size_cell, len(data) if text else 0)
        return True
