"""The allocator over the address region, and access through it."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given, settings, strategies as st
from own_addresses import FIRST, release

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.memory import (
    ALIGNMENT,
    FILL_LIMIT,
    FRESH,
    GAP,
    PAGE,
    UNIT,
    AddressRangeError,
    DeviceMemory,
    OutOfDeviceMemoryError,
)
from pycuda_guard.cpu.runtime import get_runtime

TOTAL = 64 << 20


@pytest.fixture
def memory():
    made = DeviceMemory(TOTAL, get_runtime(), FIRST)
    yield made
    release(made)


def is_accessible(address):
    byte = ctypes.create_string_buffer(1)
    library = get_runtime().library
    library.pg_read.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t)
    return library.pg_read(byte, address, 1) == 0


@pytest.mark.parametrize("nbytes", [1, 12, 512, 513, 100_000, UNIT - GAP, UNIT, UNIT + 1, 3 * UNIT + 5])
def test_what_is_written_can_be_read(memory, nbytes):
    address = memory.allocate(nbytes)
    assert address % ALIGNMENT == 0
    data = bytes(i * 7 & 0xFF for i in range(nbytes))
    memory.write(address, data)
    assert memory.read(address, nbytes) == data
    assert memory.translate(address, nbytes) == address | abi.WINDOW


@pytest.mark.parametrize("nbytes", [1, 700, FILL_LIMIT, FILL_LIMIT + 1])
def test_fresh_memory_up_to_a_limit_holds_no_zeros(memory, nbytes):
    byte = FRESH if nbytes <= FILL_LIMIT else 0
    assert memory.read(memory.allocate(nbytes), nbytes) == bytes([byte]) * nbytes


@pytest.mark.parametrize("offset, nbytes", [(0, 101), (100, 1), (-1, 1), (50, 51), (ALIGNMENT, 1)])
def test_ranges_that_leave_an_allocation_are_refused(memory, offset, nbytes):
    address = memory.allocate(100)
    with pytest.raises(AddressRangeError):
        memory.translate(address + offset, nbytes)


def test_find_tells_allocations_from_the_gaps_between_them(memory):
    first, second = memory.allocate(100), memory.allocate(100)
    assert second - first >= 100 + GAP
    assert memory.find(first + 99).address == first
    assert memory.find(first + 100) is None
    assert memory.find(second).address == second
    assert memory.find(second - 1) is None
    assert memory.find(0x1234) is None


def test_addresses_of_freed_memory_are_not_handed_out_again(memory):
    seen = set()
    for nbytes in (4, 4, 5000, UNIT, 4, 3 * UNIT) * 50:
        address = memory.allocate(nbytes)
        assert address not in seen
        seen.add(address)
        memory.free(address)


def test_free_takes_only_beginnings_of_allocations(memory):
    address = memory.allocate(100)
    for wrong in (address + 8, 0, 64, address + 4096):
        with pytest.raises(AddressRangeError):
            memory.free(wrong)
    memory.free(address)
    with pytest.raises(AddressRangeError):
        memory.free(address)


def test_memory_behind_a_large_allocation_and_after_its_free_is_not_accessible(memory):
    address = memory.allocate(UNIT)
    assert is_accessible(address + UNIT - 1)
    assert not is_accessible(address + UNIT)
    memory.free(address)
    assert not is_accessible(address)


def test_a_unit_is_given_back_when_its_last_small_allocation_is_freed(memory):
    half = UNIT // 2 - GAP
    first, second = memory.allocate(half), memory.allocate(half)
    memory.allocate(half)  # of the next unit
    memory.free(first)
    assert is_accessible(first)
    memory.free(second)
    assert not is_accessible(first)


def test_total_memory_is_the_limit(memory):
    address = memory.allocate(TOTAL - ALIGNMENT)
    memory.allocate(ALIGNMENT)
    assert memory.used == TOTAL
    with pytest.raises(OutOfDeviceMemoryError):
        memory.allocate(1)
    with pytest.raises(OutOfDeviceMemoryError):
        memory.allocate_host(1, "managed")
    memory.allocate_host(1, "pinned")
    memory.free(address)
    assert memory.used == ALIGNMENT
    memory.allocate(TOTAL // 2)


def test_address_space_is_used_again_when_none_is_left():
    memory = DeviceMemory(1 << 50, get_runtime(), FIRST)
    part = (abi.SCRATCH - FIRST) // 4 - UNIT
    addresses = [memory.allocate(part) for _ in range(3)]
    with pytest.raises(OutOfDeviceMemoryError):
        memory.allocate(2 * part)
    for address in addresses:
        memory.free(address)
    again = memory.allocate(2 * part)
    assert memory.base <= again < memory.base + abi.SCRATCH
    memory.write(again + 2 * part - 3, b"end")
    assert memory.read(again + 2 * part - 3, 3) == b"end"
    memory.free(again)


@pytest.mark.parametrize("kind", ["pinned", "managed"])
def test_host_and_device_share_memory_of_the_host_window(memory, kind):
    address = memory.allocate_host(PAGE + 100, kind)
    ctypes.memmove(address + 7, b"host", 4)
    assert memory.read(address + 7, 4) == b"host"
    memory.write(address + PAGE + 90, b"device")
    assert ctypes.string_at(address + PAGE + 90, 6) == b"device"
    assert memory.find(address + PAGE + 99).kind == kind
    assert memory.used == (2 * PAGE if kind == "managed" else 0)
    memory.free(address)
    assert not is_accessible(address)


def test_copy_and_fill(memory):
    first, second = memory.allocate(100), memory.allocate(100)
    memory.write(first, bytes(range(100)))
    memory.copy(second, first, 100)
    memory.copy(second + 10, second, 50)
    assert memory.read(second, 60) == bytes(range(10)) + bytes(range(50))
    memory.fill(second + 1, 9, 3)
    assert memory.read(second, 5) == b"\0\x09\x09\x09\x04"
    with pytest.raises(AddressRangeError):
        memory.copy(second, first, 101)


def test_memory_of_one_owner_is_freed_together(memory):
    one, other = object(), object()
    mine = [memory.allocate(10, owner=one), memory.allocate(UNIT, owner=one)]
    theirs = memory.allocate(10, owner=other)
    memory.free_owned(one)
    assert [memory.find(address) for address in mine] == [None, None]
    assert memory.find(theirs)


sizes = st.one_of(st.integers(1, 3000), st.integers(UNIT - 2000, UNIT + 2000))


@settings(max_examples=40)
@given(st.lists(st.one_of(sizes, st.integers(-20, -1)), max_size=60))
def test_any_sequence_of_allocations_and_frees_keeps_the_books(steps):
    memory = DeviceMemory(TOTAL, get_runtime(), FIRST)
    live: list[tuple[int, int]] = []
    for step in steps:
        if step > 0:
            address = memory.allocate(step)
            assert all(address >= a + n + GAP or address + step + GAP <= a for a, n in live)
            live.append((address, step))
        elif live:
            address, _ = live.pop(step % len(live))
            memory.free(address)
        assert memory.used == sum(-(-n // ALIGNMENT) * ALIGNMENT for _, n in live)
    for address, nbytes in live:
        assert memory.find(address + nbytes - 1).address == address
        assert memory.find(address + nbytes) is None
        memory.free(address)
    assert memory.used == 0
    release(memory)
