"""The ``timeline`` command."""

from __future__ import annotations

import argparse
import heapq
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.cli.verb import Verb
from pycuda_guard.errors import GuardError
from pycuda_guard.progress import metered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pycuda_guard.events.reader import Recording
    from pycuda_guard.reports.tracks import Row


class Timeline(Verb):
    """Show what a recorded run did, event by event, as a table or for other tools.

    FILE is a recording (run --record FILE, pycuda_guard.dump()); of a FOLDER, all recordings in it are
    taken, as the processes of one run. Times are seconds since the first event. The exit status is 2
    where a recording is damaged; what precedes the damage is shown.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take what to read, what of it to show, and how."""
        parser.add_argument("--stream", metavar="NAME", help="on this stream: default, or its number")
        parser.add_argument(
            "--buffer", metavar="GLOB", help="about memory of this name, or at this address in hex"
        )
        parser.add_argument("--kernel", metavar="GLOB", help="launches of kernels of this name")
        parser.add_argument("--since", type=float, metavar="SECONDS", help="not before this time")
        parser.add_argument("--until", type=float, metavar="SECONDS", help="not after this time")
        parser.add_argument("--limit", type=_count, metavar="N", help="the first N events of these")
        out = parser.add_mutually_exclusive_group()
        out.add_argument(
            "--perfetto",
            type=Path,
            metavar="OUT",
            help="write a trace for ui.perfetto.dev or chrome://tracing, with the findings",
        )
        out.add_argument(
            "--parquet",
            type=Path,
            metavar="OUT",
            help="write a table for DuckDB, pandas and the like (needs pyarrow: the extra parquet)",
        )
        parser.add_argument(
            "paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="a recording, or a folder of them"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Read the recordings, show them, and return the exit status."""
        from pycuda_guard.cli import replay
        from pycuda_guard.cli.report import files_at
        from pycuda_guard.events.reader import read

        recordings = [read(str(file)) for path in options.paths for file in files_at(path)]
        origin = min(filter(None, map(_first_time, recordings)), default=0)
        wanted = Wanted.of(options, origin)
        if options.perfetto is not None:
            _write_perfetto(options.perfetto, recordings, wanted)
        elif options.parquet is not None:
            _write_parquet(options.parquet, recordings, wanted)
        else:
            _print_table(recordings, wanted)
        for recording in recordings:
            replay.complain(recording)
        return 2 if any(recording.is_damaged for recording in recordings) else 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are to be shown; None stands for all. Times are nanoseconds since 1970."""

    origin: int = 0
    stream: str | None = None
    buffer: str | None = None
    kernel: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int | None = None

    @classmethod
    def of(cls, options: argparse.Namespace, origin: int) -> Wanted:
        """Return what the command line asks for; ``origin`` is the time of the first event."""
        stream = options.stream
        if stream is not None:
            stream = "default stream" if stream in ("0", "default") else stream
            stream = f"stream {stream}" if stream[:1].isdecimal() else stream
        since, until = (
            None if seconds is None else origin + round(seconds * 1e9)
            for seconds in (options.since, options.until)
        )
        return cls(origin, stream, options.buffer, options.kernel, since, until, options.limit)

    def has(self, row: Row) -> bool:
        """Tell whether a row is to be shown."""
        if self.stream is not None and (row.stream is None or row.stream.name != self.stream):
            return False
        if self.kernel is not None and not (
            row.kind.value == "launch" and fnmatchcase(row.what, self.kernel)
        ):
            return False
        if self.buffer is not None and not any(fnmatchcase(name, self.buffer) for name in row.buffers):
            return False
        if row.time and self.since is not None and row.time < self.since:
            return False
        return not (row.time and self.until is not None and row.time > self.until)

    def limited(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Return the wanted ones of some rows, up to the limit."""
        return islice(filter(self.has, rows), self.limit)


def _first_time(recording: Recording) -> int:
    first = next(recording.events(), None)
    second = next(islice(recording.events(), 1, 2), None) if first is not None and not first.time else first
    return 0 if second is None else second.time


def _rows(recording: Recording) -> Iterator[Row]:
    from pycuda_guard.reports.tracks import Tracks

    return Tracks().rows(recording.events())


def _rows_for(path: Path, recording: Recording) -> Iterator[Row]:
    """Yield the rows that are written to a file, and say on a terminal how far that is."""
    return metered(f"writing {path}", _rows(recording), lambda: recording.share)


def _print_table(recordings: Sequence[Recording], wanted: Wanted) -> None:
    """Print one line an event; of several processes, in the order of time."""
    from pycuda_guard.reports import processes, table
    from pycuda_guard.reports.text import encodable

    several = len(recordings) > 1
    for recording in recordings:
        recording.provide_sources()
    names = processes.names(recordings) if several else [""]
    streams = [zip(_rows(recording), repeat(name)) for recording, name in zip(recordings, names, strict=True)]
    merged = heapq.merge(*streams, key=lambda pair: pair[0].time) if several else chain(*streams)
    shown = islice((pair for pair in merged if wanted.has(pair[0])), wanted.limit)
    try:
        print(table.head(several))
        for row, process in shown:
            print(encodable(table.line(row, wanted.origin, process), sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        # its reader has seen enough; the interpreter would complain once more when it flushes
        sys.stdout = None


def _write_perfetto(path: Path, recordings: Sequence[Recording], wanted: Wanted) -> None:
    from pycuda_guard.cli import replay
    from pycuda_guard.reports import processes
    from pycuda_guard.reports.perfetto import TraceWriter

    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace") as out:
            writer = TraceWriter(out, wanted.origin)
            names, numbers = processes.names(recordings), processes.numbers(recordings)
            for recording, name, number in zip(recordings, names, numbers, strict=True):
                findings = replay.findings_of(recording)
                program = " ".join(recording.start.arguments) or recording.path
                title = program if len(recordings) == 1 else f"{name}: {program}"
                writer.write(number, title, wanted.limited(_rows_for(path, recording)), findings)
            writer.close()
    except OSError as error:
        raise _unwritable(path, error) from error
    print(f"{path}: {writer.count} events; open it in https://ui.perfetto.dev")


def _write_parquet(path: Path, recordings: Sequence[Recording], wanted: Wanted) -> None:
    from pycuda_guard.reports import parquet

    parquet.check_available()
    try:
        with parquet.TableWriter(path) as writer:
            for recording in recordings:
                recording.provide_sources()
                writer.write(recording.start, wanted.limited(_rows_for(path, recording)))
    except OSError as error:
        raise _unwritable(path, error) from error
    print(f"{path}: {writer.count} events")


def _unwritable(path: Path, error: OSError) -> GuardError:
    return GuardError(f"the timeline can't be written to {path}: {error.strerror or error}")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)
