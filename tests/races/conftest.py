"""Runs the programs of this folder, each once, whichever worker asks first."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = HERE / "race_programs.py"


@pytest.fixture(scope="session")
def findings_of(tmp_path_factory, request):
    """Return the findings of a file's program."""
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("the kernels are launched by PyCUDA")
    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent

    def findings(name):
        report = shared / f"races_{name}.json"
        with (shared / f"races_{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not report.exists():
                options = ["--device", "cpu", "--races", "--quiet", "--fail-on", "never", "--json", report]
                command = [sys.executable, "-m", "pycuda_guard", "run", *options, PROGRAM, HERE / name]
                subprocess.run(command, check=True, timeout=900)
        return json.loads(report.read_text())["findings"]

    return cache(findings)
