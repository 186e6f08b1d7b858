"""Copying memory in one dimension.

A range of device memory must lie inside one allocation, to the byte, as a GPU's driver checks it; copies
of no bytes always succeed. Host arguments may be any address; if it is a device address or pinned memory,
it is checked like one.
"""

from __future__ import annotations

from pycuda_guard.cpu.abi import REGION_MASK, WINDOW
from pycuda_guard.cpu.driver import contexts, state, streams
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.transfer import move


def device_range(address: int, nbytes: int) -> int:
    """Return where the memory behind a range of device addresses is, which must be in one allocation."""
    allocation = state.memory.find(address)
    if allocation is None or address + nbytes > allocation.end:
        raise DriverError(Result.INVALID_VALUE)
    return address | WINDOW


def host_range(address: int, nbytes: int) -> int:
    """Return where to access a range of host memory."""
    if not address:
        raise DriverError(Result.INVALID_VALUE)
    if address & REGION_MASK == state.memory.base:
        return device_range(address, nbytes)
    return address


def host_to_device(destination: int, source: int, nbytes: int) -> None:
    """Copy from the host; returns when the source may be changed."""
    contexts.current_waiting()
    if nbytes:
        move(device_range(destination, nbytes), host_range(source, nbytes), nbytes)


def host_to_device_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy from the host."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        to, origin = device_range(destination, nbytes), host_range(source, nbytes)
        queue.enqueue(lambda: move(to, origin, nbytes))


def device_to_host(destination: int, source: int, nbytes: int) -> None:
    """Copy to the host; returns when the data are there."""
    contexts.current_waiting()
    if nbytes:
        move(host_range(destination, nbytes), device_range(source, nbytes), nbytes)


def device_to_host_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy to the host."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        to, origin = host_range(destination, nbytes), device_range(source, nbytes)
        queue.enqueue(lambda: move(to, origin, nbytes))


def device_to_device(destination: int, source: int, nbytes: int) -> None:
    """Copy inside the device; ranges may overlap."""
    device_to_device_async(destination, source, nbytes, 0)


def device_to_device_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy inside the device; ranges may overlap."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        to, origin = device_range(destination, nbytes), device_range(source, nbytes)
        queue.enqueue(lambda: move(to, origin, nbytes))


def unified(destination: int, source: int, nbytes: int) -> None:
    """Copy between any two addresses."""
    contexts.current_waiting()
    if nbytes:
        move(host_range(destination, nbytes), host_range(source, nbytes), nbytes)


def unified_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy between any two addresses."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        to, origin = host_range(destination, nbytes), host_range(source, nbytes)
        queue.enqueue(lambda: move(to, origin, nbytes))


def peer(destination: int, to_context: int, source: int, from_context: int, nbytes: int) -> None:
    """Copy between contexts, which share the device's memory."""
    peer_async(destination, to_context, source, from_context, nbytes, 0)


def peer_async(
    destination: int, to_context: int, source: int, from_context: int, nbytes: int, stream: int
) -> None:
    """Queue a copy between contexts, which share the device's memory."""
    contexts.handles.get(to_context)
    contexts.handles.get(from_context)
    device_to_device_async(destination, source, nbytes, stream)
