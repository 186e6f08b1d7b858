"""Recordings of made-up events, written without PyCUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m
from pycuda_guard.events.recorder import Recorder, describe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SITE = Site("/home/user/script.py", 3, "main")
START = 1_700_000_000_000_000_000  #: when runs begin, in nanoseconds


def numbered(*events: m.Event, step: int = 1000) -> list[m.Event]:
    """Number events from 1, ``step`` nanoseconds apart."""
    for number, event in enumerate(events, 1):
        event.sequence, event.time = number, START + number * step
    return list(events)


def copies(count: int, name: str = "memcpy_htod") -> list[m.Event]:
    """Return that many events, numbered from 1."""
    events: list[m.Event] = []
    for number in range(1, count + 1):
        event = m.Copy(
            SITE,
            11,
            31,
            name,
            m.CopyKind.HTOD,
            m.DeviceOperand(0xD000_0000 + number, m.Extent(400)),
            m.HostOperand(0x1000_0000, m.Extent(400), 400),
        )
        event.sequence = number
        event.time = 2 * number + 1  # odd, so that the record's last byte is not zero
        events.append(event)
    return events


def record(
    path: Path, events: Iterable[m.Event], *, limit: int | None = None, is_closed: bool = True
) -> list[BaseException]:
    """Write a recording and return what the recorder complained about."""
    problems: list[BaseException] = []
    recorder = Recorder(
        str(path), describe("1.2.3", "the CPU device"), lambda where, error: problems.append(error), limit
    )
    for event in events:
        recorder.write(event)
    if is_closed:
        recorder.close()
    return problems
