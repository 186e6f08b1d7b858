"""The timeline in the trace event format, which Perfetto and chrome://tracing open.

A process has a track for each thread of the host, one for each stream and one for the findings. Work on a
stream is a slice from when it was enqueued to when the next work was, or to when the host knew that it
was done: when it ran in between is not recorded. A wait of the host is a slice that ends when the wait
did and begins with the event before, so it is the longest that it can have been. Arrows (flows) lead from
what was ordered first to what comes after it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

from pycuda_guard.reports.looks import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.tracks import Row, Stream

#: track numbers: the findings, threads from here, streams from here
_FINDINGS, _THREADS, _STREAMS = 1, 10, 10_000

#: nanoseconds between the edge of a slice and the end of an arrow in it: viewers take an arrow that is
#: exactly on an edge for one of the slice before, or of none
_INSIDE = 1

#: colours that viewers of the format know by name
_COLOURS = {"error": "terrible", "warning": "bad", "note": "grey"}


class TraceWriter:
    """Writes processes one after the other to a text stream; needs memory only for what is not known yet.

    ``origin`` is the time that is 0 in the trace (nanoseconds since 1970).
    """

    def __init__(self, out: TextIO, origin: int) -> None:
        self._out = out
        self._origin = origin
        self._is_first = True
        self.flows = 0
        self.count = 0
        out.write('{"displayTimeUnit":"ns","otherData":' + json.dumps({"origin": str(origin)}))
        out.write(',"traceEvents":[')

    def write(self, process: int, name: str, rows: Iterable[Row], findings: Iterable[Finding]) -> None:
        """Write rows of a process, and the findings that these rows gave away."""
        one = _Process(self, process, name, findings)
        for row in rows:
            self.count += 1
            one.add(row)
        one.end()

    def close(self) -> None:
        """Write the end of the file; the text stream stays open."""
        self._out.write("\n]}\n")

    def put(self, phase: str, process: int, track: int, time: int | None, **fields: Any) -> None:
        """Write an event of the format; ``time`` in nanoseconds since 1970, None for none."""
        stamp = {} if time is None else {"ts": max(time - self._origin, 0) / 1000}
        event = {"ph": phase, **stamp, "pid": process, "tid": track, **fields}
        self._out.write("\n" if self._is_first else ",\n")
        self._is_first = False
        self._out.write(json.dumps(event, separators=(",", ":")))


class _Process:
    """The tracks of one process."""

    def __init__(self, out: TraceWriter, process: int, name: str, findings: Iterable[Finding]) -> None:
        self._out = out
        self._process = process
        self._pending: dict[Stream, Row] = {}  # the last work of each stream, until its slice can end
        self._streams: dict[Stream, int] = {}
        self._threads: dict[int, int] = {}  # the time of the last event of each
        self._findings: dict[int, list[Finding]] = {}
        for finding in findings:
            self._findings.setdefault(finding.event or 0, []).append(finding)
        out.put("M", process, 0, None, name="process_name", args={"name": name})
        if self._findings:
            self._track(_FINDINGS, "findings", 0)

    def add(self, row: Row) -> None:
        """Write what a row makes known."""
        self._name_tracks(row)
        for stream, last in [*self._pending.items()]:
            if last.done or (row.is_queued and stream is row.stream):
                self._slice(self._pending.pop(stream), stream, row.time)
        if row.is_queued and row.stream is not None:
            self._pending[row.stream] = row
        else:
            self._host(row)
        self._arrows(row)
        for finding in self._findings.pop(row.number, ()):
            self._finding(finding, row.time)
        self._threads[row.thread] = row.time

    def end(self) -> None:
        """Write what is still not known, and the findings that belong to no event."""
        end = max(self._threads.values(), default=0)
        for stream, last in self._pending.items():
            self._slice(last, stream, end)
        for finding in self._findings.get(0, ()):
            self._finding(finding, end)

    def _name_tracks(self, row: Row) -> None:
        if row.thread not in self._threads:
            name = f"host thread {row.thread}" if row.thread else "the recording"
            self._track(_THREADS + row.thread, name, row.thread)
        if row.stream is not None and row.stream not in self._streams:
            track = self._streams[row.stream] = _STREAMS + len(self._streams)
            self._track(track, row.stream.name, track)

    def _slice(self, row: Row, stream: Stream, end: int) -> None:
        arguments = _arguments(row) | ({"done by event": row.done} if row.done else {})
        duration = max(end - row.time, 2 * _INSIDE) / 1000
        self._put("X", self._streams[stream], row, dur=duration, args=arguments)

    def _host(self, row: Row) -> None:
        """Write what is on the track of a thread."""
        track = _THREADS + row.thread
        if row.kind is Kind.WAIT:
            start = min(self._threads.get(row.thread, row.time), row.time - 2 * _INSIDE)
            duration = (row.time - start) / 1000
            self._put("X", track, row, start, dur=duration, args=_arguments(row))
        else:
            self._put("i", track, row, s="t", args=_arguments(row))

    def _put(self, phase: str, track: int, row: Row, time: int | None = None, **fields: Any) -> None:
        time = row.time if time is None else time
        self._out.put(phase, self._process, track, time, name=row.what, cat=row.kind.value, **fields)

    def _arrows(self, row: Row) -> None:
        for arrow in row.after:
            source = self._streams.get(arrow.stream)
            if source is None:
                continue
            self._out.flows += 1
            names = {"name": arrow.reason, "cat": "order", "id": self._out.flows}
            is_queued = row.is_queued and row.stream is not None
            target = self._streams[row.stream] if is_queued and row.stream else _THREADS + row.thread
            inside = _INSIDE if is_queued else -_INSIDE
            self._out.put("s", self._process, source, arrow.time + _INSIDE, **names)
            self._out.put("f", self._process, target, row.time + inside, bp="e", **names)

    def _finding(self, finding: Finding, time: int) -> None:
        arguments = {"severity": finding.severity.value, "message": finding.message, "help": finding.help}
        if finding.location is not None:
            arguments["line"] = f"{finding.location.file}:{finding.location.line}"
        name, colour = f"{finding.code} {finding.rule}", _COLOURS[finding.severity.value]
        fields = {"name": name, "cat": "finding", "s": "p", "cname": colour, "args": arguments}
        self._out.put("i", self._process, _FINDINGS, time, **fields)

    def _track(self, track: int, name: str, position: int) -> None:
        self._out.put("M", self._process, track, None, name="thread_name", args={"name": name})
        self._out.put(
            "M", self._process, track, None, name="thread_sort_index", args={"sort_index": position}
        )


def _arguments(row: Row) -> dict[str, Any]:
    """Return what a viewer shows of an event that is chosen."""
    arguments: dict[str, Any] = {"event": row.number}
    if row.size:
        arguments["size"] = row.size
    if row.buffers:
        arguments["buffers"] = ", ".join(row.buffers)
    if row.site is not None:
        arguments["line"] = f"{row.site.file}:{row.site.line}"
    return arguments
