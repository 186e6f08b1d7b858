"""Kernels that launch kernels on the CPU device: what runs, in which order, and what the guard says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pycuda")

PROGRAM = Path(__file__).with_name("launching_kernels.py")
RIGHT = {
    "arguments": [15] * 40,
    "order": [6, 1, 2, 6, 7, 3, 9],
    "nested": [0, *range(2, 26), *[0] * 7, 65, 65],
    "refused": [0] * 4 + [9, 9, 0, 9, 0, 9, 0, 9],
    "in_heap": [0, 0],
    "own": list(range(8)),
    "linked": [40, 40, 41, 41, 42, 42, 43, 43],
    "fresh": [15] * 40,
}


def run(*options: str) -> dict[str, list[int]]:
    """Run the program on the CPU device; return what each of its kernels left."""
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", *options, str(PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def trimmed(values: list[int], count: int) -> list[int]:
    """Return the first numbers; all others must be zeros."""
    assert not any(values[count:])
    return values[:count]


@pytest.fixture(scope="module", params=["late", "eager", "random:3"])
def left(request) -> dict[str, list[int]]:
    """What the kernels leave in each schedule."""
    return run("--bare", "--schedule", request.param)


@pytest.mark.parametrize("name", RIGHT)
def test_what_kernels_launch(left, name):
    assert trimmed(left[name], len(RIGHT[name])) == RIGHT[name]


@pytest.mark.parametrize("options", [(), ("--races",)])
def test_guarded_programs_compute_the_same_and_are_told_what_is_not_checked(options, tmp_path):
    found = run(*options, "--json", str(tmp_path / "found.json"))
    assert {name: trimmed(found[name], len(RIGHT[name])) for name in RIGHT} == RIGHT
    findings = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert {finding["severity"] for finding in findings} == {"note"}
    assert any(finding["code"] == "PG901" and "launch" in finding["message"] for finding in findings)
