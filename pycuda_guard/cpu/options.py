"""Options of the CPU device."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

#: the native runtime reads its number of threads from here, at the first launch
THREADS_VARIABLE = "PYCUDA_GUARD_CPU_THREADS"
#: as the options of pycuda_guard.config name them
SCHEDULE_VARIABLE = "PYCUDA_GUARD_SCHEDULE"
TIMEOUT_VARIABLE = "PYCUDA_GUARD_KERNEL_TIMEOUT"


def default_memory_bytes() -> int:
    """Return 4 GiB, or half of the machine's memory where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(4 << 30, machine // 2 >> 20 << 20)


def default_threads() -> int:
    """Return what PYCUDA_GUARD_CPU_THREADS says, or the number of cores that this process may use."""
    chosen = os.environ.get(THREADS_VARIABLE, "")
    return int(chosen) if chosen.isdecimal() and int(chosen) else len(os.sched_getaffinity(0))


def default_schedule() -> str:
    """Return what PYCUDA_GUARD_SCHEDULE says, or ``late``."""
    return os.environ.get(SCHEDULE_VARIABLE) or "late"


def default_kernel_timeout() -> float:
    """Return what PYCUDA_GUARD_KERNEL_TIMEOUT says in seconds, or 0: kernels may run for ever."""
    return float(os.environ.get(TIMEOUT_VARIABLE) or 0)


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What the CPU device is like.

    ``memory_bytes`` is the size of its memory, ``threads`` the number of cores that kernels run on.
    ``schedule`` says when queued work runs (:mod:`.schedule`), ``kernel_timeout`` after how many seconds a
    kernel is given up (0: never).
    """

    memory_bytes: int = field(default_factory=default_memory_bytes)
    threads: int = field(default_factory=default_threads)
    schedule: str = field(default_factory=default_schedule)
    kernel_timeout: float = field(default_factory=default_kernel_timeout)
