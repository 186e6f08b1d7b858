"""Findings of a run: equal ones counted, handled failures graded down at the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pycuda_guard.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import Event


_MAX_EXPLAINED = 10_000


@dataclass(slots=True)
class _Entry:
    finding: Finding
    count: int = 1
    failures: set[int] = field(default_factory=set)
    always: bool = False  # one of the occurrences depends on no failure


class Collector:
    """Collects the findings of the rules, one for each cause.

    ``on_finding`` is called once for each new finding, as it is first reported; :attr:`findings`
    has their final count and severity. ``explained`` holds the sequence numbers of the events that an
    error was reported for: what follows from them is no second finding.
    """

    def __init__(self, on_finding: Callable[[Finding], None] | None = None) -> None:
        self.explained: set[int] = set()
        self._on_finding = on_finding
        self._entries: dict[tuple[object, ...], _Entry] = {}
        self._places: dict[tuple[str, Site | None, str], _Entry] = {}
        self._escaped: frozenset[int] | None = None

    def add(self, finding: Finding, event: Event, site: Site | None) -> None:
        """Take in a finding that ``event`` gave away, at ``site``."""
        self._explain(finding, event)
        entry = self._entries.get(finding.key)
        if entry is None:
            entry = _Entry(finding)
            self._entries[finding.key] = entry
            kernel = finding.kernel.name if finding.kernel is not None else ""
            self._places[finding.code, site, kernel] = entry
            self._note_failure(entry, finding.failure)
            if self._on_finding is not None:
                self._on_finding(finding)
            return
        entry.count += 1
        self._note_failure(entry, finding.failure)

    def count(self, code: str, event: Event, site: Site | None, kernel: str, failure: int | None) -> bool:
        """Count one more occurrence of a known finding; False where there is none at this place."""
        entry = self._places.get((code, site, kernel))
        if entry is None:
            return False
        self._explain(entry.finding, event)
        entry.count += 1
        self._note_failure(entry, failure)
        return True

    def grade(self, escaped: Collection[int]) -> None:
        """Turn the errors that the program caught itself into notes; ``escaped`` are the others."""
        self._escaped = frozenset(escaped)

    @property
    def findings(self) -> list[Finding]:
        """The findings so far, in the order in which they were first reported."""
        return [self._final(entry) for entry in self._entries.values()]

    def _final(self, entry: _Entry) -> Finding:
        finding = replace(entry.finding, count=entry.count)
        if self._escaped is None or entry.always or entry.failures & self._escaped:
            return finding
        return finding.handled()

    def _explain(self, finding: Finding, event: Event) -> None:
        if finding.severity is not Severity.ERROR:
            return
        self.explained.add(event.sequence)
        if len(self.explained) > _MAX_EXPLAINED:
            self.explained -= {n for n in self.explained if n < event.sequence - _MAX_EXPLAINED // 2}

    @staticmethod
    def _note_failure(entry: _Entry, failure: int | None) -> None:
        if failure is None:
            entry.always = True
        else:
            entry.failures.add(failure)
