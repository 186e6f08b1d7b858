"""Whatever is in the texts of a program, each format stays one, and holds them all."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings, strategies as st

from pycuda_guard.checks.registry import RULES
from pycuda_guard.findings import Finding, KernelLocation, Location, Related, Severity
from pycuda_guard.reports.formats import FORMATS
from pycuda_guard.reports.run import Run
from pycuda_guard.reports.text import visible

NASTY = (
    "\x1b[31mred\x1b[0m\x07",
    "a\r\nb\n::error file=x::y",
    "]]><script>&amp;</script>",
    "%0A%25::,:",
    "\ud800 and \udcff",
    "\x00\x85\u202e\u2028\ufffe",
    '\'"\\" {0} [x](1)',
    "##[error]no",
    "🐍" * 3,
    "",
)
TEXTS = st.text(st.characters(), max_size=30) | st.sampled_from(NASTY)
FILES = TEXTS | st.sampled_from(("a.py", "/b/c d.py", "<stdin>", "In[3]", "../x.py"))
LINES = st.integers(1, 10**6)
FINDINGS = st.builds(
    Finding,
    code=st.sampled_from(sorted(RULES)),
    rule=st.just("some-rule"),
    severity=st.sampled_from(Severity),
    message=TEXTS,
    help=TEXTS,
    location=st.none() | st.builds(Location, FILES, LINES, TEXTS),
    kernel=st.none() | st.builds(KernelLocation, TEXTS, st.none() | FILES, st.none() | LINES),
    related=st.lists(st.builds(Related, TEXTS, FILES, LINES), max_size=2).map(tuple),
    count=st.integers(1, 9),
)
RUNS = st.builds(
    Run,
    findings=st.lists(FINDINGS, max_size=4).map(tuple),
    device=TEXTS,
    live=st.sets(st.sampled_from(sorted(RULES))).map(frozenset),
    blind=st.lists(TEXTS, max_size=2).map(tuple),
    has_ended=st.booleans(),
    suppressed=st.lists(st.tuples(FINDINGS, TEXTS), max_size=2).map(tuple),
)
each_run = given(run=RUNS)
few = settings(max_examples=30, deadline=None)

#: what may be in a text that goes to a terminal or a file of text
PRINTABLE = re.compile("[^\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]*")


@pytest.mark.parametrize("name", FORMATS)
@few
@each_run
def test_every_format_is_text_that_can_be_written(name: str, run: Run) -> None:
    text = FORMATS[name].write(run)
    text.encode("utf-8")
    assert PRINTABLE.fullmatch(text)
    assert text.endswith("\n")


@few
@each_run
def test_json_gives_the_findings_back(run: Run) -> None:
    found = json.loads(FORMATS["json"].write(run))["findings"]
    assert [Finding.from_json(finding) for finding in found] == list(run.findings)


def strings(value: Any) -> list[str]:
    """Return every string in a JSON document."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in strings(part)]


@few
@each_run
def test_sarif_holds_every_text(run: Run) -> None:
    (made,) = json.loads(FORMATS["sarif"].write(run))["runs"]
    held = strings([made["results"], made["invocations"]])
    for finding in [*run.findings, *(finding for finding, _ in run.suppressed)]:
        assert any(text.startswith(finding.message) and text.endswith(finding.help) for text in held)
        is_result = not finding.code.startswith("PG9")
        for other in finding.related if is_result else ():
            assert other.message in held or not other.message
    for _, reason in run.suppressed:
        assert reason in held
    for uri in re.findall(r'"uri": "(.*)"', json.dumps(made, indent=0)):
        assert re.fullmatch(r"[A-Za-z0-9_.~/%:-]+", uri)


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Read workflow commands as the runner of GitHub does."""

    def decode(text: str, *, is_property: bool = False) -> str:
        pairs = [("%0D", "\r"), ("%0A", "\n")] + [("%3A", ":"), ("%2C", ",")] * is_property
        for code, character in [*pairs, ("%25", "%")]:
            text = text.replace(code, character)
        return text

    found = []
    for line in text.split("\n")[:-1]:
        head, separator, data = line.removeprefix("::").partition("::")
        assert line.startswith("::") and separator
        name, _, given = head.partition(" ")
        pairs = dict(pair.split("=", 1) for pair in given.split(","))
        found.append(
            (name, {key: decode(value, is_property=True) for key, value in pairs.items()}, decode(data))
        )
    return found


def seen(text: str) -> str:
    """Return a text as annotations show it: line ends are kept."""
    return "\r".join(visible(part) for part in text.split("\r"))


@few
@each_run
def test_annotations_hold_every_text(run: Run) -> None:
    *found, last = commands(FORMATS["github"].write(run))
    findings = sorted(run.findings, key=lambda finding: -finding.severity.rank)
    assert len(found) == len(findings)
    for (name, properties, text), finding in zip(found, findings, strict=True):
        assert name == {"note": "notice"}.get(finding.severity.value, finding.severity.value)
        assert properties["title"] == f"{finding.code} some-rule"
        assert text.startswith(seen(finding.message))
        assert text.endswith(seen(finding.help))
    assert last[0] == "notice"
    assert all(seen(spot) in last[2] for spot in run.blind)


@few
@each_run
def test_junit_holds_every_text(run: Run) -> None:
    suites = ElementTree.fromstring(FORMATS["junit"].write(run))
    (suite,) = suites
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases)
    failures = [failure for case in cases for failure in case.findall("failure")]
    errors = [finding for finding in run.findings if finding.severity is Severity.ERROR]
    assert int(suite.attrib["failures"]) == len(errors)
    assert [failure.attrib["message"] for failure in failures] == [visible(e.message) for e in errors]
    for failure, error in zip(failures, errors, strict=True):
        assert visible(error.help).replace("\n", "\n    ") in (failure.text or "")
    skipped = [case for case in cases if case.find("skipped") is not None]
    assert int(suite.attrib["skipped"]) == len(skipped)
    reasons = [element.attrib["message"] for case in skipped for element in case]
    assert reasons[: len(run.suppressed)] == [visible(reason) for _, reason in run.suppressed]


@few
@given(finding=FINDINGS, text=TEXTS)
def test_the_terminal_shows_every_text(finding: Finding, text: str) -> None:
    run = Run((finding,), "the CPU device", frozenset(RULES), (text,), True)
    printed = FORMATS["terminal"].write(run)
    assert visible(finding.message).replace("\n", "\n    ") in printed
    assert visible(finding.help).replace("\n", "\n    ") in printed


#: the elements of a JUnit file and their attributes, as Jenkins' schema for its xUnit plugin has them
JUNIT = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
}


@few
@each_run
def test_junit_has_the_elements_that_jenkins_knows(run: Run) -> None:
    for element in ElementTree.fromstring(FORMATS["junit"].write(run)).iter():
        assert set(element.attrib) <= JUNIT[element.tag]
        if element.tag == "testsuite":
            assert {"name", "tests", "failures", "errors"} <= set(element.attrib)
        if element.tag == "testcase":
            assert len(element) <= 1
