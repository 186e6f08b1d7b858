"""A small run of benchmarks/long_run.py: rules and recorder keep a bounded amount of what was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_memory_does_not_grow_with_the_run() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/long_run.py", "--events", "120000", "--steps", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    memory = [float(row[1]) for row in rows]
    assert [row[0] for row in rows] == ["40,000", "80,000", "120,000"]
    assert [row[3] for row in rows] == ["0", "0", "0"]
    # 80 000 events more are 15 MB in the recording
    assert memory[2] < memory[0] + 12
