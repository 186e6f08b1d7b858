"""Host memory as the driver knows it: page-locked by registration, or pageable."""

from __future__ import annotations

from bisect import bisect_right, insort

from pycuda_guard.cpu.driver.errors import DriverError, Result

_registered: list[tuple[int, int]] = []  # (address, nbytes) of page-locked host memory, by address


def register(address: int, nbytes: int) -> None:
    """Note that a range of host memory is page-locked; raise if some of it is already."""
    if any(start < address + nbytes and address < start + length for start, length in _registered):
        raise DriverError(Result.HOST_MEMORY_ALREADY_REGISTERED)
    insort(_registered, (address, nbytes))


def unregister(address: int) -> None:
    """Undo :func:`register` for the range that begins at ``address``."""
    registration = _registration(address)
    if registration is None:
        raise DriverError(Result.HOST_MEMORY_NOT_REGISTERED)
    if registration[0] != address:
        raise DriverError(Result.INVALID_VALUE)
    _registered.remove(registration)


def is_registered(address: int) -> bool:
    """Whether an address lies in registered memory."""
    return bool(_registered) and _registration(address) is not None


def _registration(address: int) -> tuple[int, int] | None:
    index = bisect_right(_registered, (address, 1 << 64)) - 1
    if index >= 0 and address < sum(_registered[index]):
        return _registered[index]
    return None
