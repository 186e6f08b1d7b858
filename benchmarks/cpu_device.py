"""The CPU device against PoCL, Oclgrind, numba's CUDA simulator and loops in C, side by side.

Each contestant runs in a process of its own, and all are asked for the same case one after the other, several
times over; the best time of each counts. Times are of a launch and the wait for its end, compilation apart.

    python benchmarks/cpu_device.py [--rivals PYTHON] [--rounds N] [CASE ...]

The rivals need a Python of their own, with ``pip install pyopencl numba`` (and PoCL as ``apt install
pocl-opencl-icd``, or ``pip install pocl-binary-distribution``; Oclgrind as ``apt install oclgrind``).
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
from pathlib import Path

from device_kernels import CASES

CONTESTANTS = Path(__file__).with_name("device_contestants.py")
OURS = "CPU device"
RIVALS = ("PoCL", "Oclgrind", "numba", "C")
#: what is not asked again and again: it takes too long, and is not close
SLOW = ("Oclgrind", "numba")


class Process:
    """A contestant that runs; ``about`` says which version."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [*command, str(CONTESTANTS), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        answer = self._line()
        self.is_ready = answer.startswith("ready ")
        self.about = answer.partition(" ")[2]

    def seconds(self, case: str) -> float:
        """Return the least time of a case; NaN where the contestant has none."""
        assert self._process.stdin is not None
        self._process.stdin.write(case + "\n")
        self._process.stdin.flush()
        answer = self._line()
        return math.nan if answer == "-" else float(answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            return line.strip()
        raise SystemExit(f"{self.name} ended with status {self._process.wait()}")


def start(rivals: str) -> list[Process]:
    """Start all contestants that are there, ours first, and say which are not."""
    commands = {OURS: [sys.executable], "C": [sys.executable]}
    if shutil.which(rivals):
        commands |= {"PoCL": [rivals], "numba": [rivals]}
        if shutil.which("oclgrind"):
            commands["Oclgrind"] = ["oclgrind", rivals]
    running = []
    for name in (OURS, *RIVALS):
        if name not in commands:
            print(f"{name}: left out, it is not installed")
            continue
        process = Process(name, commands[name])
        print(f"{name}: {process.about if process.is_ready else 'left out: ' + process.about}", flush=True)
        if process.is_ready:
            running.append(process)
    return running


def print_start(times: int = 9) -> None:
    """Print how long a program waits for its first kernel when it has run before."""
    found = []
    for _ in range(times):
        command = [sys.executable, str(CONTESTANTS), "start"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append([float(part) for part in done.stdout.split()])
    hit, launch = map(min, zip(*found[1:], strict=True))
    print(f"\na kernel that has run before: {hit:.0f} ms until PyCUDA has found nvcc's output in its cache,")
    print(f"then {launch:.0f} ms of processor time until its first launch has ended")


def mean(values: list[float]) -> float:
    """Return the geometric mean of those that are numbers."""
    logarithms = [math.log(value) for value in values if not math.isnan(value)]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def shown(value: float, suffix: str = "") -> str:
    """Return a number with three digits or so."""
    if math.isnan(value):
        return "–"
    return f"{value:.0f}{suffix}" if value >= 100 else f"{value:.3g}{suffix}"


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rivals", default="/tmp/rivals/venv/bin/python", help="their Python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    options = parser.parse_args()
    running = start(options.rivals)
    rivals = [process.name for process in running[1:]]
    print(f"\n| | ms | {' | '.join(rivals)} |\n|---|{'---|' * (1 + len(rivals))}")
    ratios: dict[str, list[float]] = {name: [] for name in rivals}
    for case in options.cases:
        best = {process.name: math.inf for process in running}
        for turn in range(options.rounds):
            for process in running:
                if turn == 0 or process.name not in SLOW:
                    seconds = process.seconds(case)
                    best[process.name] = seconds if math.isnan(seconds) else min(best[process.name], seconds)
        cells = []
        for name in rivals:
            ratios[name].append(best[name] / best[OURS])
            cells.append(shown(ratios[name][-1]))
        print(f"| {CASES[case].title} | {shown(1e3 * best[OURS])} | {' | '.join(cells)} |", flush=True)
    print(f"| all, geometric mean | | {' | '.join(shown(mean(ratios[name])) for name in rivals)} |")
    for process in running:
        process.close()
    print_start()


if __name__ == "__main__":
    main()
