"""Findings as workflow commands of GitHub Actions, which mark the lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.findings import Severity
from pycuda_guard.reports import places, scope, terminal
from pycuda_guard.reports.text import visible

if TYPE_CHECKING:
    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.run import Run

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def report(run: Run) -> str:
    """Return one command a line: the findings, the worst first, and what was not checked.

    GitHub shows ten annotations of each kind for a step.
    """
    root = places.root(run)
    findings = sorted(run.findings, key=lambda finding: -finding.severity.rank)
    lines = [annotation(finding, root) for finding in findings]
    text = terminal.count_words(run.findings)
    unchecked = scope.not_checked(run.live, run.blind, run.findings, run.left_out)
    if unchecked:
        text += f"; not checked: {', '.join(unchecked)}"
    lines.append(_command("notice", {"title": "pycuda-guard"}, text))
    return "".join(f"{line}\n" for line in lines)


def annotation(finding: Finding, root: str) -> str:
    """Return the command for one finding; files in the folder ``root`` are named relative to it."""
    properties = {}
    lines = [finding.message]
    at = places.place(finding)
    if at is not None:
        if places.is_file(at.file):
            properties = {"file": places.inside(at.file, root) or at.file, "line": str(at.line)}
        else:
            lines.append(f"at {at.file}:{at.line}")
    properties["title"] = f"{finding.code} {finding.rule}"
    for other in finding.related:
        lines.append(f"{other.message}: {places.inside(other.file, root) or other.file}:{other.line}")
    if finding.count > 1:
        lines.append(f"{finding.count} times")
    if finding.help:
        lines.append(f"help: {finding.help}")
    return _command(_COMMANDS[finding.severity], properties, "\n".join(lines))


def _command(name: str, properties: dict[str, str], text: str) -> str:
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {written}::{_data(text)}"


def _data(text: str) -> str:
    """Return ``text`` as the runner reads it after the second ``::``."""
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
