"""Findings of a run and of its parts: equal ones counted, handled failures graded down."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pycuda_guard.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import Event
    from pycuda_guard.findings import KernelLocation


_MAX_EXPLAINED = 10_000

#: calls that may be under way at a time, on all threads together, and still be told apart
_MAX_UNDER_WAY = 64

_NONE: frozenset[int] = frozenset()
_ERROR = Severity.ERROR  # reading a member off an Enum class is slow enough to matter here


@dataclass(slots=True, eq=False)
class Entry:
    """How often a finding occurred, in the run or in a part of it.

    ``certain`` occurrences depend on no failure, the others on one of ``failures``; ``rejected`` is how
    many of the certain ones ended in which failure.
    """

    finding: Finding
    count: int = 0
    failures: set[int] = field(default_factory=set)
    certain: int = 0
    rejected: dict[int, int] = field(default_factory=dict)

    def see(self, failure: int | None) -> None:
        """Count an occurrence."""
        self.count += 1
        if failure is None:
            self.certain += 1
        else:
            self.failures.add(failure)

    def reject(self, failure: int) -> None:
        """Note that an occurrence ended in a failure."""
        self.rejected[failure] = self.rejected.get(failure, 0) + 1

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a JSON-ready mapping, for another process."""
        return {
            "finding": self.finding.to_json(),
            "count": self.count,
            "failures": sorted(self.failures),
            "certain": self.certain,
            "rejected": sorted(self.rejected.items()),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Entry:
        """Return the entry that :meth:`to_json` gave away."""
        return cls(
            Finding.from_json(data["finding"]),
            int(data["count"]),
            {int(number) for number in data["failures"]},
            int(data["certain"]),
            {int(failure): int(times) for failure, times in data["rejected"]},
        )

    def final(self, escaped: Collection[int], expected: Collection[int]) -> Finding:
        """Return the finding, counted, and graded by what became of the failures."""
        finding = replace(self.finding, count=self.count)
        unexpected = self.certain - sum(self.rejected.get(failure, 0) for failure in expected)
        if unexpected > 0 or not self.failures.isdisjoint(escaped):
            return finding
        return finding.handled()


class Part:
    """The findings of a stretch of the run: what is new or came again since it was opened or last taken."""

    def __init__(self) -> None:
        self._entries: dict[Entry, Entry] = {}

    def knows(self, whole: Entry) -> bool:
        """Tell whether ``whole``, an entry of the run, has occurred in this part."""
        return whole in self._entries

    def see(self, whole: Entry, finding: Finding, failure: int | None) -> None:
        """Count an occurrence of ``whole``, an entry of the run; ``finding`` is how it is told now."""
        own = self._entries.get(whole)
        if own is None:
            own = self._entries[whole] = Entry(finding)
        own.see(failure)

    def reject(self, whole: Entry, failure: int) -> None:
        """Note that an occurrence of ``whole`` ended in a failure."""
        own = self._entries.get(whole)
        if own is not None:
            own.reject(failure)

    def peek(self, escaped: Collection[int], expected: Collection[int] = _NONE) -> list[Finding]:
        """Return the findings so far, counted and graded within this part.

        ``escaped`` are the failures that nobody handled, ``expected`` those that somebody asked for: a
        call that ends in one of these is no error, whatever was found wrong with it.
        """
        return [entry.final(escaped, expected) for entry in self._entries.values()]

    def take(self, escaped: Collection[int], expected: Collection[int] = _NONE) -> list[Finding]:
        """Return what :meth:`peek` returns, and begin again."""
        found = self.peek(escaped, expected)
        self._entries.clear()
        return found


def kernel_key(kernel: KernelLocation | None) -> str:
    """Return what tells apart the kernels, and lines in them, that findings at one place are about."""
    if kernel is None:
        return ""
    return kernel.name if kernel.line is None else f"{kernel.name}:{kernel.line}"


class Collector:
    """Collects the findings of the rules, one for each cause.

    ``on_finding`` is called once for each new finding, as it is first reported; :attr:`findings`
    has their final count and severity. ``explained`` holds the sequence numbers of the events that an
    error was reported for: what follows from them is no second finding. ``in_kernel`` are the launches
    among them of which only their kernel said that something is wrong. ``last`` is the event that gave
    away a finding last, whether a new one or not.
    """

    def __init__(self, on_finding: Callable[[Finding], None] | None = None) -> None:
        self.explained: set[int] = set()
        self.in_kernel: set[int] = set()
        self.last: Event | None = None
        self._told: set[tuple[object, ...]] = set()
        self._on_finding = on_finding
        self._entries: dict[tuple[object, ...], Entry] = {}
        self._places: dict[tuple[str, Severity, Site | None, str], Entry] = {}
        self._escaped: frozenset[int] | None = None
        self._parts: list[Part] = []
        self._under_way: deque[tuple[int, Entry]] = deque(maxlen=_MAX_UNDER_WAY)

    def open_part(self) -> Part:
        """Begin to collect a part of the run beside the whole."""
        part = Part()
        self._parts.append(part)
        return part

    def close_part(self, part: Part) -> None:
        """Add nothing to ``part`` any more."""
        if part in self._parts:  # one that was opened before a fork is another collector's
            self._parts.remove(part)

    def add(self, finding: Finding, event: Event, site: Site | None) -> None:
        """Take in a finding that ``event`` gave away, at ``site``."""
        self._explain(finding, event)
        key = (finding.severity, *finding.key)
        entry = self._entries.get(key)
        if entry is None:
            entry = Entry(finding)
            self._entries[key] = entry
            self._places[finding.code, finding.severity, site, kernel_key(finding.kernel)] = entry
            self._see(entry, event, finding, finding.failure)
            if self._on_finding is not None:
                self._on_finding(finding)
            return
        self._see(entry, event, finding, finding.failure)

    def count(
        self,
        code: str,
        severity: Severity,
        event: Event,
        site: Site | None,
        kernel: str,
        failure: int | None,
    ) -> bool:
        """Count one more occurrence of a known finding; False where there is none at this place.

        Nor is there one where a part of the run has not seen it: it is to be told anew, because the
        allocation or the launch behind it may be another.
        """
        entry = self._places.get((code, severity, site, kernel))
        if entry is None or (self._parts and not all(part.knows(entry) for part in self._parts)):
            return False
        if severity is _ERROR:
            self._explain(entry.finding, event)
        self._see(entry, event, entry.finding, failure)
        return True

    def reject(self, announced: int, failure: int) -> None:
        """Note that the call announced by event number ``announced`` ended in ``failure``."""
        for number, entry in self._under_way:
            if number == announced:
                entry.reject(failure)
                for part in self._parts:
                    part.reject(entry, failure)

    def tell(self, *thing: object) -> bool:
        """Remember that something was told, whatever it is; False where it was told before."""
        first = thing not in self._told
        self._told.add(thing)
        return first

    def was_told(self, *thing: object) -> bool:
        """Return whether :meth:`tell` was called with this."""
        return thing in self._told

    def grade(self, escaped: Collection[int]) -> None:
        """Turn the errors that the program caught itself into notes; ``escaped`` are the others."""
        self._escaped = frozenset(escaped)

    @property
    def entries(self) -> list[Entry]:
        """The findings so far and what their grades depend on."""
        return list(self._entries.values())

    @property
    def findings(self) -> list[Finding]:
        """The findings so far, in the order in which they were first reported."""
        if self._escaped is None:
            return [replace(entry.finding, count=entry.count) for entry in self._entries.values()]
        return [entry.final(self._escaped, _NONE) for entry in self._entries.values()]

    def _see(self, entry: Entry, event: Event, finding: Finding, failure: int | None) -> None:
        self.last = event
        entry.see(failure)
        for part in self._parts:
            part.see(entry, finding, failure)
        if failure is None:
            self._under_way.append((event.sequence, entry))

    def _explain(self, finding: Finding, event: Event) -> None:
        if finding.severity is not _ERROR:
            return
        self.explained.add(event.sequence)
        if len(self.explained) > _MAX_EXPLAINED:
            self.explained -= {n for n in self.explained if n < event.sequence - _MAX_EXPLAINED // 2}
            self.in_kernel &= self.explained
