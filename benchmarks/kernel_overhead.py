"""Kernel time with and without instrumentation, side by side in one run, by CUDA events.

For each kernel: microseconds bare, the ratio under the guard once its buffers are known to be written,
the ratio of the very first launch, the memory that the guard took beside the program's own, and, with
``--sanitizer``, the ratios of compute-sanitizer's tools, which run this file bare.

    python benchmarks/kernel_overhead.py [--device cpu|gpu] [--scale N] [--races] [--sanitizer PATH]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from kernel_programs import PROGRAMS, SOURCE

if TYPE_CHECKING:
    from kernel_programs import Launch

    from pycuda_guard.findings import Finding

ROUNDS = 5
#: a batch takes about this long, in microseconds
BATCH = 20_000


def batch(cuda: Any, function: Any, launch: Launch, repetitions: int) -> float:
    """Return microseconds a launch, of ``repetitions`` in a row, by the device's clock."""
    arguments, block, grid = launch
    start, end = cuda.Event(), cuda.Event()
    start.record()
    for _ in range(repetitions):
        function(*arguments, block=block, grid=grid)
    end.record()
    end.synchronize()
    return float(end.time_since(start)) * 1000 / repetitions


def fitting(cuda: Any, function: Any, launch: Launch) -> int:
    """Return how many launches make a batch."""
    return max(1, min(200, int(BATCH / max(batch(cuda, function, launch, 1), 1.0))))


def bare(scale: int, rounds: int) -> dict[str, float]:
    """Return microseconds a launch of each kernel, without the guard."""
    import pycuda.autoinit  # noqa: F401
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    module = SourceModule(SOURCE, no_extern_c=True)
    times = {}
    for program in PROGRAMS:
        function, launch = module.get_function(program.name), program.prepare(cuda, scale)
        repetitions = 1 if rounds == 1 else fitting(cuda, function, launch)
        times[program.name] = min(batch(cuda, function, launch, repetitions) for _ in range(rounds))
    return times


def under(tool: str, sanitizer: str, scale: int) -> dict[str, float]:
    """Return microseconds a launch of each kernel under a tool of compute-sanitizer; empty if it fails."""
    command = [sanitizer, "--tool", tool, "--print-limit", "1", sys.executable, __file__, "--bare"]
    done = subprocess.run([*command, "--scale", str(scale)], capture_output=True, text=True, timeout=900)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    times: dict[str, float] = json.loads(lines[-1]) if lines else {}
    return times


def compare(device: str, scale: int, *, races: bool) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Measure every kernel bare and guarded, in turn; return a row each, and what the guard found."""
    import pycuda_guard

    if device == "cpu":
        from pycuda_guard import cpu

        cpu.load(cpu.DeviceOptions())
    import pycuda.autoinit  # noqa: F401
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    plain = SourceModule(SOURCE, no_extern_c=True)
    memory = cuda.mem_get_info  # under the guard, what it would give back counts as free
    pycuda_guard.enable(device="auto", races=races, quiet=True)
    guarded = SourceModule(SOURCE, no_extern_c=True, options=["-O3"])  # not the module that is loaded
    rows = []
    for program in PROGRAMS:
        free = memory()[0]
        launch = program.prepare(cuda, scale)
        data = free - memory()[0]
        old, new = plain.get_function(program.name), guarded.get_function(program.name)
        first = batch(cuda, new, launch, 1)
        repetitions = fitting(cuda, old, launch)
        batch(cuda, new, launch, 4)
        times = [
            (batch(cuda, old, launch, repetitions), batch(cuda, new, launch, repetitions))
            for _ in range(ROUNDS)
        ]
        before, after = min(time for time, _ in times), min(time for _, time in times)
        taken = max(free - memory()[0] - data, 0)
        rows.append(
            {
                "name": program.name,
                "size": program.size,
                "bare": before,
                "guarded": after / before,
                "first": first / before,
                "memory": taken / max(data, 1),
            }
        )
        del launch
    return rows, pycuda_guard.finish()


def mean(values: list[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--scale", type=int, default=1, help="divide the sizes")
    parser.add_argument("--races", action="store_true", help="look for races, too")
    parser.add_argument("--sanitizer", help="path of compute-sanitizer")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(bare(options.scale, 1)))
        return
    tools = ("racecheck",) if options.races else ("memcheck", "initcheck")
    others = {tool: under(tool, options.sanitizer, options.scale) for tool in tools if options.sanitizer}
    rows, findings = compare(options.device, options.scale, races=options.races)
    print(
        "| kernel | size | bare, µs | guarded | first launch | memory |",
        " | ".join(others),
        "|" if others else "",
    )
    print("|---" * (6 + len(others)) + "|")
    for row in rows:
        cells = [
            row["name"],
            row["size"],
            *(f"{row[key]:.2f}" for key in ("bare", "guarded", "first", "memory")),
        ]
        cells += [
            f"{times[row['name']] / row['bare']:.1f}" if row["name"] in times else "-"
            for times in others.values()
        ]
        print("|", " | ".join(cells), "|")
    ratios = [row["guarded"] for row in rows]
    first = mean([row["first"] for row in rows])
    print(f"\ngeometric mean {mean(ratios):.2f}, worst {max(ratios):.2f}; first launches {first:.2f}")
    for tool, times in others.items():
        known = [times[row["name"]] / row["bare"] for row in rows if row["name"] in times]
        print(f"{tool}: geometric mean {mean(known):.1f}")
    for finding in findings:
        print(f"{finding.code}: {finding.message}")


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main()
