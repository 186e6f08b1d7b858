"""Findings of many tests and processes as one list, and how they travel between processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pycuda_guard.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

#: the attribute of a report that carries a test's findings, and under xdist brings them home
ATTRIBUTE = "pycuda_guard"


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding, counted over all that reported it. ``is_shown``: a failed test shows it."""

    finding: Finding
    is_shown: bool = False


class Tally:
    """Findings with equal keys that are equally severe are one."""

    def __init__(self) -> None:
        self._entries: dict[tuple[object, ...], Entry] = {}

    def add(self, findings: Iterable[Finding], *, is_shown: bool = False) -> None:
        """Count ``findings`` in; they are shown already if ``is_shown``."""
        for finding in findings:
            entry, known = Entry(finding, is_shown), self._entries.get(_key(finding))
            if known is not None:
                counted = replace(known.finding, count=known.finding.count + finding.count)
                entry = Entry(counted, is_shown or known.is_shown)
            self._entries[_key(finding)] = entry

    def add_unknown(self, findings: Iterable[Finding]) -> None:
        """Count in those of ``findings`` that nobody has reported yet."""
        self.add([finding for finding in findings if _key(finding) not in self._entries])

    @property
    def entries(self) -> list[Entry]:
        """The entries in the order in which they came; may be asked for on any thread."""
        return list(self._entries.values())

    @property
    def findings(self) -> list[Finding]:
        """The findings in the order in which they came."""
        return [entry.finding for entry in self.entries]


def _key(finding: Finding) -> tuple[object, ...]:
    return (finding.severity, *finding.key)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a test, or a worker at its end, sends home.

    ``is_cause``: the test fails for these findings alone. ``blind`` is what the process did not look
    at, ``failures`` are sentences that make the run fail, ``remarks`` what there is to say of ignores;
    ``recording`` is the file that a worker was recorded to.
    """

    findings: tuple[Finding, ...]
    is_cause: bool = False
    blind: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    suppressed: tuple[tuple[Finding, str], ...] = ()
    remarks: dict[str, bool] = field(default_factory=dict)
    recording: str = ""

    def pack(self) -> str:
        """Return it as JSON."""
        return json.dumps(
            {
                "findings": [finding.to_json() for finding in self.findings],
                "is_cause": self.is_cause,
                "blind": self.blind,
                "failures": self.failures,
                "suppressed": [[finding.to_json(), reason] for finding, reason in self.suppressed],
                "remarks": self.remarks,
                "recording": self.recording,
            }
        )

    @classmethod
    def unpack(cls, text: str) -> Parcel:
        """Return what :meth:`pack` made JSON of."""
        data = json.loads(text)
        return cls(
            tuple(Finding.from_json(finding) for finding in data["findings"]),
            data["is_cause"],
            tuple(data["blind"]),
            tuple(data["failures"]),
            tuple((Finding.from_json(finding), reason) for finding, reason in data["suppressed"]),
            data["remarks"],
            data["recording"],
        )


def parcel_of(report: object) -> Parcel | None:
    """Return what a report carries."""
    packed = getattr(report, ATTRIBUTE, None)
    return Parcel.unpack(packed) if isinstance(packed, str) else None
