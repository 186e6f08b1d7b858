"""Kernels with races and their right twins: what is marked is found, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from race_programs import read_cases

HERE = Path(__file__).parent
CASES = [(path.name, case) for path in sorted(HERE.glob("*.cu")) for case in read_cases(path)]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[case.name for _, case in CASES])
def test_finds_what_is_marked(name, case, findings_of):
    found = {}
    for finding in findings_of(name):
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
