"""Moving and filling bytes at host addresses."""

from __future__ import annotations

import ctypes

#: from this size on, other Python threads may run meanwhile; below, letting them costs more than it brings
_LONG = 64 << 10

_process = ctypes.PyDLL(None)  # its functions keep the GIL
_move = _process.memmove
_move.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t)
_move.restype = None
_fill = _process.memset
_fill.argtypes = (ctypes.c_size_t, ctypes.c_int, ctypes.c_size_t)
_fill.restype = None


def move(destination: int, source: int, nbytes: int) -> None:
    """Copy ``nbytes`` between host addresses; the ranges may overlap."""
    if nbytes < _LONG:
        _move(destination, source, nbytes)
    else:
        ctypes.memmove(destination, source, nbytes)


def fill(address: int, value: int, nbytes: int) -> None:
    """Set ``nbytes`` at a host address to the byte ``value``."""
    if nbytes < _LONG:
        _fill(address, value, nbytes)
    else:
        ctypes.memset(address, value, nbytes)


class Staged:
    """A copy of host memory, taken now to be used later; it lives until it is dropped."""

    def __init__(self, source: int, nbytes: int) -> None:
        self._bytes = bytearray(nbytes)
        self._view = ctypes.c_char.from_buffer(self._bytes)
        self.address = ctypes.addressof(self._view)
        move(self.address, source, nbytes)

    def drop(self) -> None:
        """Free the copy."""
        del self._view, self._bytes
