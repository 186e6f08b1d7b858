"""The address region: what C and Python say about it agrees, and memory comes and goes as asked."""

from __future__ import annotations

import ctypes
import os

import pytest

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.runtime import RegionError

PAGE = 4096


def is_readable(address: int) -> bool:
    """Ask the kernel, which answers EFAULT instead of sending a signal."""
    reader, writer = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        return libc.write(writer, ctypes.c_void_p(address), ctypes.c_size_t(1)) == 1
    finally:
        os.close(reader)
        os.close(writer)


def test_c_has_the_layout_of_abi(device):
    layout = device.runtime.library.pg_block_layout
    layout.restype = ctypes.POINTER(ctypes.c_uint32 * (len(abi.BLOCK_FIELDS) + 1))
    *offsets, size = layout().contents
    expected = abi.block_offsets()
    assert dict(zip(expected, offsets, strict=True)) == expected
    used = max(expected.values()) + 4  # the last field is a u32
    assert size == -(-used // 8) * 8


def test_the_region_is_aligned_to_its_size(device):
    assert device.runtime.base % abi.REGION == 0
    assert device.runtime.reserve() == device.runtime.base


def test_device_memory_is_at_the_mirror_only(device):
    address = device.runtime.base + abi.SCRATCH - (64 << 20)
    device.runtime.commit(address, 4 << 20)
    assert ctypes.string_at(address | abi.WINDOW, 4) == bytes(4)
    assert not is_readable(address)
    assert is_readable((address | abi.WINDOW) + (4 << 20) - 1)
    assert not is_readable((address | abi.WINDOW) + (4 << 20))
    ctypes.memset(address | abi.WINDOW, 1, 4)
    device.runtime.decommit(address, 4 << 20)
    assert not is_readable(address | abi.WINDOW)
    device.runtime.commit(address, 4 << 20)
    assert ctypes.string_at(address | abi.WINDOW, 4) == bytes(4)
    device.runtime.decommit(address, 4 << 20)


def test_host_memory_is_shared_with_its_mirror(device):
    address = device.runtime.base + 3 * abi.WINDOW - (64 << 20)
    device.runtime.commit_host(address, 3 * PAGE)
    ctypes.memset(address, 7, 3 * PAGE)
    assert ctypes.string_at(address | abi.WINDOW, 3 * PAGE) == bytes([7]) * 3 * PAGE
    device.runtime.decommit_host(address + PAGE, PAGE)
    assert [is_readable(address + i * PAGE) for i in range(3)] == [True, False, True]
    assert [is_readable(address + i * PAGE | abi.WINDOW) for i in range(3)] == [True, False, True]
    device.runtime.decommit_host(address, 3 * PAGE)
    assert not is_readable(address)


def test_host_memory_needs_no_descriptor_afterwards(device):
    before = len(os.listdir("/proc/self/fd"))
    address = device.runtime.base + 3 * abi.WINDOW - (32 << 20)
    device.runtime.commit_host(address, PAGE)
    assert len(os.listdir("/proc/self/fd")) == before
    device.runtime.decommit_host(address, PAGE)


@pytest.mark.parametrize(
    ("offset", "nbytes"),
    [
        (-PAGE, PAGE),
        (abi.WINDOW, PAGE),
        (abi.WINDOW - PAGE, 2 * PAGE),
        (0, 0),
        (1, PAGE),
        (0, 2 * abi.WINDOW),
    ],
)
def test_ranges_outside_the_window_are_refused(device, offset, nbytes):
    with pytest.raises(RegionError, match="cannot commit") as caught:
        device.runtime.commit(device.runtime.base + offset, nbytes)
    assert caught.value.errno
    with pytest.raises(OSError, match="cannot commit pinned"):
        device.runtime.commit_host(device.runtime.base + 2 * abi.WINDOW + offset, nbytes)
