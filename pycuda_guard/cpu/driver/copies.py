"""Copying memory in one dimension, and what is common to all copies: which of them the host waits for.

A range of device memory must lie inside one allocation, to the byte, as a GPU's driver checks it; copies
of no bytes always succeed. Host arguments may be any address; if it is a device address or pinned memory,
it is checked like one.

The host waits for a copy to pageable memory, and for a synchronous one with host memory on either side. By
the documentation the latter may return when data from pageable memory are staged but not transferred. Only a
stream that is not ordered with the default stream could tell; in practice it can't either, and programs rely
on that. So here such a copy is complete.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.cpu.abi import REGION_MASK, WINDOW
from pycuda_guard.cpu.driver import contexts, host, queues, state, streams
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.transfer import Staged, move

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.driver.queues import Queue
    from pycuda_guard.cpu.memory import Allocation


class Kind(IntEnum):
    """Whose memory it is."""

    DEVICE = 0
    SHARED = 1  # pinned, managed or registered: host and device reach it
    PAGEABLE = 2


class Place(NamedTuple):
    """Memory to copy from or to: where the bytes are accessed, and whose they are."""

    address: int
    kind: Kind


def device_place(address: int, nbytes: int) -> Place:
    """Return the place of a range of device addresses, which must be in one allocation."""
    allocation = state.memory.find(address)
    if allocation is None or address + nbytes > allocation.end:
        raise DriverError(Result.INVALID_VALUE)
    return Place(address | WINDOW, _kind(allocation))


def _kind(allocation: Allocation) -> Kind:
    return Kind.SHARED if allocation.kind in ("pinned", "managed") else Kind.DEVICE


def host_place(address: int, nbytes: int) -> Place:
    """Return the place of a range of host memory."""
    if not address:
        raise DriverError(Result.INVALID_VALUE)
    if address & REGION_MASK == state.memory.base:
        return device_place(address, nbytes)
    return Place(address, Kind.SHARED if host.is_registered(address) else Kind.PAGEABLE)


def submit(
    queue: Queue,
    to: Kind,
    source: Place,
    nbytes: int,
    make: Callable[[int], Callable[[], None]],
    waits: bool,
) -> None:
    """Queue a copy, and wait for it where the host has to. ``waits``: the call is a synchronous one.

    ``make`` returns the work of copying from an address: the source's, or that of ``nbytes`` staged bytes.
    """
    if to is Kind.PAGEABLE or (waits and is_waited_for(queue, to, source.kind)):
        queue.perform(make(source.address))
    elif source.kind is Kind.PAGEABLE and not state.schedule.is_eager:
        staged = Staged(source.address, nbytes)
        transfer = make(staged.address)

        def run() -> None:
            transfer()
            staged.drop()

        queue.enqueue(run, staged=nbytes)
    else:
        queue.enqueue(make(source.address))


def is_waited_for(queue: Queue, *kinds: Kind) -> bool:
    """Whether the host waits for a synchronous operation on memory of these kinds."""
    return any(kinds) or queue.group.always_waits


def copy(queue: Queue, to: Place, source: Place, nbytes: int, waits: bool = False) -> None:
    """Submit a copy of consecutive bytes."""
    submit(queue, to.kind, source, nbytes, lambda origin: lambda: move(to.address, origin, nbytes), waits)


def _default(context: contexts.Context) -> Queue:
    return context.queues.legacy


def host_to_device(destination: int, source: int, nbytes: int) -> None:
    """Copy from the host; returns when the data are there."""
    queue = _default(contexts.current_waiting())
    if nbytes:
        copy(queue, device_place(destination, nbytes), host_place(source, nbytes), nbytes, True)


def host_to_device_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy from the host; pageable memory may be changed at once, pinned memory when it is done."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        copy(queue, device_place(destination, nbytes), host_place(source, nbytes), nbytes)


def device_to_host(destination: int, source: int, nbytes: int) -> None:
    """Copy to the host; returns when the data are there."""
    queue = _default(contexts.current_waiting())
    if nbytes:
        copy(queue, host_place(destination, nbytes), device_place(source, nbytes), nbytes, True)


def device_to_host_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy to the host; to pageable memory it is done when this returns."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        copy(queue, host_place(destination, nbytes), device_place(source, nbytes), nbytes)


def device_to_device(destination: int, source: int, nbytes: int) -> None:
    """Queue a copy inside the device in the default stream; ranges may overlap."""
    queue = _default(contexts.current())
    if nbytes:
        copy(queue, device_place(destination, nbytes), device_place(source, nbytes), nbytes, True)


def device_to_device_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy inside the device; ranges may overlap."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        copy(queue, device_place(destination, nbytes), device_place(source, nbytes), nbytes)


def unified(destination: int, source: int, nbytes: int) -> None:
    """Copy between any two addresses; queue it in the default stream if both are the device's."""
    queue = _default(contexts.current_waiting())
    if nbytes:
        copy(queue, host_place(destination, nbytes), host_place(source, nbytes), nbytes, True)


def unified_async(destination: int, source: int, nbytes: int, stream: int) -> None:
    """Queue a copy between any two addresses."""
    queue = streams.lookup(stream, contexts.current())
    if nbytes:
        copy(queue, host_place(destination, nbytes), host_place(source, nbytes), nbytes)


def peer(destination: int, to_context: int, source: int, from_context: int, nbytes: int) -> None:
    """Copy between contexts, which share the device's memory.

    It comes after all work of both and of the current context, and before what these are given later.
    """
    queues.finish(queues.all_work())
    peer_async(destination, to_context, source, from_context, nbytes, 0)
    queues.finish(queues.all_work())


def peer_async(
    destination: int, to_context: int, source: int, from_context: int, nbytes: int, stream: int
) -> None:
    """Queue a copy between contexts, which share the device's memory."""
    contexts.handles.get(to_context)
    contexts.handles.get(from_context)
    device_to_device_async(destination, source, nbytes, stream)
