"""Runs made up for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from made_up.recordings import numbered, record

from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m
from pycuda_guard.events.reader import read
from pycuda_guard.findings import Finding, KernelLocation, Location, Related, Severity
from pycuda_guard.reports.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE = "/home/user/script.py"
A_GPU = 0xD000_0000

#: what must be shown as it is, and never become a part of the page
HOSTILE = (
    "</script><script>window.stolen=1</script><img src=x onerror='window.stolen=1'>"
    "\"'`&amp;\x00\x1b\u2028\u202e"
)


def where(line: int, thread: int = 11, file: str = FILE) -> tuple[Site, int, int]:
    """Return the site, thread and context of an event."""
    return Site(file, line, "main"), thread, 31


def launch(line: int = 15, stream: int = 0, name: str = "step", file: str = FILE) -> m.Launch:
    """A launch of a kernel that takes one array."""
    array = m.Argument(m.ArgumentKind.POINTER, "GPUArray", 0, 8, A_GPU, (1000,), "float32", 4000)
    place = where(line, file=file)
    return m.Launch(*place, "__call__", 1, name, (3, 1), (256, 1, 1), 0, stream, (array,), 8)


def dtoh(line: int = 16, stream: int = 0) -> m.Copy:
    """A copy of 4000 bytes to the host."""
    host = m.HostOperand(0x1000, m.Extent(4000), 4000, shape=(1000,), dtype="float32")
    return m.Copy(
        *where(line), "memcpy_dtoh", m.CopyKind.DTOH, host, m.DeviceOperand(A_GPU, m.Extent(4000)), stream
    )


def allocated(line: int, address: int = A_GPU, nbytes: int = 4000, name: str = "") -> m.Allocated:
    """``mem_alloc(nbytes)`` returned ``address``."""
    return m.Allocated(*where(line), "mem_alloc", address, nbytes, m.MemoryKind.DEVICE, name=name)


def finding(
    code: str = "PG103", severity: Severity = Severity.ERROR, line: int = 15, **fields: object
) -> Finding:
    """Return a finding at a line of the script."""
    whole: dict[str, object] = {
        "message": f"what {code} found in `step`",
        "help": "write something else",
        "location": Location(FILE, line, "main"),
        **fields,
    }
    return Finding(code, "made-up", severity, **whole)  # type: ignore[arg-type]


def recorded(path: Path, events: Iterable[m.Event], findings: Iterable[Finding] = ()) -> Run:
    """Return a run of these events, numbered from 1, a microsecond apart."""
    problems = record(path, numbered(*events))
    assert not problems
    recording = read(str(path))
    return Run(
        tuple(findings), "the CPU device", frozenset({"PG103"}), ("one thing",), True, recordings=(recording,)
    )


def hostile_run(path: Path) -> Run:
    """Return a run all of whose texts are hostile."""
    file = f"/home/{HOSTILE}.py"
    found = Finding(
        "PG301",
        "uncovered-output",
        Severity.ERROR,
        f"message {HOSTILE}",
        f"help {HOSTILE}",
        Location(file, 3, HOSTILE),
        KernelLocation(HOSTILE, file, 5),
        (Related(f"related {HOSTILE}", file, 7),),
        event=2,
    )
    place = where(3, file=file)
    events = [
        m.Allocated(*place, HOSTILE, A_GPU, 400, m.MemoryKind.DEVICE, name=HOSTILE),
        launch(3, name=HOSTILE, file=file),
        m.CallFailed(*place, HOSTILE, 2, HOSTILE, HOSTILE, HOSTILE),
        m.LateStart(*place, HOSTILE),
    ]
    run = recorded(path, events, [found])
    return Run(
        run.findings, HOSTILE, run.live, (HOSTILE,), False, ((found, HOSTILE),), recordings=run.recordings
    )


def many(count: int) -> list[m.Event]:
    """Return that many events on three streams."""
    events: list[m.Event] = [m.StreamCreated(*where(4), 100 + n) for n in range(3)]
    events.append(allocated(5, name="a_gpu"))
    while len(events) < count:
        number = len(events)
        stream = 100 + number % 3
        events += [
            allocated(20 + number % 9, 0xE000_0000 + number * 4096, 1000 + number % 977),
            launch(30, stream),
            m.EventRecorded(*where(31), number % 7, stream),
            m.StreamWaited(*where(32), 100 + (number + 1) % 3, number % 7),
            launch(33, 100 + (number + 1) % 3, "reduce"),
            m.Freed(*where(34), 0xE000_0000 + number * 4096, m.MemoryKind.DEVICE),
        ]
        if number % 60 < 6:
            events.append(m.Synchronized(*where(35), "context", 31))
    return events[:count]
