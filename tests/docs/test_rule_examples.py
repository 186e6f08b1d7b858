"""The examples of every rule's page: the rule fires on the first, and the second is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycuda_guard.checks import pages
from pycuda_guard.checks.registry import RULES, RuleInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("pycuda")
pytest.importorskip("llvmlite")

ROOT = Path(__file__).resolve().parents[2]
SERVER = Path(__file__).with_name("script_server.py")

#: what a rule's page says its example needs
OPTIONS = {"PG405": ["--no-kernels"]}

#: a script that starts the guard itself, on a machine that may have no GPU
ENABLING = "from pycuda_guard import cpu\ncpu.load()\n"

#: there is no program on which the guard itself fails
WITHOUT_EXAMPLE = {"PG903"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, RuleInfo], Found]]:
    """Return a function that runs a script as the page of a rule says."""
    folder = tmp_path_factory.mktemp("examples")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    with subprocess.Popen(
        [sys.executable, SERVER],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None and server.stdout is not None

        def run(script: str, rule: RuleInfo) -> Found:
            path, report = folder / f"{rule.code}.py", folder / f"{rule.code}.json"
            path.write_text(script, encoding="utf-8")
            options = ["--races"] if rule.source == "races" else OPTIONS.get(rule.code, [])
            arguments = ["run", "--device", "cpu", "--json", str(report), *options, str(path)]
            if "pycuda_guard" in script:
                path.write_text(ENABLING + script.replace("enable()", f"enable(json={str(report)!r})"))
                arguments = ["run", "--device", "cpu", "--bare", str(path)]
            output = folder / f"{rule.code}.txt"
            print(json.dumps({"arguments": arguments, "output": str(output)}), file=server.stdin, flush=True)
            return Found(int(server.stdout.readline()), report, output)

        yield run
        server.stdin.close()


class Found:
    """What came of a script: its exit status, the findings, and what it has printed."""

    def __init__(self, status: int, report: Path, output: Path) -> None:
        self.status = status
        self.output = output.read_text(encoding="utf-8", errors="replace")
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
