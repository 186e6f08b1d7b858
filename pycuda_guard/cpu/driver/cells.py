"""Reading and writing what the arguments of driver functions point to. A null pointer is an invalid value."""

from __future__ import annotations

import ctypes

from pycuda_guard.cpu.driver.errors import DriverError, Result

# argument types of driver functions; pointers and handles arrive as plain integers
POINTER = ctypes.c_size_t
DEVICE_POINTER = ctypes.c_uint64
SIZE = ctypes.c_size_t
UINT = ctypes.c_uint
INT = ctypes.c_int
FLOAT = ctypes.c_float
USHORT = ctypes.c_ushort
UCHAR = ctypes.c_ubyte

_U64 = ctypes.c_uint64
_I32 = ctypes.c_int32
_F32 = ctypes.c_float


def put_u64(pointer: int, value: int) -> None:
    """Store ``value`` (an address, size or handle) at ``pointer``."""
    if not pointer:
        raise DriverError(Result.INVALID_VALUE)
    _U64.from_address(pointer).value = value


def put_i32(pointer: int, value: int) -> None:
    """Store ``value`` as a 32-bit integer at ``pointer``."""
    if not pointer:
        raise DriverError(Result.INVALID_VALUE)
    _I32.from_address(pointer).value = value


def put_f32(pointer: int, value: float) -> None:
    """Store ``value`` as a float at ``pointer``."""
    if not pointer:
        raise DriverError(Result.INVALID_VALUE)
    _F32.from_address(pointer).value = value


def put_text(pointer: int, text: str, capacity: int) -> None:
    """Store ``text`` at ``pointer``, cut to ``capacity`` bytes with its NUL."""
    if not pointer or capacity < 1:
        raise DriverError(Result.INVALID_VALUE)
    data = text.encode()[: capacity - 1] + b"\0"
    ctypes.memmove(pointer, data, len(data))


def get_u64(pointer: int) -> int:
    """Return the 64-bit integer at ``pointer``."""
    if not pointer:
        raise DriverError(Result.INVALID_VALUE)
    return _U64.from_address(pointer).value


def get_text(pointer: int) -> bytes:
    """Return the NUL-terminated string at ``pointer``, without the NUL."""
    if not pointer:
        raise DriverError(Result.INVALID_VALUE)
    return ctypes.string_at(pointer)
