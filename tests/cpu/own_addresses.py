"""Addresses that tests of the allocator have for themselves."""

from __future__ import annotations

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.memory import UNIT, DeviceMemory
from pycuda_guard.cpu.runtime import get_runtime

#: where the addresses of tests begin: below are those of the driver, which other tests load into this process
FIRST = abi.SCRATCH // 2


def release(memory: DeviceMemory) -> None:
    """Give back everything, so that the next allocator of this process finds its addresses as new."""
    for address in list(memory._allocations):
        memory.free(address)
    if memory._small_end:
        get_runtime().decommit(memory._small_end - UNIT, UNIT)
