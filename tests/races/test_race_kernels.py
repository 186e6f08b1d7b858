"""Kernels with races and their right twins: what is marked is found, and nothing else."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from race_programs import read_cases

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the kernels are launched by PyCUDA", allow_module_level=True)

HERE = Path(__file__).parent
PROGRAM = HERE / "race_programs.py"
CASES = [(path, case) for path in sorted(HERE.glob("*.cu")) for case in read_cases(path)]


@pytest.fixture(scope="session")
def findings_of(tmp_path_factory, request):
    """Return the findings of a file's program, which runs once, whichever worker asks first."""
    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent

    def findings(path):
        report = shared / f"races_{path.stem}.json"
        with (shared / f"races_{path.stem}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not report.exists():
                options = ["--device", "cpu", "--races", "--quiet", "--fail-on", "never", "--json", report]
                command = [sys.executable, "-m", "pycuda_guard", "run", *options, PROGRAM, path]
                subprocess.run(command, check=True, timeout=900)
        return json.loads(report.read_text())["findings"]

    return cache(findings)


@pytest.mark.parametrize(("path", "case"), CASES, ids=[case.name for _, case in CASES])
def test_finds_what_is_marked(path, case, findings_of):
    found = {}
    for finding in findings_of(path):
        kernel = finding["kernel"] or {}
        if kernel.get("name") == case.name and finding["severity"] != "note":
            lines = found.setdefault(finding["code"], set())
            lines.add(kernel["line"])
            lines.update(place["line"] for place in finding["related"] if place["file"] == kernel["file"])
    assert found.keys() == case.marked.keys(), found
    for code, lines in found.items():
        assert lines <= case.marked[code]


def test_the_kernels_come_in_pairs():
    racy = [case for _, case in CASES if case.marked]
    assert len(racy) >= 60
    assert len(CASES) - len(racy) >= 60
