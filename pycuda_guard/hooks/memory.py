"""Allocations and frees: device, pool, managed, pinned and registered memory, arrays, globals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycuda_guard.events.model import Allocated, Event, Freed, MemoryKind, PoolEmptied
from pycuda_guard.hooks.operands import address_of, learn_array
from pycuda_guard.hooks.tap import Connect, Tap, ThreadState, announced, finalizing, reported

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.callsite import Site

_DEVICE = MemoryKind.DEVICE


# --- device memory ----------------------------------------------------------------------------


def _mem_alloc(tap: Tap, site: Site | None, state: ThreadState, result: Any, /, nbytes: int) -> Event:
    address = int(result)
    nbytes = int(nbytes)
    tap.live[address] = nbytes
    return Allocated(site, state.thread, state.context, "mem_alloc", address, nbytes, _DEVICE)


def _mem_alloc_pitch(
    tap: Tap, site: Site | None, state: ThreadState, result: Any, /, width: int, height: int, access_size: int
) -> Event:
    allocation, pitch = result
    address, nbytes = int(allocation), pitch * height
    tap.live[address] = nbytes
    return Allocated(
        site, state.thread, state.context, "mem_alloc_pitch", address, nbytes, _DEVICE, pitch=pitch
    )


def _pool_allocate(
    tap: Tap, site: Site | None, state: ThreadState, result: Any, /, pool: Any, nbytes: int
) -> Event:
    address = int(result)
    nbytes = int(nbytes)
    tap.live[address] = nbytes
    tap.freed.discard(id(result))
    number = tap.pools.get(id(pool), 0)
    return Allocated(
        site,
        state.thread,
        state.context,
        "DeviceMemoryPool.allocate",
        address,
        nbytes,
        MemoryKind.POOL,
        pool=number,
        held=pool.held_blocks if number else 0,
    )


def _pool_created(tap: Tap, site: Site | None, state: ThreadState, result: None, /, pool: Any) -> None:
    tap.pools[id(pool)] = next(tap.numbers)


def _pool_emptied(stops: bool) -> Callable[..., Event | None]:
    def describe(tap: Tap, site: Site | None, state: ThreadState, result: None, /, pool: Any) -> Event | None:
        number = tap.pools.get(id(pool))
        return None if number is None else PoolEmptied(site, state.thread, state.context, number, stops)

    return describe


def _ipc_open(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, handle: Any, *args: Any, **kwargs: Any
) -> Event:
    address = int(handle)
    assert tap.driver is not None
    _, nbytes = tap.driver.mem_get_address_range(address)
    tap.live[address] = nbytes
    return Allocated(site, state.thread, state.context, "IPCMemoryHandle", address, nbytes, MemoryKind.IPC)


def _give_back(tap: Tap, site: Site | None, state: ThreadState, allocation: Any, /) -> Event:
    """Announce an explicit free; ``__del__`` of the same object then stays silent."""
    address = int(allocation)
    tap.live.pop(address, None)
    tap.freed.add(id(allocation))
    kind = tap.memory_types.get(type(allocation), _DEVICE)
    return Freed(site, state.thread, state.context, address, kind)


def _collect(tap: Tap, site: Site | None, state: ThreadState, allocation: Any, /) -> Event:
    address = int(allocation)
    tap.live.pop(address, None)
    kind = tap.memory_types.get(type(allocation), _DEVICE)
    return Freed(site, state.thread, state.context, address, kind, "collected")


# --- host memory ------------------------------------------------------------------------------


def _host_memory(call: str, kind: MemoryKind) -> Connect:
    """Hook a function that returns an ndarray whose ``base`` owns pinned or managed memory."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, result: Any, /, *args: Any, **kwargs: Any
    ) -> Event:
        address, nbytes = address_of(result), result.nbytes
        owner = _owner(result)
        if kind is MemoryKind.MANAGED:
            tap.live[address] = nbytes  # its owner is a DeviceAllocation, and freed as one
        else:
            tap.host_blocks[id(owner)] = (address, kind)
        if kind is MemoryKind.REGISTERED:
            tap.registered[id(owner)] = (address, address + nbytes)
        return Allocated(site, state.thread, state.context, call, address, nbytes, kind)

    return reported(call, describe)


def _owner(array: np.ndarray[Any, Any]) -> Any:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


def _free_host(how: str) -> Callable[..., Event | None]:
    def describe(tap: Tap, site: Site | None, state: ThreadState, owner: Any, /) -> Event | None:
        block = tap.host_blocks.pop(id(owner), None)
        tap.registered.pop(id(owner), None)
        if block is None:
            return None  # freed before, or older than the guard: its address is not known
        return Freed(site, state.thread, state.context, *block, how)

    return describe


# --- arrays and module globals ----------------------------------------------------------------


def _array(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, array: Any, *args: Any, **kwargs: Any
) -> Event:
    operand = learn_array(tap, array)
    return Allocated(
        site, state.thread, state.context, "Array", operand.handle, operand.nbytes, MemoryKind.ARRAY
    )


def _free_array(tap: Tap, site: Site | None, state: ThreadState, array: Any, /) -> Event:
    handle = int(array.handle)
    tap.freed.add(id(array))
    tap.arrays.pop(handle, None)
    return Freed(site, state.thread, state.context, handle, MemoryKind.ARRAY)


def _collect_array(tap: Tap, site: Site | None, state: ThreadState, array: Any, /) -> Event:
    handle = int(array.handle)
    tap.arrays.pop(handle, None)
    return Freed(site, state.thread, state.context, handle, MemoryKind.ARRAY, "collected")


def _get_global(
    tap: Tap, site: Site | None, state: ThreadState, result: Any, /, module: Any, name: str
) -> Event | None:
    number, _ = tap.modules.get(id(module), (0, False))
    known = tap.globals.setdefault(number, {})
    if name in known:
        return None
    address, nbytes = result
    known[name] = address
    tap.live[address] = nbytes
    return Allocated(
        site,
        state.thread,
        state.context,
        "Module.get_global",
        address,
        nbytes,
        MemoryKind.GLOBAL,
        name=name,
        module=number,
    )


mem_alloc = reported("mem_alloc", _mem_alloc)
mem_alloc_pitch = reported("mem_alloc_pitch", _mem_alloc_pitch)
pool_allocate = reported("DeviceMemoryPool.allocate", _pool_allocate)
create_pool = reported("DeviceMemoryPool", _pool_created)
free_held = reported("DeviceMemoryPool.free_held", _pool_emptied(False))
stop_holding = reported("DeviceMemoryPool.stop_holding", _pool_emptied(True))
free = announced("DeviceAllocation.free", _give_back)
free_pooled = announced("PooledDeviceAllocation.free", _give_back)
collect = finalizing("DeviceAllocation.__del__", _collect, is_freeable=True)
collect_pooled = finalizing("PooledDeviceAllocation.__del__", _collect, is_freeable=True)

ipc_open = reported("IPCMemoryHandle", _ipc_open)
ipc_close = announced("IPCMemoryHandle.close", _give_back)
ipc_collect = finalizing("IPCMemoryHandle.__del__", _collect, is_freeable=True)

managed_empty = _host_memory("managed_empty", MemoryKind.MANAGED)
pagelocked_empty = _host_memory("pagelocked_empty", MemoryKind.PINNED)
pinned_pool_allocate = _host_memory("PageLockedMemoryPool.allocate", MemoryKind.PINNED)
register_host_memory = _host_memory("register_host_memory", MemoryKind.REGISTERED)
free_pinned = announced("PagelockedHostAllocation.free", _free_host("free"))
free_pooled_pinned = announced("PooledHostAllocation.free", _free_host("free"))
unregister = announced("RegisteredHostMemory.unregister", _free_host("free"))
collect_pinned = finalizing("PagelockedHostAllocation.__del__", _free_host("collected"))
collect_pooled_pinned = finalizing("PooledHostAllocation.__del__", _free_host("collected"))
collect_registered = finalizing("RegisteredHostMemory.__del__", _free_host("collected"))

array = reported("Array", _array)
free_array = announced("Array.free", _free_array)
collect_array = finalizing("Array.__del__", _collect_array, is_freeable=True)

get_global = reported("Module.get_global", _get_global)
