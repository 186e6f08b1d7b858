"""What is written about a run of pytest: sections of failed tests and the terminal's summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.findings import Finding, Severity
from pycuda_guard.reports.terminal import brief, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pycuda_guard.config import Config
    from pycuda_guard.pytest_plugin.tally import Tally
    from pycuda_guard.suppressions import Suppressed

TITLE = "pycuda-guard"

#: notes that are listed in the terminal; the JSON file has them all
MAX_NOTES = 20


#: names of the properties of a test in JUnit XML
PROPERTY, SUPPRESSED_PROPERTY = "pycuda_guard", "pycuda_guard_suppressed"


@dataclass(frozen=True, slots=True)
class Rest:
    """What the summary ends with, behind the findings."""

    suppressed: Sequence[Suppressed]
    remarks: Sequence[str]
    failures: Sequence[str]
    last_line: str


def header(options: Config, device: str) -> str:
    """Return on which device tests are guarded, what is on, and what fails a test."""
    level = options.fail_on
    parts = [
        f"on {device}",
        "kernels as they are" if options.no_kernels else "kernels instrumented",
        f"races {'on' if options.races else 'off'}",
        *([f"select {','.join(options.select)}"] if options.select else []),
        *([f"ignore {','.join(options.ignore)}"] if options.ignore else []),
        "no finding fails a test" if level == "never" else f"a test fails on: {level}",
    ]
    return f"{TITLE}: {', '.join(parts)}"


def headline(findings: Sequence[Finding], missing: Sequence[str] = ()) -> str:
    """Return why a test fails: one line for each finding, and for each code that it should have had."""
    return "\n".join([*map(brief, findings), *(f"{code} was expected and not found" for code in missing)])


def properties(
    found: Sequence[tuple[str, Finding]], suppressed: Sequence[Suppressed]
) -> list[tuple[str, object]]:
    """Return the findings of a test as properties, for JUnit XML and the like."""
    return [
        *((PROPERTY, brief(finding)) for _, finding in found),
        *((SUPPRESSED_PROPERTY, f"{brief(finding)} ({reason})") for finding, reason in suppressed),
    ]


def section(found: Sequence[tuple[str, Finding]]) -> str:
    """Return the findings of a test, each with the phase it was found in, as its report shows them."""
    lines: list[str] = []
    last = "call"
    for when, finding in found:
        if when != last:
            lines.append(f"in {'the test' if when == 'call' else when}:")
            last = when
        lines.append(render(finding))
    return "\n".join(lines)


def write(
    reporter: pytest.TerminalReporter, tests: Tally, outside: Tally, rest: Rest, *, verbosity: int
) -> None:
    """Write the summary: what no failed test shows in full, notes in short, why the run fails.

    ``verbosity`` is pytest's: 1 shows notes in full, and what was suppressed; -1 leaves out notes, -2 the
    last line, too.
    """
    colour = bool(getattr(reporter, "hasmarkup", False))
    unshown = [entry.finding for entry in tests.entries if not entry.is_shown]
    blocks = [
        ("found in tests:", [finding for finding in unshown if _is_bad(finding)]),
        ("found outside of tests:", [finding for finding in outside.findings if _is_bad(finding)]),
    ]
    lines: list[str] = []
    for title, findings in blocks:
        if findings:
            lines += [title, *(render(finding, colour=colour) for finding in findings)]
    if verbosity >= 0:
        notes = [one for one in (*tests.findings, *outside.findings) if not _is_bad(one)]
        lines += _notes(notes, is_verbose=verbosity > 0)
        if verbosity > 0:
            lines += [f"suppressed ({reason}): {brief(finding)}" for finding, reason in rest.suppressed]
        lines += [f"{TITLE}: {text}" for text in rest.remarks]
    if lines or rest.failures or verbosity >= 0:
        reporter.write_sep("=", TITLE)
    for line in lines:
        reporter.write_line(line)
    for failure in rest.failures:
        reporter.write_line(f"{TITLE}: the run fails: {failure}", red=True)
    if verbosity > -2:
        reporter.write_line(rest.last_line)


def _notes(notes: Sequence[Finding], *, is_verbose: bool) -> list[str]:
    if is_verbose:
        return [render(finding) for finding in notes]
    lines = [brief(finding) for finding in notes[:MAX_NOTES]]
    if len(notes) > MAX_NOTES:
        lines.append(f"… and {len(notes) - MAX_NOTES} more notes (-v shows them all)")
    return lines


def _is_bad(finding: Finding) -> bool:
    return finding.severity is not Severity.NOTE
