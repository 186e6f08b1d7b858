"""A real program's recording and page, and pages of made-up runs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("browsing")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("page_program.py")


@pytest.fixture(scope="session")
def program_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a program that the guard has much to say about."""
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("the program uses PyCUDA")
    folder = tmp_path_factory.mktemp("page")
    guard = [sys.executable, "-m", "pycuda_guard"]
    record = [*guard, "run", "--device", "cpu", "--races", "--record", str(folder / "run.pgr"), str(PROGRAM)]
    report = [*guard, "report", "--format", "html", "-o", str(folder / "run.html"), str(folder / "run.pgr")]
    for command, status in ((record, 1), (report, 0)):
        ran = subprocess.run(
            command,
            cwd=PROGRAM.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == status, ran.stderr
    return folder / "run.html"
