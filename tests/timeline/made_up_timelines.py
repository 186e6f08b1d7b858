"""Events made up for timelines."""

from __future__ import annotations

from typing import Any

from made_up.places import CTX
from made_up.recordings import numbered

from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m
from pycuda_guard.reports.tracks import Row, Tracks

DEFAULT, FIRST, SECOND = 0, 101, 102
A_GPU = 0xD000_0000


def where(line: int = 1, thread: int = 11, context: int = CTX) -> tuple[Site, int, int]:
    """Return the site, thread and context of an event."""
    return Site("/home/user/script.py", line, "main"), thread, context


def launch(stream: int = DEFAULT, name: str = "step", address: int = A_GPU, **fields: Any) -> m.Launch:
    """A launch of a kernel that takes one array."""
    array = m.Argument(m.ArgumentKind.POINTER, "DeviceAllocation", 0, 8, address)
    return m.Launch(*where(15, **fields), "__call__", 1, name, (4, 1), (32, 1, 1), 0, stream, (array,), 8)


def dtoh(stream: int = DEFAULT, asynchronous: bool = False, line: int = 20) -> m.Copy:
    """A copy of 400 bytes to the host."""
    ends = m.HostOperand(0x1000, m.Extent(400), 400), m.DeviceOperand(A_GPU, m.Extent(400))
    return m.Copy(*where(line), "memcpy_dtoh", m.CopyKind.DTOH, *ends, stream, asynchronous)


def synchronized(scope: str, handle: int, polled: bool = False) -> m.Synchronized:
    """The host has waited, or asked."""
    return m.Synchronized(*where(30), scope, handle, polled)


def rows(*events: m.Event) -> list[Row]:
    """Return the rows of these events."""
    return list(Tracks().rows(numbered(*events)))
