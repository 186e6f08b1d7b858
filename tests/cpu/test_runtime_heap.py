"""malloc and free of kernels, driven from the host through the same functions."""

from __future__ import annotations

import ctypes
import itertools
import random
import subprocess
import sys
import threading

import pytest

from pycuda_guard.cpu import abi


@pytest.fixture
def heap(device):
    library = device.runtime.library
    library.pg_malloc.argtypes = library.pg_free.argtypes = [ctypes.c_uint64]
    library.pg_malloc.restype = ctypes.c_uint64
    library.pg_free.restype = None
    return library


def take_all(heap, nbytes: int) -> list[int]:
    found = []
    while address := heap.pg_malloc(nbytes):
        found.append(address)
    return found


def test_a_kernel_allocates_uses_and_frees(device):
    body = """
  %address = call i64 @pg_malloc(i64 40)
  %pointer = call ptr @translate(ptr %block, i64 %address)
  store volatile i64 5, ptr %pointer
  call void @pg_free(i64 %address)
  ret void"""
    assert device.launch(device.kernel(body)) is None


@pytest.mark.parametrize("nbytes", [1, 16, 17, 1000, None])
def test_addresses_are_aligned_and_in_the_device_window(device, heap, nbytes):
    nbytes = nbytes or device.runtime.heap_bytes * 5 // 8
    address = heap.pg_malloc(nbytes)
    assert address % 16 == 0
    assert abi.is_region_address(address, device.runtime.base)
    assert address - device.runtime.base >= abi.SCRATCH
    ctypes.memset(address | abi.WINDOW, 1, nbytes)
    heap.pg_free(address)


@pytest.mark.parametrize("nbytes", [(5 << 20) // 2 + 16, 1 << 20, 100_000, 3000])
def test_the_whole_size_can_be_taken_and_comes_back(device, heap, nbytes):
    for _ in range(2):
        found = take_all(heap, nbytes)
        assert len(found) == device.runtime.heap_bytes // (-(-nbytes // 16) * 16)
        for address in found:
            heap.pg_free(address)


def test_more_than_the_heap_is_null(device, heap):
    assert heap.pg_malloc(device.runtime.heap_bytes + 1) == 0
    assert heap.pg_malloc(2**64 - 1) == 0


def test_wrong_frees_are_ignored(device, heap):
    address = heap.pg_malloc(64)
    for wrong in (0, 5, address + 16, address + 1, device.runtime.base, 2**64 - 1):
        heap.pg_free(wrong)
    heap.pg_free(address)
    heap.pg_free(address)
    first, second = heap.pg_malloc(64), heap.pg_malloc(64)
    assert first != second
    heap.pg_free(first)
    heap.pg_free(second)


def test_allocations_never_overlap(device, heap):
    choose = random.Random(1)
    live: dict[int, int] = {}
    for _ in range(3000):
        if live and choose.random() < 0.45:
            address = choose.choice(list(live))
            del live[address]
            heap.pg_free(address)
        else:
            nbytes = choose.choice([1, 24, 100, 5000, 70_000])
            address = heap.pg_malloc(nbytes)
            if address:
                live[address] = nbytes
    ends = sorted((address, address + nbytes) for address, nbytes in live.items())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    for address in live:
        heap.pg_free(address)
    whole = heap.pg_malloc(device.runtime.heap_bytes)  # the neighbours have grown together again
    assert whole
    heap.pg_free(whole)


def test_threads_get_different_blocks(heap):
    found: list[list[int]] = [[] for _ in range(4)]

    def work(mine: list[int]) -> None:
        for _ in range(500):
            address = heap.pg_malloc(32)
            if address:
                mine.append(address)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = [address for mine in found for address in mine]
    assert len(set(together)) == len(together) == 2000
    for address in together:
        heap.pg_free(address)


def test_the_size_can_be_set_before_the_first_use():
    script = """
from pycuda_guard.cpu.runtime import get_runtime
import ctypes
runtime = get_runtime()
runtime.library.pg_malloc.argtypes, runtime.library.pg_malloc.restype = [ctypes.c_uint64], ctypes.c_uint64
print(runtime.resize_heap(1 << 20), runtime.heap_bytes)
print(bool(runtime.library.pg_malloc(1 << 20)), runtime.library.pg_malloc(16))
print(runtime.resize_heap(2 << 20), runtime.heap_bytes)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert result.stdout.splitlines() == ["True 1048576", "True 0", "False 1048576"]
