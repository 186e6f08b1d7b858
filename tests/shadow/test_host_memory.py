"""Addresses of the host's own memory, by the lines of /proc/PID/maps."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.shadow.hostmemory import is_host_memory

HEAP, ARRAY, LIBRARY, DEVICE, SHARED = (
    0x55D000001000,
    0x7F0000001000,
    0x7F1000001000,
    0x10000001000,
    0x7F2000001000,
)
MAPS = """\
010000000000-010000100000 rw-p 00000000 00:00 0
010000100000-050000000000 ---p 00000000 00:00 0
55d000000000-55d000010000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000010000 rw-p 00000000 00:00 0
7f1000000000-7f1000010000 r--p 00000000 08:01 1234                       /usr/lib/libc.so.6
7f1000010000-7f1000020000 rw-p 00010000 08:01 1234                       /usr/lib/libc.so.6
7f2000000000-7f2000010000 rw-s 00000000 00:06 99                         /dev/nvidia-uvm
7f3000000000-7f3000010000 ---p 00000000 00:00 0
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
""".splitlines()


@pytest.mark.parametrize("address", [HEAP, ARRAY])
def test_the_hosts_own(address):
    assert is_host_memory(address, MAPS)


@pytest.mark.parametrize(
    "address",
    [0, DEVICE, LIBRARY, LIBRARY + 0x10000, SHARED, 0x7F3000001000, ARRAY + 0x100000, HEAP - (1 << 30)],
)
def test_not_the_hosts_own(address):
    assert not is_host_memory(address, MAPS)


@pytest.mark.parametrize("lines", [[], [""], ["nonsense"], ["1-x rw-p 0 0:0 0"]])
def test_strange_lines(lines):
    assert not is_host_memory(1, lines)


def test_this_process():
    array = np.ones(1 << 20)
    assert is_host_memory(array.ctypes.data)
    assert not is_host_memory(0)
