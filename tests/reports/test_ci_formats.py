"""Annotations and JUnit XML of small runs, as CI systems read them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from pycuda_guard.checks.registry import RULES
from pycuda_guard.findings import Finding, KernelLocation, Location, Related, Severity
from pycuda_guard.reports.formats import FORMATS
from pycuda_guard.reports.run import Run


def finding(**changes: object) -> Finding:
    fields: dict[str, object] = {
        "code": "PG301",
        "rule": "uncovered-output",
        "severity": Severity.ERROR,
        "message": "100% wrong: a,b\nsecond line",
        "help": "n = 1024",
        "location": Location("a,b:c.py", 3, "main"),
        "related": (Related("read here", "d.py", 4),),
        "count": 2,
    }
    return Finding(**(fields | changes))  # type: ignore[arg-type]


def run(*findings: Finding, **changes: object) -> Run:
    fields: dict[str, object] = {
        "device": "the CPU device",
        "live": frozenset(RULES) - {"PG501"},
        "blind": (),
        "has_ended": True,
    }
    return Run(findings, **(fields | changes))  # type: ignore[arg-type]


def test_an_annotation_is_one_escaped_line() -> None:
    first, last = FORMATS["github"].write(run(finding())).splitlines()
    assert first == (
        "::error file=a%2Cb%3Ac.py,line=3,title=PG301 uncovered-output::100%25 wrong: a,b%0Asecond line"
        "%0Aread here: d.py:4%0A2 times%0Ahelp: n = 1024"
    )
    assert last == ("::notice title=pycuda-guard::1 error; not checked: races inside kernels (--races)")


@pytest.mark.parametrize(
    ("location", "kernel", "related", "words"),
    [
        (Location("<stdin>", 3), None, (), "::error title=PG301 uncovered-output::m%0Aat <stdin>:3%0A"),
        (None, None, (), "::error title=PG301 uncovered-output::m%0A"),
        (None, KernelLocation("k", "k.cu", 7), (), "::error file=k.cu,line=7,"),
        (None, KernelLocation("k"), (Related("r", "r.py", 2),), "::error file=r.py,line=2,"),
    ],
)
def test_annotations_have_the_best_place_there_is(
    location: Location | None, kernel: KernelLocation | None, related: tuple[Related, ...], words: str
) -> None:
    made = finding(message="m", location=location, kernel=kernel, related=related)
    assert FORMATS["github"].write(run(made)).startswith(words)


def test_the_worst_annotations_come_first() -> None:
    made = [finding(severity=severity) for severity in (Severity.NOTE, Severity.ERROR, Severity.WARNING)]
    lines = FORMATS["github"].write(run(*made)).splitlines()
    assert [line.split()[0] for line in lines] == ["::error", "::warning", "::notice", "::notice"]


def cases(made: Run) -> dict[str, ElementTree.Element]:
    """Return the tests of the JUnit file by name."""
    return {
        case.attrib["name"]: case
        for case in ElementTree.fromstring(FORMATS["junit"].write(made)).iter("testcase")
    }


def test_junit_shows_what_looked_and_what_did_not() -> None:
    made = cases(run(left_out=frozenset({"PG104"})))
    assert len(made) == len(RULES)
    assert [name for name, case in made.items() if case.find("skipped") is not None] == [
        "PG104 implicit-sync",
        "PG501 global-race",
    ]
    assert all(case.find("failure") is None for case in made.values())


def test_errors_fail_in_junit_and_the_rest_is_told() -> None:
    warning = finding(severity=Severity.WARNING, code="PG302", rule="partial-coverage")
    made = cases(
        run(finding(kernel=KernelLocation("k")), warning, suppressed=((finding(code="PG201"), "known"),))
    )
    failed = made["PG301 uncovered-output at line 3 in kernel k"]
    assert failed.attrib["classname"] == "a,b:c.py"
    (failure,) = failed
    assert failure.attrib["message"] == "100% wrong: a,b\nsecond line"
    assert "--> a,b:c.py:3" in (failure.text or "")
    (told,) = made["PG302 partial-coverage at line 3"]
    assert told.tag == "system-out"
    (skipped,) = made["PG201 uncovered-output at line 3"]
    assert (skipped.tag, skipped.attrib["message"]) == ("skipped", "known")


def test_junit_of_findings_alone_makes_no_claims_about_rules() -> None:
    assert list(cases(run(finding(), live=frozenset()))) == ["PG301 uncovered-output at line 3"]
