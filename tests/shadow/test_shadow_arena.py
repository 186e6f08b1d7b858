"""Blocks of device memory cut from chunks."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from pycuda_guard.shadow.arena import Arena
from pycuda_guard.shadow.driver import DriverError


class Memory:
    """A device with so many bytes, whose addresses only go up."""

    def __init__(self, room=1 << 40):
        self.room = room
        self.chunks = {}
        self._next = 1 << 32

    def allocate(self, nbytes):
        if nbytes > self.room:
            raise DriverError("cuMemAlloc_v2", 2)
        self.room -= nbytes
        address = self._next
        self._next += nbytes
        self.chunks[address] = nbytes
        return address

    def free(self, address):
        self.room += self.chunks.pop(address)


def test_blocks_never_overlap_and_stay_in_their_chunks():
    memory, source = Memory(), random.Random(7)
    arena = Arena(memory)
    blocks = {}
    for _ in range(3000):
        if blocks and source.random() < 0.5:
            address = source.choice(list(blocks))
            del blocks[address]
            arena.give(address)
        else:
            size = source.choice([1, 100, 256, 257, 5000, 1 << 19])
            address = arena.take(size)
            assert address % 256 == 0
            blocks[address] = size
    ends = sorted((address, address + size) for address, size in blocks.items())
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))
    for start, end in ends:
        assert any(chunk <= start and end <= chunk + size for chunk, size in memory.chunks.items())


def test_what_was_given_back_is_used_again():
    memory = Memory()
    arena = Arena(memory)
    for _ in range(2000):
        blocks = [arena.take(size) for size in (70_000, 300, 900_000)]
        for block in blocks:
            arena.give(block)
    assert len(memory.chunks) == 1


@pytest.mark.parametrize("size", [1000, 100_000])
def test_no_room_is_no_block(size):
    memory = Memory(room=500)
    assert Arena(memory).take(size) == 0


def test_a_small_device_gets_a_small_chunk():
    memory = Memory(room=5000)
    assert Arena(memory).take(4000)
    assert memory.chunks.popitem()[1] < 5000


def test_all_chunks_can_be_given_back():
    memory = Memory(room=10 << 20)
    arena = Arena(memory)
    arena.take(5 << 20)
    assert arena.release() == 5 << 20
    assert (memory.room, arena.total) == (10 << 20, 0)
