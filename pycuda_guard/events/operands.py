"""What the calls name: memory of every kind, how much of it, and devices.

These are parts of the events in :mod:`pycuda_guard.events.model`, which passes them on.
"""

from __future__ import annotations

from enum import Enum

import msgspec

Address = int


class Plain(msgspec.Struct, array_like=True, gc=False):
    """A record of plain data: quick to make, quick to encode.

    A class with its fields written out by ``dataclass`` takes half as long again to make and four
    times as long to encode. There are no cycles in plain data, so the garbage collector may pass
    it over.
    """


class Value(msgspec.Struct, array_like=True, gc=False, frozen=True, cache_hash=True):
    """A record of plain data by which something is looked up."""


class Word(Enum):
    """An Enum that is quick to look for in a set: that of the standard library hashes in Python."""

    __hash__ = object.__hash__


class MemoryKind(Word):
    """Where an allocation came from."""

    DEVICE = "device"  # mem_alloc, mem_alloc_pitch
    POOL = "pool"  # a block of a DeviceMemoryPool
    MANAGED = "managed"
    PINNED = "pinned"  # pagelocked_empty and PageLockedMemoryPool
    REGISTERED = "registered"
    GLOBAL = "global"  # a __device__ or __constant__ variable of a module
    ARRAY = "array"  # a CUDA array; its address is its handle
    IPC = "ipc"


class HostKind(Word):
    """What kind of host memory a copy uses; it decides whether the copy blocks the host."""

    PAGEABLE = "pageable"
    PINNED = "pinned"
    REGISTERED = "registered"
    MANAGED = "managed"


class CopyKind(Word):
    """Direction of a copy as the called function names it."""

    HTOD = "host to device"
    DTOH = "device to host"
    DTOD = "device to device"
    PEER = "peer to peer"
    ARRAY = "to or from an array"
    MIXED = "2D or 3D"


class Extent(Value, frozen=True):
    """Bytes that an operand spans: ``rows`` rows of ``width`` bytes, ``slices`` slices of rows.

    ``offset`` is the distance in bytes of the first byte from the operand's address. A plain
    copy of n bytes is ``Extent(n)``. ``width`` may be negative when the program asks for that.
    """

    width: int
    rows: int = 1
    pitch: int = 0
    slices: int = 1
    slice_pitch: int = 0
    offset: int = 0

    @property
    def end(self) -> int:
        """One past the last byte touched, relative to the operand's address (bytes)."""
        if self.width <= 0 or self.rows <= 0 or self.slices <= 0:
            return self.offset + min(self.width, 0)
        return self.offset + (self.slices - 1) * self.slice_pitch + (self.rows - 1) * self.pitch + self.width


class DeviceOperand(Value, frozen=True, tag=True):
    """Device memory named in a call. ``type_name`` is the Python type that was passed.

    ``known`` is the driver's answer (``mem_get_address_range``) for an address in no allocation that
    was reported: whether anything lives there. None where it was not asked.
    """

    address: Address
    extent: Extent
    type_name: str = "int"
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    order: str | None = None  # as in HostOperand
    known: bool | None = None


class HostOperand(Value, frozen=True, tag=True):
    """A host buffer named in a call; ``nbytes`` is the size of the whole buffer."""

    address: Address
    extent: Extent
    nbytes: int
    kind: HostKind = HostKind.PAGEABLE
    type_name: str = "ndarray"
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    order: str | None = None  # "C", "F", "CF" (both), or None where neither
    contiguous: bool = True
    writable: bool = True


class ArrayOperand(Value, frozen=True, tag=True):
    """A CUDA array named in a call; ``nbytes`` is its whole size."""

    handle: int
    extent: Extent
    nbytes: int


class OddOperand(Value, frozen=True, tag=True):
    """Something that is neither: a type the call does not take."""

    type_name: str


Operand = DeviceOperand | HostOperand | ArrayOperand | OddOperand


class DeviceLimits(Plain):
    """Launch limits of a device, read once by attribute."""

    name: str
    compute_capability: tuple[int, int]
    max_threads_per_block: int
    max_block: tuple[int, int, int]
    max_grid: tuple[int, int, int]
    max_shared_per_block: int
    max_shared_per_block_optin: int
    max_registers_per_block: int
    total_memory: int
