"""What is written about a run of pytest: sections of failed tests and the terminal's summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.findings import Finding, Severity
from pycuda_guard.reports.terminal import brief, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pycuda_guard.pytest_plugin.tally import Tally

TITLE = "pycuda-guard"

#: notes that are listed in the terminal; the JSON file has them all
MAX_NOTES = 20


def headline(findings: Sequence[Finding]) -> str:
    """Return why a test fails: one line for each finding."""
    return "\n".join(brief(finding) for finding in findings)


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
    reporter: pytest.TerminalReporter,
    tests: Tally,
    outside: Tally,
    failures: Sequence[str],
    last_line: str,
    *,
    quiet: bool,
) -> None:
    """Write the summary: what no failed test shows in full, notes in short, why the run fails.

    ``quiet`` leaves out the notes and the last line.
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
    if not quiet:
        notes = [one for one in (*tests.findings, *outside.findings) if not _is_bad(one)]
        lines += [brief(finding) for finding in notes[:MAX_NOTES]]
        if len(notes) > MAX_NOTES:
            lines.append(f"… and {len(notes) - MAX_NOTES} more notes (--pycuda-guard-json writes them all)")
    if lines or failures or not quiet:
        reporter.write_sep("=", TITLE)
    for line in lines:
        reporter.write_line(line)
    for failure in failures:
        reporter.write_line(f"{TITLE}: the run fails: {failure}", red=True)
    if not quiet:
        reporter.write_line(last_line)


def _is_bad(finding: Finding) -> bool:
    return finding.severity is not Severity.NOTE
