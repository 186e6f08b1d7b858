"""Rows as the arrays of numbers that the page's script reads; texts are in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import MemoryKind
from pycuda_guard.reports.looks import Kind
from pycuda_guard.reports.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.buffers import Buffer
    from pycuda_guard.reports.html.naming import Names
    from pycuda_guard.reports.html.timeline import Story
    from pycuda_guard.reports.tracks import Row, Stream

#: what the page knows of a row: numbers, and positions in the tables of texts, tracks and sites
COLUMNS = ("number", "time", "kind", "host", "stream", "what", "size", "buffers", "site", "done")

_KINDS = {kind: position for position, kind in enumerate(Kind)}

#: host memory that the device can reach; all other kinds are the device's
_HOST = frozenset({MemoryKind.PINNED, MemoryKind.REGISTERED})


class Packer:
    """Collects rows in the order of the page. ``processes`` are what the processes are called."""

    def __init__(self, names: Names, processes: Sequence[str]) -> None:
        self._names = names
        self._processes = processes
        self._texts: dict[str, int] = {}
        self._tracks: list[dict[str, Any]] = []
        self._hosts: dict[tuple[int, int], int] = {}
        self._streams: dict[Stream, int] = {}
        self._sites: dict[tuple[str, int], int] = {}
        self._memory_sites: dict[tuple[str, bool], int] = {}
        self._columns: dict[str, list[int]] = {
            name: []
            for name in (
                "number",
                "time",
                "kind",
                "host",
                "stream",
                "what",
                "size",
                "buffers",
                "site",
                "done",
            )
        }
        self._arrows: list[int] = []
        self._memory: list[int] = []
        self._origin: int | None = None
        self._has_times = True
        self._before = 0

    def add(self, row: Row, place: int, positions: dict[int, int]) -> None:
        """Add the next row, of process ``place``; ``positions`` are those of its numbers on the page."""
        columns = self._columns
        position = len(columns["number"])
        self._has_times = self._has_times and row.time > 0
        if self._origin is None:
            self._origin = self._before = row.time
        stream = self._stream(row, place)
        columns["number"].append(row.number)
        columns["time"].append(max(row.time - self._before, 0))  # since the row before
        self._before = max(row.time, self._before)
        columns["kind"].append(_KINDS[row.kind])
        columns["host"].append(self._host(row.thread, place))
        columns["stream"].append(stream if row.is_queued else -1)
        what = row.what if row.is_queued or row.stream is None else f"{row.what}: {row.stream.name}"
        columns["what"].append(self._text(what))
        columns["size"].append(self._text(row.size))
        columns["buffers"].append(self._text(", ".join(row.buffers)))
        columns["site"].append(self._site(row))
        columns["done"].append(positions.get(row.done, -1))
        for arrow in row.after:
            source = positions.get(arrow.number)
            if source is not None:
                self._arrows += [source, position, self._text(arrow.reason)]

    def add_memory(
        self, place: int, changes: Iterable[tuple[int, Buffer, int]], positions: dict[int, int]
    ) -> None:
        """Add when how much memory was allocated or freed; what was before the first row is at that."""
        if not positions:
            return
        first = min(positions)
        for number, buffer, nbytes in changes:
            position = positions.get(number, 0 if number < first else None)
            if position is not None:
                self._memory += [position, self._memory_site(buffer), nbytes]

    def data(self, findings: Sequence[Finding], stories: Sequence[Story]) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        triples = sorted(zip(*[iter(self._memory)] * 3, strict=True), key=lambda triple: triple[0])
        return {
            "rows": self._columns,
            "hasTimes": self._has_times,
            "kinds": [kind.value for kind in Kind],
            "texts": [visible(text) for text in self._texts],
            "tracks": self._tracks,
            "sites": [[visible(self._names.name(file)), line] for file, line in self._sites],
            "arrows": self._arrows,
            "memory": {
                "sites": [[name, is_host] for name, is_host in self._memory_sites],
                "changes": [number for triple in triples for number in triple],
            },
            "findings": [
                {
                    "id": index,
                    "code": finding.code,
                    "rule": finding.rule,
                    "severity": finding.severity.value,
                    "row": story.row,
                    "others": story.others,
                }
                for index, (finding, story) in enumerate(zip(findings, stories, strict=True))
                if story.row is not None
            ],
        }

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _site(self, row: Row) -> int:
        if row.site is None:
            return -1
        return self._sites.setdefault((row.site.file, row.site.line), len(self._sites))

    def _memory_site(self, buffer: Buffer) -> int:
        site = buffer.site
        place = f"{self._names.name(site.file)}:{site.line}" if site is not None else "unknown line"
        name = visible(f"{place} {buffer.name}".rstrip())
        return self._memory_sites.setdefault((name, buffer.kind in _HOST), len(self._memory_sites))

    def _host(self, thread: int, place: int) -> int:
        track = self._hosts.get((place, thread))
        if track is None:
            track = self._hosts[place, thread] = self._track(
                f"thread {thread}" if thread else "guard", "host", place
            )
        return track

    def _stream(self, row: Row, place: int) -> int:
        if row.stream is None:
            return -1
        track = self._streams.get(row.stream)
        if track is None:
            track = self._streams[row.stream] = self._track(row.stream.name, "stream", place)
        return track

    def _track(self, name: str, kind: str, place: int) -> int:
        process = self._processes[place] if len(self._processes) > 1 else ""
        self._tracks.append({"name": name, "kind": kind, "process": process, "place": place})
        return len(self._tracks) - 1
