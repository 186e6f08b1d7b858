"""Shows that a long run takes no more memory than a short one: millions of events for rules and recorder.

The events are those of a program that allocates, copies, launches on three streams, waits, and frees what
it has allocated, with as many different addresses as fit a GPU. The recording keeps the last 64 MiB. No
device is needed. Run ``python benchmarks/long_run.py [--events N] [--steps N]``.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from damaged_recordings import SITE

from pycuda_guard import config
from pycuda_guard.checks.engine import Engine
from pycuda_guard.events import model as m
from pycuda_guard.session.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLER = (SITE, 11, 31)
STREAMS = (0, 501, 502)

#: allocations of a MiB each that the program goes through before it begins anew at the first address
PLACES = 10_000


def stop(where: str, error: BaseException) -> None:
    """Stop: a failing recorder shows nothing."""
    raise SystemExit(f"{where}: {error!r}")


def program() -> Iterator[m.Event]:
    """Yield the events of a program that never ends."""
    pointer, number = m.ParameterKind.POINTER, m.ParameterKind.INTEGER
    parameters = (
        m.Parameter("x", 0, 8, 8, pointer, "float *x", "float", 4, 1),
        m.Parameter("n", 8, 4, 4, number, "int n"),
    )
    element = m.LinearForm(0, ((0, 1), (-9, 4), (-7, 4)))
    access = m.CertainAccess("write", 4, element)
    kernel = m.KernelSignature("step", parameters, source_file=SITE.file, source_line=3, accesses=(access,))
    host = m.HostOperand(0x5500_0000, m.Extent(4096), 4096, shape=(1024,), dtype="float32", order="CF")
    yield m.ContextChanged(*CALLER, "created", 31)
    yield m.ModuleLoaded(*CALLER, 901, (kernel,))
    for stream in STREAMS[1:]:
        yield m.StreamCreated(*CALLER, stream, 1)
    turn = 0
    while True:
        address = 0x7F00_0000_0000 + (turn % PLACES << 20)
        stream = STREAMS[turn % len(STREAMS)]
        device = m.DeviceOperand(address, m.Extent(4096), "DeviceAllocation")
        arguments = (
            m.Argument(m.ArgumentKind.POINTER, "DeviceAllocation", 0, 8, address),
            m.Argument(m.ArgumentKind.INTEGER, "int32", 8, 4, turn, dtype="int32"),
        )
        yield m.Allocated(*CALLER, "mem_alloc", address, 4096, m.MemoryKind.DEVICE)
        yield m.Copy(*CALLER, "memcpy_htod", m.CopyKind.HTOD, device, host)
        yield m.Synchronized(*CALLER, "context", 31)
        yield m.EventCreated(*CALLER, turn)
        for _ in range(4):
            yield m.Launch(*CALLER, "__call__", 901, "step", (4, 1), (256, 1, 1), 0, stream, arguments, 12)
        yield m.EventRecorded(*CALLER, turn, stream)
        yield m.Synchronized(*CALLER, "event", turn)
        yield m.Copy(*CALLER, "memcpy_dtoh", m.CopyKind.DTOH, host, device)
        yield m.EventDestroyed(*CALLER, turn)
        yield m.Freed(*CALLER, address, m.MemoryKind.DEVICE, "collected")
        turn += 1


def resident() -> int:
    """Return the memory of this process in bytes, without what it shares with files."""
    gc.collect()
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return (int(fields[1]) - int(fields[2])) * 4096


def main() -> None:
    """Feed the events and print the memory as it goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--steps", type=int, default=10, help="lines to print")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.pgr")
        timeline = Timeline(config.read({"record": path, "record_limit": 1 << 26}, {}), stop)
        timeline.start("made up", is_worker=False)
        engine = Engine()
        events = program()
        print(f"{'events':>12}{'memory, MiB':>14}{'µs an event':>14}{'findings':>10}")
        for step in range(1, chosen.steps + 1):
            last = chosen.events * step // chosen.steps
            first = chosen.events * (step - 1) // chosen.steps
            start = time.process_time()
            for number in range(first + 1, last + 1):
                event = next(events)
                event.sequence, event.time = number, time.time_ns()
                timeline.add(event)
                engine.feed(event)
            taken = 1e6 * (time.process_time() - start) / (last - first)
            memory = resident() / 2**20
            print(f"{last:>12,}{memory:>14.1f}{taken:>14.1f}{len(engine.findings):>10}", flush=True)
        timeline.close(())


if __name__ == "__main__":
    main()
