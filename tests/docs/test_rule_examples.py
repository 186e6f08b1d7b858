"""The examples of every rule's page: the rule fires on the first, and the second is right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from guard_processes import run_guard

from pycuda_guard.checks import pages
from pycuda_guard.checks.registry import RULES, RuleInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("pycuda")
pytest.importorskip("llvmlite")

#: what a rule's page says its example needs
OPTIONS = {"PG405": ["--no-kernels"]}

#: a script that starts the guard itself, on a machine that may have no GPU
ENABLING = "from pycuda_guard import cpu\ncpu.load()\n"

#: there is no program on which the guard itself fails
WITHOUT_EXAMPLE = {"PG903"}


@pytest.fixture
def guarded(tmp_path: Path) -> Callable[[str, RuleInfo], Found]:
    """Return a function that runs a script as the page of a rule says."""

    def run(script: str, rule: RuleInfo) -> Found:
        path, report = tmp_path / f"{rule.code}.py", tmp_path / f"{rule.code}.json"
        path.write_text(script, encoding="utf-8")
        options = ["--races"] if rule.source == "races" else OPTIONS.get(rule.code, [])
        arguments = ["--json", str(report), *options]
        if "pycuda_guard" in script:
            path.write_text(ENABLING + script.replace("enable()", f"enable(json={str(report)!r})"))
            arguments = ["--bare"]
        done = run_guard("run", "--device", "cpu", *arguments, path, cwd=tmp_path)
        return Found(done.returncode, report, done.stdout + done.stderr)

    return run


class Found:
    """What came of a script: its exit status, the findings, and what it has printed."""

    def __init__(self, status: int, report: Path, output: str) -> None:
        self.status = status
        self.output = output
        assert report.exists(), self.output
        findings = json.loads(report.read_text(encoding="utf-8"))["findings"]
        self.codes = {(one["code"], one["severity"]) for one in findings}

    @property
    def bad(self) -> set[str]:
        """The codes of errors and warnings."""
        return {code for code, severity in self.codes if severity != "note"}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_rule_fires_on_its_example_alone(
    rule: RuleInfo, guarded: Callable[[str, RuleInfo], Found]
) -> None:
    found = guarded(pages.example(rule), rule)
    if rule.code in WITHOUT_EXAMPLE:
        assert found.codes == set()
        return
    assert (rule.code, rule.severity.value) in found.codes, found.output
    assert found.bad <= {rule.code} and ("PG903", "note") not in found.codes, found.output
    assert f"{rule.severity.value}[{rule.code}] {rule.name}: " in found.output


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_to_use_instead_is_right(rule: RuleInfo, guarded: Callable[[str, RuleInfo], Found]) -> None:
    found = guarded(pages.use_instead(rule), rule)
    assert found.status == 0, found.output
    assert not found.bad and rule.code not in {code for code, _ in found.codes}, found.output
