"""What a check reports: one :class:`Finding` per cause, and its JSON form (schema version 1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA_VERSION = 1


class Severity(Enum):
    """How sure and how bad: a proven bug, a probable bug, or something fragile or wasteful."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    #: that of the standard library is a function in Python, and findings are looked up by this in loops
    __hash__ = object.__hash__

    @property
    def rank(self) -> int:
        """0 for a note, 1 for a warning, 2 for an error."""
        return _RANKS[self]


_RANKS = {Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's program."""

    file: str
    line: int
    function: str = ""


@dataclass(frozen=True, slots=True)
class KernelLocation:
    """A kernel and, where known, the line of its source that is at fault."""

    name: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Related:
    """Another site of the same story: the launch, the allocation, the other access."""

    message: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, why, and what to write instead.

    ``failure`` is the sequence number of the :class:`~pycuda_guard.events.model.CallFailed`
    event that the finding explains, for the rules whose severity depends on whether the
    program handles that exception; otherwise ``None``. ``event`` is the sequence number of the
    event that first gave the finding away. Neither is part of the JSON form.
    """

    code: str
    rule: str
    severity: Severity
    message: str
    help: str
    location: Location | None
    kernel: KernelLocation | None = None
    related: tuple[Related, ...] = ()
    count: int = 1
    failure: int | None = field(default=None, compare=False)
    event: int | None = field(default=None, compare=False)

    @property
    def key(self) -> tuple[object, ...]:
        """Findings with equal keys are one, counted. Without a place, the message tells them apart."""
        return (self.code, self.location, self.kernel, "" if self.location is not None else self.message)

    def handled(self) -> Finding:
        """Return the note that stands for an error which the program caught itself."""
        return replace(self, severity=Severity.NOTE, message=f"{self.message} (handled by the program)")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Return the finding that :meth:`to_json` gave away; its ``failure`` and ``event`` are gone."""
        return cls(
            code=data["code"],
            rule=data["rule"],
            severity=Severity(data["severity"]),
            message=data["message"],
            help=data["help"],
            location=None if data["location"] is None else Location(**data["location"]),
            kernel=None if data["kernel"] is None else KernelLocation(**data["kernel"]),
            related=tuple(Related(**related) for related in data["related"]),
            count=data["count"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON-ready mapping, schema version 1."""
        return {
            "code": self.code,
            "rule": self.rule,
            "severity": self.severity.value,
            "message": self.message,
            "help": self.help,
            "location": None
            if self.location is None
            else {"file": self.location.file, "line": self.location.line, "function": self.location.function},
            "kernel": None
            if self.kernel is None
            else {"name": self.kernel.name, "file": self.kernel.file, "line": self.kernel.line},
            "related": [{"message": r.message, "file": r.file, "line": r.line} for r in self.related],
            "count": self.count,
        }


def fails(finding: Finding, fail_on: str, *, strict: bool) -> bool:
    """Tell whether ``finding`` is at the level at which a run fails.

    ``fail_on`` is a severity's name or ``never``; ``strict`` counts the guard's own PG9xx in.
    """
    if fail_on == "never":
        return False
    is_severe = finding.severity.rank >= Severity(fail_on).rank
    return is_severe or (strict and finding.code.startswith("PG9"))


def merged(first: Iterable[Finding], second: Iterable[Finding]) -> list[Finding]:
    """Return the findings of two processes or runs; those of one cause become one, the severer, counted."""
    by_key = {finding.key: finding for finding in first}
    for finding in second:
        known = by_key.get(finding.key)
        if known is not None:
            severer = max(known, finding, key=lambda one: one.severity.rank)
            finding = replace(severer, count=known.count + finding.count)
        by_key[finding.key] = finding
    return list(by_key.values())
