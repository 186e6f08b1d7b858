"""The run as JUnit XML: what was checked as tests that pass, errors as tests that fail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from pycuda_guard.checks.registry import RULES
from pycuda_guard.findings import Severity
from pycuda_guard.reports import places, scope, terminal
from pycuda_guard.reports.text import visible

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.run import Run

NAME = "pycuda-guard"


def report(run: Run) -> str:
    """Return the run as one test suite.

    A finding is a test, named after its rule and place: an error fails, a warning or a note passes
    and is told in the test's output, what the user silenced is skipped. A rule that looked and found
    nothing is a test that passes; one that did not look is skipped.
    """
    suite = ElementTree.Element("testsuite")
    _add_properties(suite, run)
    root = places.root(run)
    for finding in run.findings:
        _add_finding(suite, finding, root)
    for finding, reason in run.suppressed:
        case = _add_case(suite, _place(finding, root), _title(finding))
        ElementTree.SubElement(case, "skipped", message=visible(reason))
    found = {finding.code for finding in run.findings}
    for code, rule in RULES.items() if run.live else ():
        if code in found:
            continue
        case = _add_case(suite, NAME, f"{code} {rule.name}")
        if code not in run.live - run.left_out:
            ElementTree.SubElement(case, "skipped", message="not checked in this run")
    _count(suite, run)
    suites = ElementTree.Element("testsuites", {"name": NAME})
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, "unicode") + "\n"


def _add_finding(suite: Element, finding: Finding, root: str) -> None:
    case = _add_case(suite, _place(finding, root), _title(finding))
    text = terminal.render(finding, name=lambda file: places.inside(file, root) or file)
    if finding.severity is Severity.ERROR:
        failure = ElementTree.SubElement(case, "failure", type=finding.rule, message=visible(finding.message))
        failure.text = text
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _add_case(suite: Element, group: str, name: str) -> Element:
    return ElementTree.SubElement(suite, "testcase", classname=visible(group), name=visible(name), time="0")


def _title(finding: Finding) -> str:
    """Return the name of a finding's test: the same in the next run, as long as its line is."""
    at = places.place(finding)
    where = f" at line {at.line}" if at is not None else ""
    kernel = f" in kernel {finding.kernel.name}" if finding.kernel is not None else ""
    return f"{finding.code} {finding.rule}{where}{kernel}"


def _place(finding: Finding, root: str) -> str:
    at = places.place(finding)
    return NAME if at is None else places.inside(at.file, root) or at.file


def _add_properties(suite: Element, run: Run) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    values = [("device", run.device)]
    values += [
        ("not checked", text) for text in scope.not_checked(run.live, run.blind, run.findings, run.left_out)
    ]
    for name, value in values:
        ElementTree.SubElement(properties, "property", name=name, value=visible(value))


def _count(suite: Element, run: Run) -> None:
    cases = suite.findall("testcase")
    suite.attrib.update(
        name=NAME,
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors="0",
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time="0",
    )
    for recording in run.recordings[:1]:
        started = datetime.fromtimestamp(recording.start.started, UTC)
        suite.set("timestamp", started.strftime("%Y-%m-%dT%H:%M:%S"))
