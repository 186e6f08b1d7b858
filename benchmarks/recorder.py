"""Measures what recording adds to each event, in microseconds.

Events of each kind are added to two timelines in turn, one that is recorded and one that is only
kept in memory; the best of several rounds counts, in processor time of the calling thread. No device is
needed. Run ``python benchmarks/recorder.py``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import timeit
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard import config
from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m
from pycuda_guard.session.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 40
EVENTS = 1000

SITE = Site("/home/user/projects/simulation/solver/transport.py", 120, "Solver.step")
CALLER = (SITE, 140_000_000_000_000, 94_000_000_000_000)


def events() -> dict[str, Callable[[], m.Event]]:
    """Return functions that make an event of each kind, as the hooks do."""
    memory = m.DeviceOperand(0x7F00_0000_0000, m.Extent(400), "DeviceAllocation")
    host = m.HostOperand(0x5500_0000_0000, m.Extent(400), 400, shape=(10, 10), dtype="float32", order="C")
    argument = m.Argument(m.ArgumentKind.POINTER, "DeviceAllocation", 0, 8, 0x7F00_0000_0000)
    number = m.Argument(m.ArgumentKind.INTEGER, "int32", 24, 4, 1000, dtype="int32")
    arguments = (argument, argument, argument, number)
    return {
        "Synchronized": lambda: m.Synchronized(*CALLER, "stream", 0x5600_0000_0000),
        "Allocated": lambda: m.Allocated(*CALLER, "mem_alloc", 0x7F00_0000_0000, 400, m.MemoryKind.DEVICE),
        "Copy": lambda: m.Copy(*CALLER, "memcpy_htod", m.CopyKind.HTOD, memory, host),
        "Launch of 4 arguments": lambda: m.Launch(
            *CALLER, "__call__", 3, "transport", (64, 1), (256, 1, 1), 0, 0, arguments, 28
        ),
    }


def stop(where: str, error: BaseException) -> None:
    """Stop: a failing recorder is not worth measuring."""
    raise SystemExit(f"{where}: {error!r}")


def timeline_of(record: Path | None) -> Timeline:
    """Return a timeline that is recorded to ``record``, where there is one."""
    timeline = Timeline(config.read({"record": record}, {}), stop)
    timeline.start("the CPU device", is_worker=False)
    return timeline


def measure(timeline: Timeline, make: Callable[[], m.Event]) -> float:
    """Return the processor time that it takes to add one event, in microseconds."""
    made = iter([make() for _ in range(EVENTS)])
    taken = timeit.timeit(lambda: timeline.add(next(made)), number=EVENTS, timer=time.thread_time)
    return taken / EVENTS * 1e6


def main() -> None:
    """Print a line for each kind of event: microseconds to make and to record it, bytes in the file."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{'event':<24}{'make, µs':>10}{'record':>10}{'bytes':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, make) in enumerate(events().items()):
            path = Path(folder, f"{number}.pgr")
            plain, recorded = timeline_of(None), timeline_of(path)
            best = {plain: float("inf"), recorded: float("inf")}
            for _ in range(ROUNDS):
                for timeline in best:
                    best[timeline] = min(best[timeline], measure(timeline, make))
            recorded.close(())
            nbytes = path.stat().st_size / (ROUNDS * EVENTS)
            made = min(timeit.repeat(make, number=EVENTS, repeat=ROUNDS)) / EVENTS * 1e6
            print(f"{name:<24}{made:>10.2f}{best[recorded] - best[plain]:>10.2f}{nbytes:>8.0f}")


if __name__ == "__main__":
    main()
