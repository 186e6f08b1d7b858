"""Events made up for timelines, and recordings of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m
from pycuda_guard.events.recorder import Recorder, describe
from pycuda_guard.reports.tracks import Row, Tracks

if TYPE_CHECKING:
    from pathlib import Path

START = 1_700_000_000_000_000_000
CTX, DEFAULT, FIRST, SECOND = 31, 0, 101, 102
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


def stream(handle: int, flags: int = 0) -> m.StreamCreated:
    """``Stream(flags)``."""
    return m.StreamCreated(*where(4), handle, flags)


def synchronized(scope: str, handle: int, polled: bool = False) -> m.Synchronized:
    """The host has waited, or asked."""
    return m.Synchronized(*where(30), scope, handle, polled)


def numbered(*events: m.Event, step: int = 1000) -> list[m.Event]:
    """Number events from 1, ``step`` nanoseconds apart."""
    for number, event in enumerate(events, 1):
        event.sequence, event.time = number, START + number * step
    return list(events)


def rows(*events: m.Event) -> list[Row]:
    """Return the rows of these events."""
    return list(Tracks().rows(numbered(*events)))


def record(path: Path, *events: m.Event) -> None:
    """Write a recording of these events."""
    problems: list[BaseException] = []
    recorder = Recorder(
        str(path), describe("1.2.3", "the CPU device"), lambda _, error: problems.append(error)
    )
    for event in events:
        recorder.write(event)
    recorder.close()
    assert not problems
