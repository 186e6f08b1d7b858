"""Options of the CPU device."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.cpu.schedule import parse
from pycuda_guard.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the native runtime reads its number of threads from here, at the first launch
THREADS_VARIABLE = "PYCUDA_GUARD_CPU_THREADS"
#: compute capabilities that the device can have
CAPABILITIES = ("7.5", "8.0", "8.6", "8.7", "8.9", "9.0")
MOST_DEVICES = 16


def variable(option: str) -> str:
    """Return what the environment says about an option of :mod:`pycuda_guard.config`, or an empty string."""
    return os.environ.get("PYCUDA_GUARD_" + option.upper(), "")


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
    """What the CPU device is like; what is not given is as the environment says.

    ``memory_bytes`` is the size of its memory, ``threads`` the number of cores that kernels run on.
    ``schedule`` says when queued work runs (:mod:`.schedule`), ``kernel_timeout`` after how many seconds a
    kernel is given up (0: never). There are ``devices`` of them, alike and each with its own memory;
    ``compute_capability`` is one of CAPABILITIES, and ``attributes`` replace those that
    follow from it, by number of CU_DEVICE_ATTRIBUTE_*.
    """

    memory_bytes: int = field(default_factory=default_memory_bytes)
    threads: int = field(default_factory=default_threads)
    schedule: str = field(default_factory=lambda: variable("schedule") or "late")
    kernel_timeout: float = field(default_factory=lambda: float(variable("kernel_timeout") or 0))
    devices: int = field(default_factory=lambda: int(variable("cpu_devices") or 1))
    compute_capability: str = field(default_factory=lambda: variable("compute_capability") or "9.0")
    attributes: Mapping[int, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raise StartError if there can be no such device."""
        if self.compute_capability not in CAPABILITIES:
            raise StartError(
                f"the CPU device can't have compute capability {self.compute_capability}",
                f"it can have {', '.join(CAPABILITIES)}",
            )
        if not 1 <= self.devices <= MOST_DEVICES:
            raise StartError(
                f"there can't be {self.devices} CPU devices", f"there can be 1 to {MOST_DEVICES}"
            )
        parse(self.schedule)
