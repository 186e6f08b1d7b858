"""What lies at the address of an operand, for the rules that judge pointers."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from pycuda_guard.events.model import MemoryKind

if TYPE_CHECKING:
    from pycuda_guard.checks.state import State
    from pycuda_guard.checks.state.allocations import Memory, Region
    from pycuda_guard.events.model import DeviceOperand, Extent

#: No allocation ever lies below this address.
NULL_PAGE = 4096

#: Device allocations start at multiples of this at least, so nothing else begins before the next one.
_GRANULE = 256

_ALLOCATIONS = frozenset({MemoryKind.DEVICE, MemoryKind.POOL})


class Place(Enum):
    """What an address is."""

    LIVE = "inside live memory"
    NULL = "null"
    FREED = "inside freed memory"
    AFTER = "past the end of live memory"
    BEFORE = "before live memory that the operand runs into"
    UNKNOWN = "nothing that was allocated, and the driver does not know it either"
    FOREIGN = "memory that this run did not allocate, and nothing speaks against"


def moves(extent: Extent) -> bool:
    """Tell whether any byte is moved at all."""
    return extent.width != 0 and extent.rows > 0 and extent.slices > 0


def locate(state: State, operand: DeviceOperand, refused: bool = False) -> tuple[Place, Region | None]:
    """Return what the operand's address is, and the memory that this is said of.

    ``refused`` tells that the driver has turned the call down as an invalid argument.
    """
    memory, address = state.memory, operand.address
    region = memory.find(address)
    if region is not None:
        return Place.LIVE, region
    if address < NULL_PAGE:
        return Place.NULL, None
    freed = memory.find_freed(address)
    # Another library may have been given the address since; a pool's memory the driver always knows.
    if freed is not None and (operand.known is not True or freed.kind is MemoryKind.POOL):
        return Place.FREED, freed
    strange = operand.known is False or refused
    beside = _beside(memory, operand, strange)
    if beside is not None:
        return beside
    if operand.known is False or (refused and not state.late):
        return Place.UNKNOWN, None
    return Place.FOREIGN, None


def _beside(memory: Memory, operand: DeviceOperand, strange: bool) -> tuple[Place, Region] | None:
    """Tell whether the address was meant for memory just below or just above it."""
    address, reach = operand.address, max(operand.extent.end, 1)
    above = memory.live.above(address)
    if above is not None and above.kind in _ALLOCATIONS and above.base < address + reach:
        return Place.BEFORE, above
    below = memory.live.below(address)
    if below is None or below.kind not in _ALLOCATIONS:
        return None
    gap = address - below.end
    # One past the end of a whole granule may be another library's memory: only the driver can tell.
    if address < -(-below.end // _GRANULE) * _GRANULE or (strange and gap <= below.nbytes + reach):
        return Place.AFTER, below
    return None
