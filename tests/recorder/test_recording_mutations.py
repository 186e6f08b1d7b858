"""A sample of what benchmarks/damaged_recordings.py does to recordings by the hundred thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_damaged_recordings_are_read_or_refused() -> None:
    command = [sys.executable, "benchmarks/damaged_recordings.py", "--files", "400", "--seed", "20261121"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()[:-1]}
    assert sum(counts.values()) == 400
    assert set(counts) == {"damaged", "read", "refused"}
