"""A small run of benchmarks/many_recordings.py: recordings, their table, and what DuckDB makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_duckdb_summarizes_the_table_of_many_processes() -> None:
    for module in ("duckdb", "pyarrow"):
        pytest.importorskip(module)
    sizes = ["--processes", "20", "--events", "200", "--largest", "8000"]
    done = subprocess.run(
        [sys.executable, "benchmarks/many_recordings.py", *sizes],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted = [line.split()[0] for line in done.stdout.splitlines()[-4:-1]]
    assert counted == ["400", "4,000", "8,000"]
