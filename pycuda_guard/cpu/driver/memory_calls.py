"""Allocating, freeing and looking up memory: device, pinned, managed, registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import contexts, host, queues, state, streams
from pycuda_guard.cpu.driver.cells import put_i32, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.memory import ALIGNMENT, AddressRangeError, OutOfDeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.memory import Allocation

_HOST_FLAGS = 0x7  # PORTABLE, DEVICEMAP, WRITECOMBINED
_DEVICEMAP = 0x2  # with unified addressing all pinned memory is mapped
_REGISTER_FLAGS = 0xF  # PORTABLE, DEVICEMAP, IOMEMORY, READ_ONLY
_ATTACH_GLOBAL, _ATTACH_HOST, _ATTACH_SINGLE = 1, 2, 4
_HOST_MEMORY, _DEVICE_MEMORY = 1, 2
_ELEMENT_SIZES = (4, 8, 16)


def get_info(free: int, total: int) -> None:
    """Return how many bytes of device memory are free, and how many there are."""
    context = contexts.current_waiting()
    memory = state.memory
    put_u64(free, memory.available(context.device))
    put_u64(total, memory.total)


def allocate(out: int, nbytes: int) -> None:
    """Allocate device memory, aligned to 512 bytes."""
    context = contexts.current()
    if not out or not nbytes:
        raise DriverError(Result.INVALID_VALUE)
    try:
        put_u64(out, state.memory.allocate(nbytes, "device", 0, context, context.device))
    except OutOfDeviceMemoryError:
        raise DriverError(Result.OUT_OF_MEMORY) from None


def allocate_pitch(out: int, pitch_out: int, width: int, height: int, element_size: int) -> None:
    """Allocate rows of device memory; the pitch is a multiple of 512 bytes."""
    if element_size not in _ELEMENT_SIZES or not width or not height:
        contexts.current()
        raise DriverError(Result.INVALID_VALUE)
    pitch = -(-width // ALIGNMENT) * ALIGNMENT
    allocate(out, pitch * height)
    put_u64(pitch_out, pitch)


def free(address: int) -> None:
    """Free device or managed memory when all work is done; null is ignored. Needs no current context."""
    if state.status.trouble:
        state.require(True)
    if not address:
        return
    allocation = state.memory.find(address)
    if allocation is None or allocation.kind not in ("device", "managed") or allocation.address != address:
        raise DriverError(Result.INVALID_VALUE)
    queues.when_done(lambda: _release(address))


def _release(address: int) -> None:
    try:
        state.memory.free(address)
    except AddressRangeError:
        raise DriverError(Result.INVALID_VALUE) from None


def get_address_range(base: int, nbytes: int, address: int) -> None:
    """Return base and size of the allocation that holds an address."""
    contexts.current_waiting()
    allocation = state.memory.find(address)
    if allocation is None:
        raise DriverError(Result.NOT_FOUND)
    if base:
        put_u64(base, allocation.address)
    if nbytes:
        put_u64(nbytes, allocation.nbytes)


def get_pointer_attribute(out: int, attribute: int, address: int) -> None:
    """Return an attribute of the allocation that holds an address. Needs no current context."""
    state.require(False)
    allocation = state.memory.find(address)
    if allocation is None or not out or attribute not in _POINTER_ATTRIBUTES:
        raise DriverError(Result.INVALID_VALUE)
    put, value = _POINTER_ATTRIBUTES[attribute]
    put(out, value(allocation, address))


def _context_of(allocation: Allocation, _: int) -> int:
    return allocation.owner.handle if isinstance(allocation.owner, contexts.Context) else 0


def _host_address(allocation: Allocation, address: int) -> int:
    if allocation.kind not in ("pinned", "managed"):
        raise DriverError(Result.INVALID_VALUE)
    return address


#: CU_POINTER_ATTRIBUTE_…: how wide a value is, and what it is
_POINTER_ATTRIBUTES: dict[int, tuple[Callable[[int, int], None], Callable[[Allocation, int], int]]] = {
    1: (put_u64, _context_of),
    2: (put_i32, lambda allocation, _: _HOST_MEMORY if allocation.kind == "pinned" else _DEVICE_MEMORY),
    3: (put_u64, lambda _, address: address),
    4: (put_u64, _host_address),
    7: (put_u64, lambda allocation, _: allocation.number),
    8: (put_i32, lambda allocation, _: int(allocation.kind == "managed")),
    9: (put_i32, lambda allocation, _: allocation.device),
}


def allocate_host(out: int, nbytes: int, flags: int) -> None:
    """Allocate pinned host memory; its address is good for the device too. Size 0 gives null."""
    context = contexts.current_waiting()
    if flags & ~_HOST_FLAGS:
        raise DriverError(Result.INVALID_VALUE)
    put_u64(out, _allocate_in_host_window(nbytes, "pinned", flags | _DEVICEMAP, context) if nbytes else 0)


def allocate_host_plain(out: int, nbytes: int) -> None:
    """Allocate pinned host memory, without options."""
    allocate_host(out, nbytes, 0)


def allocate_managed(out: int, nbytes: int, flags: int) -> None:
    """Allocate memory that host and device share."""
    context = contexts.current_waiting()
    if flags not in (_ATTACH_GLOBAL, _ATTACH_HOST) or not nbytes:
        raise DriverError(Result.INVALID_VALUE)
    put_u64(out, _allocate_in_host_window(nbytes, "managed", flags, context))


def _allocate_in_host_window(nbytes: int, kind: str, flags: int, context: contexts.Context) -> int:
    try:
        return state.memory.allocate_host(nbytes, kind, flags, context, context.device)
    except OutOfDeviceMemoryError:
        raise DriverError(Result.OUT_OF_MEMORY) from None


def free_host(address: int) -> None:
    """Free pinned host memory when all work is done; null is ignored."""
    if state.status.trouble:
        state.require(True)
    if not address:
        return
    allocation = _pinned(address)
    if allocation.address != address:
        raise DriverError(Result.INVALID_VALUE)
    queues.when_done(lambda: _release(address))


def get_host_device_pointer(out: int, address: int, flags: int) -> None:
    """Return the device address of pinned host memory, which is the same."""
    contexts.current_waiting()
    if flags:
        raise DriverError(Result.INVALID_VALUE)
    if host.is_registered(address):
        raise DriverError(
            Result.NOT_SUPPORTED, "the CPU device has no device address for registered host memory"
        )
    _pinned(address)
    put_u64(out, address)


def get_host_flags(out: int, address: int) -> None:
    """Return the flags that pinned host memory was allocated with."""
    contexts.current_waiting()
    put_i32(out, _pinned(address).flags)


def _pinned(address: int) -> Allocation:
    allocation = state.memory.find(address)
    if allocation is None or allocation.kind != "pinned":
        raise DriverError(Result.INVALID_VALUE)
    return allocation


def register_host(address: int, nbytes: int, flags: int) -> None:
    """Note that host memory is page-locked. Copies may use it; kernels cannot reach it."""
    contexts.current_waiting()
    if not address or not nbytes or flags & ~_REGISTER_FLAGS:
        raise DriverError(Result.INVALID_VALUE)
    host.register(address, nbytes)


def unregister_host(address: int) -> None:
    """Undo :func:`register_host` for the range that begins at ``address``, when all work is done."""
    contexts.current_waiting()
    queues.finish(queues.all_work())
    host.unregister(address)


def attach_managed(stream: int, address: int, nbytes: int, flags: int) -> None:
    """Accept where managed memory is attached to; host and device reach it at any time."""
    queue = streams.lookup(stream, contexts.current())
    allocation = state.memory.find(address)
    if allocation is None or allocation.kind != "managed":
        raise DriverError(Result.INVALID_VALUE)
    if allocation.address != address or nbytes not in (0, allocation.nbytes):
        raise DriverError(Result.INVALID_VALUE)
    to_default = (_ATTACH_GLOBAL, _ATTACH_HOST)
    if flags not in (to_default if queue.is_legacy else (*to_default, _ATTACH_SINGLE)):
        raise DriverError(Result.INVALID_VALUE)
