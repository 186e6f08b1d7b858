"""The timeline as data for the page's script, and which of its rows each finding is about."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pycuda_guard.events import model
from pycuda_guard.progress import metered
from pycuda_guard.reports.html.packing import Packer
from pycuda_guard.reports.looks import Kind
from pycuda_guard.reports.processes import names as process_names
from pycuda_guard.reports.tracks import Row, Tracks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycuda_guard.events.model import Event
    from pycuda_guard.events.reader import Recording
    from pycuda_guard.findings import Finding, Related
    from pycuda_guard.reports.buffers import Buffer
    from pycuda_guard.reports.html.naming import Names
    from pycuda_guard.reports.run import Run

#: events that a page shows, the last ones; more would make a file that no browser likes
MAX_ROWS = 200_000

#: copies that are remembered until it is known who wrote what they read
_MAX_COPIES = 1_024

#: kernels at call sites whose last launch is remembered
_MAX_LAUNCHES = 10_000

#: what stands for no call: rows that a finding is not pointed at if there is another
_NO_CALL = frozenset({Kind.GUARD, Kind.FAILURE})


@dataclass(slots=True)
class Story:
    """What the timeline knows of a finding: the row of its event, related rows, and the evidence.

    ``row`` and ``others`` are positions on the page, ``number`` is the event's own. ``event`` is what gave
    the finding away, ``launch`` and ``copy`` what it is about, as far as they are known.
    """

    row: int | None = None
    number: int = 0
    others: list[int] = field(default_factory=list)
    event: Event | None = None
    launch: model.Launch | None = None
    copy: model.Copy | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """``data`` is for the script, None where there are no events; ``stories`` has one for each finding."""

    data: dict[str, Any] | None
    stories: list[Story]
    note: str


class Process:
    """The rows of one recording that the page shows, and its memory over time."""

    def __init__(self, recording: Recording, wanted: Iterable[int]) -> None:
        self.rows: deque[Row] = deque(maxlen=MAX_ROWS)
        #: number of the row, what was allocated or freed, bytes more or less
        self.changes: deque[tuple[int, Buffer, int]] = deque()
        self.evidence: dict[int, Story] = {}
        self.count = 0
        self._wanted = frozenset(wanted)
        self._copies: deque[model.Copy] = deque(maxlen=_MAX_COPIES)
        self._launches: dict[tuple[object, str], model.Launch] = {}
        tracks = Tracks()
        for event in metered(f"drawing {recording.path}", recording.events(), lambda: recording.share):
            self.rows.append(tracks.row(event))
            self.count += 1
            if tracks.buffers.freed is not None:
                self.changes.append((event.sequence, tracks.buffers.freed, -tracks.buffers.freed.nbytes))
            if tracks.buffers.made is not None:
                self.changes.append((event.sequence, tracks.buffers.made, tracks.buffers.made.nbytes))
            self._remember(event)

    def _remember(self, event: Event) -> None:
        """Keep what pictures of findings need."""
        if isinstance(event, model.Copy):
            self._copies.append(event)
        elif isinstance(event, model.Launch):
            if len(self._launches) >= _MAX_LAUNCHES:
                del self._launches[next(iter(self._launches))]
            self._launches[event.site, event.function] = event
        if event.sequence not in self._wanted:
            return
        story = self.evidence[event.sequence] = Story(event=event)
        if isinstance(event, model.KernelReport):
            story.launch = self._launches.get((event.site, event.access.function))
        elif isinstance(event, model.Contents):
            story.copy = next((copy for copy in self._copies if copy.sequence == event.cause), None)

    def launch_at(self, finding: Finding) -> model.Launch | None:
        """Return the last launch of a finding's kernel at its line."""
        if finding.kernel is None or finding.location is None:
            return None
        place = finding.location.file, finding.location.line, finding.kernel.name
        for (_, function), launch in self._launches.items():
            site = launch.site
            if site is not None and (site.file, site.line, function) == place:
                return launch
        return None


def collect(run: Run, names: Names) -> Timeline:
    """Return the timeline of a run."""
    wanted = [finding.event for finding in run.findings if finding.event is not None]
    processes = [Process(recording, wanted) for recording in run.recordings]
    stories = [Story() for _ in run.findings]
    total = sum(process.count for process in processes)
    if not total:
        return Timeline(None, stories, "")
    merged = sorted(
        ((row, place) for place, process in enumerate(processes) for row in process.rows),
        key=lambda pair: pair[0].time,
    )
    dropped = max(len(merged) - MAX_ROWS, 0)
    merged = merged[dropped:]
    positions: list[dict[int, int]] = [{} for _ in processes]
    for position, (row, place) in enumerate(merged):
        positions[place][row.number] = position
    for place, process in enumerate(processes):
        _attach(run.findings, stories, process, positions[place])
    packer = Packer(names, process_names(run.recordings))
    for row, place in merged:
        packer.add(row, place, positions[place])
    for place, process in enumerate(processes):
        packer.add_memory(place, process.changes, positions[place])
    data = packer.data(run.findings, stories)
    note = f"The last {len(merged)} of {total} events." if len(merged) < total else f"{total} events."
    return Timeline(data, stories, note)


def _attach(
    findings: Sequence[Finding], stories: list[Story], process: Process, positions: dict[int, int]
) -> None:
    """Find the rows of a process that findings are about, for those that have none yet."""
    by_place: dict[tuple[str, int], list[Row]] = {}
    for row in process.rows:
        if row.site is not None and row.number in positions:
            by_place.setdefault((row.site.file, row.site.line), []).append(row)
    for finding, story in zip(findings, stories, strict=True):
        if story.row is not None:
            continue
        evidence = process.evidence.get(finding.event or 0)
        about = _row_of(finding, by_place)
        if about is not None:
            story.number = about.number
        elif finding.location is None and evidence is not None and finding.event in positions:
            story.number = finding.event or 0
        else:
            continue
        story.row = positions[story.number]
        limit = max(finding.event or 0, story.number)
        for other in finding.related:
            near = _last(_rows_about(other, by_place), limit)
            if near is not None and near.number != story.number:
                story.others.append(positions[near.number])
        if evidence is not None:
            story.event, story.copy = evidence.event, evidence.copy
            story.launch = evidence.launch or process.launch_at(finding)


def _row_of(finding: Finding, by_place: dict[tuple[str, int], list[Row]]) -> Row | None:
    """Return the row that a finding is to be shown at: the last call at its line up to its event."""
    if finding.location is None:
        return None
    rows = by_place.get((finding.location.file, finding.location.line), [])
    calls = [row for row in rows if row.kind not in _NO_CALL] or rows
    if finding.kernel is not None:
        calls = [row for row in calls if row.what == finding.kernel.name] or calls
    return _last(calls, finding.event) if finding.event is not None else next(iter(calls), None)


def _rows_about(related: Related, by_place: dict[tuple[str, int], list[Row]]) -> list[Row]:
    """Return the rows at a related line; where memory was allocated, not what else that line did."""
    rows = by_place.get((related.file, related.line), [])
    if related.message.endswith("allocated here"):
        return [row for row in rows if row.kind is Kind.MEMORY] or rows
    return rows


def _last(rows: Sequence[Row], limit: int) -> Row | None:
    """Return the last of these rows up to the number ``limit``."""
    index = bisect_right(rows, limit, key=lambda row: row.number)
    return rows[index - 1] if index else None
