"""Baselines: the findings of old code, by what their lines say rather than where they are.

An entry holds the rule, the file, the function and the text of the statement, so that it survives
what is written above it. Of statements that read alike in a file, ``number`` counts the ones before it;
where there is no text (generated code) it is the line.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pycuda_guard import statements
from pycuda_guard.callsite import Site
from pycuda_guard.errors import GuardError, StartError
from pycuda_guard.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")


class Known(msgspec.Struct, frozen=True, order=True):
    """What a finding is known by. ``file`` is relative to the baseline's folder where it is under it."""

    code: str
    file: str
    function: str
    statement: str
    number: int
    kernel: str
    kernel_line: str


class _Entry(msgspec.Struct):
    known: Known
    severity: Severity


class _Document(msgspec.Struct):
    version: int
    findings: list[_Entry]


class Baseline:
    """The findings that a file lists; raises :class:`StartError` where it can't be read."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        try:
            held = msgspec.json.decode(Path(path).read_bytes(), type=_Document)
        except OSError as error:
            hint = f"--write-baseline {path} makes it"
            raise StartError(f"the baseline {path} can't be read: {error.strerror}", hint) from error
        except msgspec.MsgspecError as error:
            raise StartError(f"{path} is not a baseline: {error}") from error
        if held.version != VERSION:
            raise StartError(f"{path} is a baseline of version {held.version}, not {VERSION}")
        self.entries = {entry.known: entry.severity for entry in held.findings}

    def name_of(self, file: str) -> str:
        """Return what a file is called in it."""
        return _relative(file, os.path.dirname(self.path))

    def holds(self, finding: Finding) -> Known | None:
        """Return the entry that stands for ``finding``; one that was less severe does not."""
        known = describe(finding, os.path.dirname(self.path))
        severity = self.entries.get(known)
        return known if severity is not None and finding.severity.rank <= severity.rank else None


def write(path: str, findings: Iterable[Finding]) -> None:
    """Write a baseline of ``findings``, sorted. Raises :class:`GuardError` where that can't be done."""
    entries: dict[Known, Severity] = {}
    for finding in findings:
        known = describe(finding, os.path.dirname(os.path.abspath(path)))
        severities = (finding.severity, entries.get(known, finding.severity))
        entries[known] = max(severities, key=lambda severity: severity.rank)
    document = _Document(VERSION, [_Entry(known, entries[known]) for known in sorted(entries)])
    text = msgspec.json.format(msgspec.json.encode(document), indent=1)
    beside = Path(f"{path}.{os.getpid()}")
    try:
        beside.write_bytes(text + b"\n")
        beside.replace(path)
    except OSError as error:
        raise GuardError(f"the baseline can't be written to {path}: {error.strerror}") from error


def describe(finding: Finding, folder: str) -> Known:
    """Return what ``finding`` is known by in a baseline that is in ``folder``."""
    file = function = kernel = kernel_line = ""
    number = 0
    # without a place, the message tells findings apart, but for the numbers in it
    statement = _NUMBER.sub("#", finding.message)
    if finding.location is not None:
        site = Site(finding.location.file, finding.location.line, finding.location.function)
        file, function = _relative(site.file, folder), site.function
        statement = statements.call_text(site)
        number = (
            statements.twins_before(site) if statement else site.line
        )  # code without a text has its lines alone
    if finding.kernel is not None:
        kernel = finding.kernel.name
        if finding.kernel.file and finding.kernel.line:
            kernel_line = statements.line_text(Site(finding.kernel.file, finding.kernel.line, ""))
    return Known(finding.code, file, function, statement, number, kernel, kernel_line)


def _relative(file: str, folder: str) -> str:
    if not os.path.isabs(file):
        return file
    try:
        name = os.path.relpath(file, folder)
    except ValueError:  # on another drive
        return file
    return file if name.startswith(os.pardir) else Path(name).as_posix()
