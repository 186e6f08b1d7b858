"""The SARIF log: the required parts of the format, and what code scanning relies on."""

from __future__ import annotations

import json
import linecache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sarif_subset import SUBSET

from pycuda_guard.checks.registry import RULES
from pycuda_guard.findings import Finding, KernelLocation, Location, Related, Severity
from pycuda_guard.reports import sarif
from pycuda_guard.reports.run import Run

ROOT = Path(__file__).resolve().parents[2]

SOURCE = """\
x_gpu = cuda.mem_alloc(x.nbytes)
cuda.memcpy_htod(x_gpu, y)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (folder / "größe.py").write_text(SOURCE, encoding="utf-8")
    return folder / "größe.py"


def finding(script: Path | str, **changes: object) -> Finding:
    fields: dict[str, object] = {
        "code": "PG201",
        "rule": "copy-out-of-bounds",
        "severity": Severity.ERROR,
        "message": "copy of 8 bytes",
        "help": "allocate more",
        "location": Location(str(script), 2, "main"),
        "related": (Related("`x_gpu` is allocated here", str(script), 1),),
    }
    return Finding(**(fields | changes))  # type: ignore[arg-type]


def log(
    *findings: Finding,
    suppressed: tuple[tuple[Finding, str], ...] = (),
    live: frozenset[str] = frozenset(RULES),
    blind: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the run in the log of these findings, which fits the format."""
    text = sarif.report(Run(findings, "the CPU device", live, blind, True, suppressed))
    document = json.loads(text)
    jsonschema.validate(document, SUBSET, format_checker=jsonschema.FormatChecker())
    (run,) = document["runs"]
    return run  # type: ignore[no-any-return]


def test_subset_rejects_what_is_wrong() -> None:
    for change in ({"version": "2.0.0"}, {"runs": [{}]}, {"more": 1}):
        document = {"version": "2.1.0", "runs": []} | change
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, SUBSET)


def test_a_result_has_its_rule_level_and_lines(script: Path) -> None:
    run = log(finding(script, count=3))
    (result,) = run["results"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (result["ruleId"], rule["id"], result["level"]) == ("PG201", "PG201", "error")
    assert result["message"]["text"] == "copy of 8 bytes\nhelp: allocate more"
    assert result["occurrenceCount"] == 3
    (place,) = result["locations"]
    assert place["physicalLocation"]["artifactLocation"] == {
        "uri": "a%20folder/gr%C3%B6%C3%9Fe.py",
        "uriBaseId": "%SRCROOT%",
    }
    assert place["physicalLocation"]["region"] == {
        "startLine": 2,
        "snippet": {"text": "cuda.memcpy_htod(x_gpu, y)"},
    }
    assert [other["message"]["text"] for other in result["relatedLocations"]] == ["`x_gpu` is allocated here"]
    assert run["originalUriBaseIds"]["%SRCROOT%"]["uri"] == f"{script.parent.parent.as_uri()}/"


def test_every_rule_has_its_page() -> None:
    driver = log()["tool"]["driver"]
    described = {rule["id"]: rule for rule in [*driver["rules"], *driver["notifications"]]}
    assert set(described) == set(RULES)
    for code, rule in described.items():
        assert rule["helpUri"].endswith(f"/rules/{code}.html")
        assert RULES[code].page.strip() in rule["help"]["markdown"]
        assert rule["defaultConfiguration"]["level"] == RULES[code].severity.value


def test_helpuri_is_in_the_documentation_that_the_package_names() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    driver = log()["tool"]["driver"]
    assert f'Documentation = "{driver["informationUri"]}"' in text
    for rule in driver["rules"]:
        assert rule["helpUri"].startswith(driver["informationUri"])
        assert (ROOT / "docs" / "rules" / f"{rule['id']}.md").is_file()


def prints(*findings: Finding) -> list[str]:
    return [result["partialFingerprints"][sarif.FINGERPRINT] for result in log(*findings)["results"]]


def test_fingerprints_outlive_shifted_lines(script: Path) -> None:
    (before,) = prints(finding(script))
    script.write_text("# a comment\n\n" + SOURCE, encoding="utf-8")
    linecache.clearcache()
    (after,) = prints(finding(script, location=Location(str(script), 4, "main"), message="copy of 16 bytes"))
    assert before == after


@pytest.mark.parametrize(
    "change",
    [
        {"code": "PG203"},
        {"location": Location("other.py", 2, "main")},
        {"kernel": KernelLocation("k")},
        {"location": None, "message": "another"},
    ],
)
def test_fingerprints_tell_findings_apart(script: Path, change: dict[str, object]) -> None:
    both = prints(finding(script), finding(script, **change))
    assert len(set(both)) == 2


def test_fingerprints_of_equal_lines_differ_by_number(script: Path) -> None:
    first, second = prints(finding(script), finding(script, message="again"))
    assert first.rpartition(":")[0] == second.rpartition(":")[0]
    assert first != second


def test_silenced_findings_are_suppressed_results(script: Path) -> None:
    (result,) = log(suppressed=((finding(script), "known, see the notes"),))["results"]
    (suppression,) = result["suppressions"]
    assert suppression["justification"] == "known, see the notes"
    assert "suppressions" not in log(finding(script))["results"][0]


def test_what_was_not_checked_is_a_notification(script: Path) -> None:
    own = finding(script, code="PG903", rule="guard-error", severity=Severity.NOTE, location=None)
    run = log(own, live=frozenset(RULES) - {"PG501"}, blind=("child processes",))
    assert run["results"] == []
    (invocation,) = run["invocations"]
    (first, *others) = invocation["toolExecutionNotifications"]
    driver = run["tool"]["driver"]
    assert driver["notifications"][first["descriptor"]["index"]]["id"] == "PG903"
    texts = [other["message"]["text"] for other in others]
    assert texts == ["not checked: child processes", "not checked: races inside kernels (--races)"]


@pytest.mark.parametrize(("severity", "status"), [("error", 1), ("warning", 0), ("note", 0)])
def test_exit_code_is_that_of_a_guarded_run(script: Path, severity: str, status: int) -> None:
    (invocation,) = log(finding(script, severity=Severity(severity)))["invocations"]
    assert invocation["exitCode"] == status
    assert invocation["executionSuccessful"] is True


def test_a_place_that_is_no_file_is_logical(script: Path) -> None:
    (result,) = log(finding("<stdin>", related=()))["results"]
    assert result["locations"] == [{"logicalLocations": [{"fullyQualifiedName": "<stdin>:2"}]}]


def test_a_finding_without_a_line_is_put_at_the_kernel_or_a_related_line(script: Path) -> None:
    kernel = KernelLocation("k", str(script), 2)
    (at_kernel, at_related) = log(
        finding(script, location=None, kernel=kernel), finding(script, location=None)
    )["results"]
    lines = [
        result["locations"][0]["physicalLocation"]["region"]["startLine"]
        for result in (at_kernel, at_related)
    ]
    assert lines == [2, 1]


def test_files_elsewhere_have_absolute_addresses(script: Path) -> None:
    (result,) = log(finding("/usr/lib/x y.py", related=()))["results"]
    (place,) = result["locations"]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "file:///usr/lib/x%20y.py"}
