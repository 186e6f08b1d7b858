"""Host memory in flight, touched by real programs on the CPU device."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pycuda_guard.hooks.touch import TouchWatch

pytestmark = pytest.mark.skipif(not TouchWatch.is_available, reason="pages can't be protected here")

SCRIPTS = Path(__file__).parent / "scripts"


def guarded(script: Path, folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], list]:
    """Run a script under the guard; return how it ended and the findings."""
    command = [sys.executable, "-X", "faulthandler", "-m", "pycuda_guard", "run", "--device", "cpu"]
    done = subprocess.run(
        [*command, "--json", "out.json", *options, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done, json.loads((folder / "out.json").read_text())["findings"]


def told(findings: list) -> list[tuple[int, str]]:
    """Return lines and codes of the errors and warnings."""
    return [(f["location"]["line"], f["code"]) for f in findings if f["severity"] != "note"]


def test_every_touch_is_told_at_its_line(tmp_path: Path) -> None:
    script = SCRIPTS / "firing.py"
    marks = [
        (number, found[1])
        for number, line in enumerate(script.read_text().splitlines(), 1)
        if (found := re.search(r"# (PG\d+)", line))
    ]
    done, findings = guarded(script, tmp_path, "--record", "run.pgr")
    assert told(findings) == marks, done.stderr
    assert done.returncode == 1
    assert "PG903" not in done.stderr

    check = [sys.executable, "-m", "pycuda_guard", "check", "run.pgr", "--json", "again.json"]
    subprocess.run(check, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert json.loads((tmp_path / "again.json").read_text())["findings"] == findings


def test_what_is_right_stays_silent(tmp_path: Path) -> None:
    done, findings = guarded(SCRIPTS / "silent.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert told(findings) == []
    assert "PG903" not in done.stderr
