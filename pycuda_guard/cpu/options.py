"""Options of the CPU device."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

#: the native runtime reads its number of threads from here, at the first launch
THREADS_VARIABLE = "PYCUDA_GUARD_CPU_THREADS"


def default_memory_bytes() -> int:
    """Return 4 GiB, or half of the machine's memory where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(4 << 30, machine // 2 >> 20 << 20)


def default_threads() -> int:
    """Return what PYCUDA_GUARD_CPU_THREADS says, or the number of cores that this process may use."""
    chosen = os.environ.get(THREADS_VARIABLE, "")
    return int(chosen) if chosen.isdecimal() and int(chosen) else len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What the CPU device is like.

    ``memory_bytes`` is the size of its memory, ``threads`` the number of cores that kernels run on.
    """

    memory_bytes: int = field(default_factory=default_memory_bytes)
    threads: int = field(default_factory=default_threads)
