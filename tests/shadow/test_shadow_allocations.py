"""The map of allocations, and what the host knows of one."""

from __future__ import annotations

import pytest

from pycuda_guard.events.model import MemoryKind
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.shadow.allocations import Allocation, AllocationMap


def make(address, size=100, kind=MemoryKind.DEVICE):
    return Allocation(address, size, kind, 1)


@pytest.fixture
def three():
    """A map with 1000 to 1100, 2000 to 2100 and 2100 to 2200."""
    allocations = AllocationMap()
    for address in (2000, 1000, 2100):
        assert allocations.add(make(address)) == []
    return allocations


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (999, None),
        (1000, 1000),
        (1099, 1000),
        (1100, 1000),  # one past the end
        (1101, None),
        (2100, 2100),  # the one that begins there, not the one that ends
        (2150, 2100),
        (5000, None),
    ],
)
def test_an_address_is_in_one_allocation(three, address, found):
    allocation = three.at(address)
    assert (None if allocation is None else allocation.address) == found


def test_allocations_come_by_address_and_go(three):
    before = three.version
    assert [allocation.address for allocation in three] == [1000, 2000, 2100]
    assert three.remove(2000).size == 100
    assert three.remove(2000) is None
    assert [allocation.address for allocation in three] == [1000, 2100]
    assert three.version > before


@pytest.mark.parametrize(
    ("address", "size", "replaced"),
    [
        (1000, 100, [1000]),
        (1050, 10, [1000]),
        (900, 101, [1000]),
        (900, 100, []),
        (1100, 900, []),
        (1099, 1002, [1000, 2000, 2100]),
    ],
)
def test_what_is_new_replaces_what_was_there(three, address, size, replaced):
    assert [allocation.address for allocation in three.add(make(address, size))] == replaced
    assert len(three) == 4 - len(replaced)


def test_parts_that_are_written_make_a_whole():
    allocation = make(0, 12)
    allocation.note_written(0, 4)
    allocation.note_written(8, 20)
    assert not allocation.whole
    assert list(allocation.known) == [(0, 4), (8, 12)]
    allocation.note_written(4, 8)
    assert allocation.whole


@pytest.mark.parametrize("kind", [MemoryKind.MANAGED, MemoryKind.PINNED, MemoryKind.GLOBAL, MemoryKind.IPC])
def test_memory_that_others_write_counts_as_written(kind):
    assert make(0, 12, kind).whole


def test_bytes_that_nobody_wrote_can_be_copied_over_others():
    allocation = make(0, 12)
    allocation.note_written(0, 12)
    before = allocation.version
    allocation.reopen()
    assert not allocation.whole
    assert allocation.known.covers(0, 12)
    assert allocation.version > before


def test_epochs_are_used_up_and_begin_again():
    allocation = make(0, 12)
    taken = [allocation.take_epoch(launch) for launch in range(1000, 1252)]
    assert taken == list(range(abi.FIRST_EPOCH, abi.LAST_EPOCH + 1))
    assert allocation.launches[abi.LAST_EPOCH] == 1251
    assert allocation.take_epoch(2000) == 0
    allocation.forget_epochs()
    assert allocation.launches == {}
    assert allocation.take_epoch(2001) == abi.FIRST_EPOCH
