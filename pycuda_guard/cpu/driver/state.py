"""What the driver of this process shares: the device's memory, its options, and whether it still works.

A kernel that faults breaks the whole device, as on a GPU: from then on nearly every call fails, in new
contexts as well. Until a call has waited for the kernel, calls that only queue work still succeed; their
work is dropped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycuda_guard.cpu.driver.attributes import attributes as attributes_of
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.schedule import parse

if TYPE_CHECKING:
    from pycuda_guard.cpu.memory import DeviceMemory
    from pycuda_guard.cpu.options import DeviceOptions
    from pycuda_guard.cpu.runtime import Runtime
    from pycuda_guard.cpu.schedule import Schedule

options: DeviceOptions
memory: DeviceMemory
runtime: Runtime
schedule: Schedule
attributes: dict[int, int]


@dataclass(slots=True)
class Failure:
    """Why the device is broken: what calls return, and the kernel's fault in words."""

    result: Result
    detail: str


@dataclass(slots=True)
class Status:
    """Whether calls may go on. ``trouble`` is true when anything but the usual must be looked at."""

    initialized: bool = False
    forked: bool = False
    pending: Failure | None = None  # no call has waited for the failed kernel yet
    failure: Failure | None = None  # seen by some call
    trouble: bool = True


status = Status()


def start(chosen: DeviceOptions, device_memory: DeviceMemory, native: Runtime) -> None:
    """Give the driver its device. Called once, before any driver function."""
    global options, memory, runtime, schedule, attributes
    options = chosen
    memory = device_memory
    runtime = native
    schedule = parse(chosen.schedule)
    attributes = attributes_of(chosen)
    os.register_at_fork(after_in_child=_after_fork)


def initialize() -> None:
    """Do what cuInit does."""
    if status.forked:
        raise DriverError(Result.NOT_INITIALIZED)
    if not status.initialized:
        status.initialized = True
        status.trouble = False


def _after_fork() -> None:
    # the workers and the streams of the parent do not exist in a child
    if status.initialized:
        status.forked = status.trouble = True


def fail(failure: Failure) -> None:
    """Note that a kernel failed; the next call that waits for it says so."""
    if status.pending is None and status.failure is None:
        status.pending = failure
        status.trouble = True


def require(waits: bool) -> None:
    """Raise if the device is not usable. ``waits``: the call waits for work queued before."""
    if status.forked or not status.initialized:
        raise DriverError(Result.NOT_INITIALIZED)
    if waits and status.pending is not None:
        status.failure, status.pending = status.pending, None
    if status.failure is not None:
        raise DriverError(status.failure.result, status.failure.detail)


class Handles:
    """Gives objects numbers that C code can hold as pointers. ``first`` keeps the kinds apart."""

    def __init__(self, first: int) -> None:
        self._next = first
        self.objects: dict[int, Any] = {}

    def add(self, thing: object) -> int:
        """Return a handle for ``thing``; handles are never used again."""
        handle = self._next
        self._next += 64
        self.objects[handle] = thing
        return handle

    def get(self, handle: int) -> Any:
        """Return the object of ``handle``; an unknown one is an invalid handle."""
        try:
            return self.objects[handle]
        except KeyError:
            raise DriverError(Result.INVALID_HANDLE) from None

    def remove(self, handle: int) -> Any:
        """Forget ``handle`` and return its object; an unknown one is an invalid handle."""
        thing = self.get(handle)
        del self.objects[handle]
        return thing
