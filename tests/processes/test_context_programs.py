"""Programs with several contexts and libraries: what is marked is found, and they do the same as bare."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pycuda")

PROGRAMS = sorted((Path(__file__).parent / "scripts").glob("*.py"))


def run(program: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", *options, str(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_finds_what_is_marked_and_changes_nothing(program: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    bare = run(program, "--bare")
    guarded = run(program, "--fail-on", "never", "--json", str(report))
    assert bare.returncode == 0, bare.stderr
    assert (guarded.returncode, guarded.stdout) == (bare.returncode, bare.stdout)
    marked = {
        (number, code)
        for number, line in enumerate(program.read_text().splitlines(), 1)
        for code in re.findall(r"# finds (PG\d+)", line)
    }
    findings = json.loads(report.read_text())["findings"]
    assert {(f["location"]["line"], f["code"]) for f in findings if f["severity"] != "note"} == marked
