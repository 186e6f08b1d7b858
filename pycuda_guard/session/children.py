"""The findings of child processes: each child writes its own file, and the parent merges them.

The files are in a private folder that the first process of the family makes before it has children.
A forked child inherits its path; one that ``multiprocessing`` starts afresh gets it with what it
unpickles first. Nobody waits for anybody: the parent takes what is there at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycuda_guard.checks.collector import Entry
from pycuda_guard.findings import merged
from pycuda_guard.reports.json_report import replace_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pycuda_guard.checks.collector import Part
    from pycuda_guard.findings import Finding

#: a failed call of some process: its number, and that of the CallFailed event there
Failure = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Report:
    """What one child has found. One that has not ``ended`` may still be running."""

    process: int
    has_ended: bool
    escaped: frozenset[int]
    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, path: Path) -> _Report | None:
        """Return the report in a file; None where it is damaged or gone."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                process=int(data["process"]),
                has_ended=bool(data["ended"]),
                escaped=frozenset(int(number) for number in data["escaped"]),
                entries=tuple(Entry.from_json(entry) for entry in data["entries"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def findings(self, escaped: Collection[Failure], expected: Collection[Failure]) -> list[Finding]:
        """Return the findings, graded by what became of their failures here and in other processes."""
        out = self.escaped | {number for process, number in escaped if process == self.process}
        wanted = {number for process, number in expected if process == self.process}
        return [entry.final(out, wanted) for entry in self.entries]

    @property
    def is_running(self) -> bool:
        """Whether the child still ran when it was asked."""
        if self.has_ended:
            return False
        try:
            os.kill(self.process, 0)
        except OSError:
            return False
        return not _is_zombie(self.process)


def _is_zombie(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]


class Children:
    """The reports of the processes that come from this one, and the way to the parent's folder."""

    def __init__(self, folder: str = "") -> None:
        self.folder = folder
        self._is_owner = False
        self._last: list[_Report] = []
        self._told: dict[Part, list[Finding]] = {}

    def prepare(self) -> None:
        """Make the folder before there is a child. Raises OSError where that can't be done."""
        if not self.folder:
            self.folder = tempfile.mkdtemp(prefix="pycuda_guard-")
            self._is_owner = True

    def enter(self) -> None:
        """Be a child from now on: the folder is the parent's."""
        self._is_owner = False
        self._last = []
        self._told.clear()

    def write(self, entries: Iterable[Entry], escaped: Iterable[int], *, ended: bool) -> None:
        """Write the report of this process, a child. Does nothing where the parent is gone."""
        document: dict[str, Any] = {
            "process": os.getpid(),
            "ended": ended,
            "escaped": sorted(escaped),
            "entries": [entry.to_json() for entry in entries],
        }
        if self.folder:
            try:
                replace_file(Path(self.folder, f"{os.getpid()}.json"), document)
            except OSError:
                return

    def findings(self, escaped: Collection[Failure], expected: Collection[Failure]) -> list[Finding]:
        """Return what the children have found so far, those of one cause as one."""
        found: list[Finding] = []
        for report in self._reports():
            found = merged(found, report.findings(escaped, expected))
        return found

    def open_part(self, part: Part, escaped: Collection[Failure], expected: Collection[Failure]) -> None:
        """Count what was found so far as told to ``part``, which begins."""
        self._told[part] = self.findings(escaped, expected)

    def take(self, part: Part, escaped: Collection[Failure], expected: Collection[Failure]) -> list[Finding]:
        """Return what the children have found since ``part`` was opened or last took."""
        now = self.findings(escaped, expected)
        before = {finding.key: finding.count for finding in self._told.get(part, ())}
        self._told[part] = now
        new = [(finding, finding.count - before.get(finding.key, 0)) for finding in now]
        return [replace(finding, count=count) for finding, count in new if count > 0]

    def close_part(self, part: Part) -> None:
        """Forget a part that takes nothing any more."""
        self._told.pop(part, None)

    @property
    def are_running(self) -> bool:
        """Whether a child that used CUDA has not ended."""
        return any(report.is_running for report in self._reports())

    def close(self) -> None:
        """Read the reports for the last time and remove them."""
        if self._is_owner:
            self._last = self._reports()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder, self._is_owner = "", False

    def _reports(self) -> list[_Report]:
        if not self._is_owner:
            return self._last
        reports = [_Report.read(path) for path in sorted(Path(self.folder).glob("*.json"))]
        return [report for report in reports if report is not None]
