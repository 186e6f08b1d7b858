"""The memory of the CPU device: which addresses are allocated, and access to what is behind them.

Device allocations live below ``abi.SCRATCH`` in the device window. Their addresses only increase and are
not handed out again until the window is used up, so that a stale pointer never points into somebody
else's allocation. Small ones share units of 2 MiB, with a gap of at least ``GAP`` bytes behind each; large
ones get units of their own, with a unit that is never committed behind them. Memory is given back to the
system when a unit has no live allocation left.

Pinned and managed allocations live in the host window, in whole pages, each followed by a page that is
not mapped. Their addresses are good for the host and for the device.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import Protocol

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.runtime import RegionError
from pycuda_guard.cpu.transfer import fill, move
from pycuda_guard.errors import GuardError

#: device addresses are multiples of this, as on a GPU
ALIGNMENT = 512
#: least number of unused bytes behind a small allocation
GAP = 512
#: granularity in which device memory is taken from the system and given back
UNIT = 2 << 20
PAGE = 4096
#: allocations up to this size are filled with FRESH
FILL_LIMIT = 1 << 20
#: byte that fresh memory is filled with: like stale bytes on a GPU, it is no plausible number
FRESH = 0xCD


class Region(Protocol):
    """The reserved address region at ``base`` (see :mod:`.abi`); methods raise RegionError."""

    base: int

    def commit(self, address: int, nbytes: int) -> None:
        """Put zeroed memory behind pages of the device window."""

    def decommit(self, address: int, nbytes: int) -> None:
        """Take the memory behind pages of the device window away."""

    def commit_host(self, address: int, nbytes: int) -> None:
        """Map the same zeroed pages at ``address`` in the host window and at its mirror."""

    def decommit_host(self, address: int, nbytes: int) -> None:
        """Undo :meth:`commit_host`."""


class OutOfDeviceMemoryError(GuardError):
    """No device memory, address space or system memory is left."""


class AddressRangeError(GuardError):
    """A range of device addresses is not inside one allocation."""


_numbers = itertools.count(1)


class Allocation:
    """A range of device-accessible memory.

    ``kind`` is ``device``, ``global`` (a module's variable), ``pinned`` or ``managed``. ``nbytes`` is the
    requested size, ``reserved`` what it counts against the memory of ``device``. ``flags`` are those of the
    call that made it, ``owner`` is the context that it belongs to. No other one ever has its ``number``.
    """

    __slots__ = ("address", "device", "end", "flags", "kind", "nbytes", "number", "owner", "reserved")

    def __init__(
        self,
        address: int,
        nbytes: int,
        kind: str,
        reserved: int,
        flags: int = 0,
        owner: object = None,
        device: int = 0,
    ) -> None:
        self.address = address
        self.nbytes = nbytes
        self.end = address + nbytes
        self.kind = kind
        self.reserved = reserved
        self.flags = flags
        self.owner = owner
        self.device = device
        self.number = next(_numbers)


class _Units:
    """Hands out runs of units of the device window, and knows how many allocations live in each."""

    def __init__(self, first: int, end: int) -> None:
        self.cursor = first
        self.end = end
        self.retired: list[tuple[int, int]] = []  # (address, nbytes) of freed runs, oldest first

    def take(self, nbytes: int) -> int:
        """Return the address of a run of ``nbytes`` (a multiple of UNIT), fresh ones before used ones."""
        if self.cursor + nbytes <= self.end:
            address = self.cursor
            self.cursor += nbytes
            return address
        self._coalesce()
        for index, (address, available) in enumerate(self.retired):
            if available >= nbytes:
                if available > nbytes:
                    self.retired[index] = (address + nbytes, available - nbytes)
                else:
                    del self.retired[index]
                return address
        raise OutOfDeviceMemoryError("the address space of the CPU device is used up")

    def retire(self, address: int, nbytes: int) -> None:
        self.retired.append((address, nbytes))

    def _coalesce(self) -> None:
        merged: list[tuple[int, int]] = []
        for address, nbytes in sorted(self.retired):
            if merged and sum(merged[-1]) == address:
                merged[-1] = (merged[-1][0], merged[-1][1] + nbytes)
            else:
                merged.append((address, nbytes))
        self.retired = merged


class DeviceMemory:
    """Allocator over the region, and the only way to the bytes behind device addresses.

    ``total`` is the size of each device's memory in bytes. ``first`` is where its addresses begin, in bytes
    from the start of each window: those of two allocators must not meet. Safe to use from several threads.
    """

    def __init__(self, total: int, region: Region, first: int = 0) -> None:
        self.total = total
        self._used: Counter[int] = Counter()  # bytes by device
        self.base = region.base
        self._region = region
        # re-entrant: a garbage collection inside may free another allocation in the same thread
        self._lock = threading.RLock()
        self._starts: list[int] = []
        self._allocations: dict[int, Allocation] = {}
        self._units = _Units(self.base + first + UNIT, self.base + abi.SCRATCH)
        self._host_pages = _Units(self.base + 2 * abi.WINDOW + first + UNIT, self.base + 3 * abi.WINDOW)
        self._live: dict[int, int] = {}  # unit of small allocations → how many live in it
        self._small = self._small_end = 0

    # -- allocation ------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """How many bytes are allocated, on all devices."""
        return self._used.total()

    def available(self, device: int = 0) -> int:
        """Return how many bytes of a device's memory are free."""
        return self.total - self._used[device]

    def allocate(
        self, nbytes: int, kind: str = "device", flags: int = 0, owner: object = None, device: int = 0
    ) -> int:
        """Allocate ``nbytes`` (> 0) of device memory and return its address; raise OutOfDeviceMemoryError.

        Up to FILL_LIMIT bytes are filled with FRESH, larger ones are zero.
        """
        reserved = -(-nbytes // ALIGNMENT) * ALIGNMENT
        with self._lock:
            if reserved > self.available(device):
                raise OutOfDeviceMemoryError(f"{nbytes} bytes wanted, {self.available(device)} are free")
            large = reserved + GAP > UNIT
            address = self._place_large(reserved) if large else self._place_small(reserved)
            self._used[device] += reserved
            self._enter(Allocation(address, nbytes, kind, reserved, flags, owner, device))
        if nbytes <= FILL_LIMIT:
            fill(address | abi.WINDOW, FRESH, reserved)
        return address

    def _place_large(self, reserved: int) -> int:
        run = -(-reserved // UNIT) * UNIT
        address = self._units.take(run + UNIT)
        try:
            self._region.commit(address, run)
        except RegionError as error:
            self._units.retire(address, run + UNIT)
            raise OutOfDeviceMemoryError(f"the system gives no memory: {error}") from error
        return address

    def _place_small(self, reserved: int) -> int:
        address = self._small
        if address + reserved + GAP > self._small_end:
            if self._small_end:
                self._drop(self._small_end - UNIT)
            self._small_end = 0
            unit = self._units.take(UNIT)
            try:
                self._region.commit(unit, UNIT)
            except RegionError as error:
                self._units.retire(unit, UNIT)
                raise OutOfDeviceMemoryError(f"the system gives no memory: {error}") from error
            self._small_end = unit + UNIT
            self._live[unit] = 1  # being the current one counts as a use
            address = unit
        self._small = address + reserved + GAP
        self._live[self._small_end - UNIT] += 1
        return address

    def _drop(self, unit: int) -> None:
        """Note that a small allocation of ``unit`` is gone, or that it is no longer the current one."""
        self._live[unit] -= 1
        if not self._live[unit]:
            del self._live[unit]
            self._region.decommit(unit, UNIT)
            self._units.retire(unit, UNIT)

    def allocate_host(
        self, nbytes: int, kind: str, flags: int = 0, owner: object = None, device: int = 0
    ) -> int:
        """Allocate ``nbytes`` (> 0) of pinned or managed memory and return its address.

        Raise OutOfDeviceMemoryError. The memory is zeroed. Managed memory counts against the device's memory,
        pinned memory does not.
        """
        pages = -(-nbytes // PAGE) * PAGE
        reserved = pages if kind == "managed" else 0
        with self._lock:
            if reserved > self.available(device):
                raise OutOfDeviceMemoryError(f"{nbytes} bytes wanted, {self.available(device)} are free")
            address = self._host_pages.take(pages + PAGE)
            try:
                self._region.commit_host(address, pages)
            except RegionError as error:
                self._host_pages.retire(address, pages + PAGE)
                raise OutOfDeviceMemoryError(f"the system gives no memory: {error}") from error
            self._used[device] += reserved
            self._enter(Allocation(address, nbytes, kind, reserved, flags, owner, device))
        return address

    def _enter(self, allocation: Allocation) -> None:
        address = allocation.address
        if not self._starts or address > self._starts[-1]:
            self._starts.append(address)
        else:
            self._starts.insert(bisect_left(self._starts, address), address)
        self._allocations[address] = allocation

    def free(self, address: int) -> None:
        """Free the allocation that begins at ``address``; raise AddressRangeError if there is none."""
        with self._lock:
            allocation = self._allocations.pop(address, None)
            if allocation is None:
                raise AddressRangeError(f"no allocation begins at {address:#x}")
            del self._starts[bisect_left(self._starts, address)]
            self._used[allocation.device] -= allocation.reserved
            if allocation.kind in ("pinned", "managed"):
                pages = -(-allocation.nbytes // PAGE) * PAGE
                self._region.decommit_host(address, pages)
                self._host_pages.retire(address, pages + PAGE)
            elif allocation.reserved + GAP > UNIT:
                run = -(-allocation.reserved // UNIT) * UNIT
                self._region.decommit(address, run)
                self._units.retire(address, run + UNIT)
            else:
                self._drop(address - (address - self.base) % UNIT)

    def free_owned(self, owner: object) -> None:
        """Free everything that belongs to ``owner``."""
        with self._lock:
            for allocation in [a for a in self._allocations.values() if a.owner is owner]:
                self.free(allocation.address)

    # -- look-up ---------------------------------------------------------------------------------

    def find(self, address: int) -> Allocation | None:
        """Return the allocation that holds ``address``, or None."""
        allocation = self._allocations.get(address)
        if allocation is None:
            with self._lock:
                index = bisect_right(self._starts, address) - 1
                if index >= 0:
                    allocation = self._allocations[self._starts[index]]
                    if address >= allocation.end:
                        return None
        return allocation

    def translate(self, address: int, nbytes: int = 1) -> int:
        """Return where the memory behind ``nbytes`` at ``address`` is; raise AddressRangeError.

        The range must lie inside one allocation.
        """
        allocation = self._allocations.get(address) or self.find(address)
        if allocation is None:
            raise AddressRangeError(f"{address:#x} is in no allocation")
        if address + nbytes > allocation.end:
            raise AddressRangeError(
                f"{nbytes} bytes at {address:#x} end {address + nbytes - allocation.end} bytes behind "
                f"the allocation of {allocation.nbytes} bytes"
            )
        return address | abi.WINDOW

    # -- access ----------------------------------------------------------------------------------

    def read(self, address: int, nbytes: int) -> bytes:
        """Return ``nbytes`` of memory at ``address``; raise AddressRangeError."""
        return ctypes.string_at(self.translate(address, nbytes), nbytes) if nbytes else b""

    def write(self, address: int, data: bytes | bytearray) -> None:
        """Copy ``data`` to ``address``; raise AddressRangeError."""
        if data:
            ctypes.memmove(self.translate(address, len(data)), bytes(data), len(data))

    def fill(self, address: int, value: int, nbytes: int) -> None:
        """Set ``nbytes`` at ``address`` to the byte ``value``; raise AddressRangeError."""
        if nbytes:
            fill(self.translate(address, nbytes), value, nbytes)

    def copy(self, destination: int, source: int, nbytes: int) -> None:
        """Copy ``nbytes`` between device addresses, which may overlap; raise AddressRangeError."""
        if nbytes:
            move(self.translate(destination, nbytes), self.translate(source, nbytes), nbytes)
