"""Whole programs under the guard: what is marked is found, and what they print stays the same."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guard_processes import run_guard

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the programs need PyCUDA", allow_module_level=True)

if TYPE_CHECKING:
    import subprocess

PROGRAMS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
ROOT = Path(__file__).parents[2]


def run(program: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_guard("run", "--device", "cpu", *options, program, cwd=ROOT)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_finds_what_is_marked_and_changes_nothing(program, tmp_path):
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
