"""The ``report`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard import config
from pycuda_guard.cli.verb import Verb
from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from pycuda_guard.reports.run import Run

#: the options of a run that have a meaning here
OPTIONS = ("select", "ignore", "baseline")


class Report(Verb):
    """Write what was found in a recorded run as text, JSON, SARIF and the like.

    FILE is a recording (run --record FILE, pycuda_guard.dump()) or a file of findings (--json). Of a
    FOLDER, all recordings in it are taken. Several are the processes of one run: what they have found
    is merged. Of recordings, which findings count is decided anew, as check does. The exit status is
    0, whatever was found, and 2 where a file can't be read or written or a recording is damaged; what
    precedes the damage is reported all the same.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take what to read, the format and where to write."""
        from pycuda_guard.reports.formats import FORMATS

        listed = "; ".join(f"{made.name}: {made.help}" for made in FORMATS.values())
        parser.add_argument(
            "--format",
            choices=tuple(FORMATS),
            metavar="FORMAT",
            default=next(iter(FORMATS)),
            help=f"{listed} (default: %(default)s)",
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="OUT", help="write there instead of to standard output"
        )
        config.add_arguments(parser, OPTIONS)
        parser.add_argument(
            "paths",
            nargs="+",
            type=Path,
            metavar="FILE|FOLDER",
            help="a recording, a folder of them, or a file of findings",
        )

    def run(self, options: argparse.Namespace) -> int:
        """Read everything, write the report and return the exit status."""
        from pycuda_guard.cli import replay
        from pycuda_guard.reports import files, terminal
        from pycuda_guard.reports.formats import FORMATS
        from pycuda_guard.reports.text import encodable

        if options.output is not None:
            files.check_writable(options.output, "the report")
        run = read(options.paths, config.given(options))
        if options.output is not None:
            try:
                files.replace_text(options.output, FORMATS[options.format].write(run))
            except OSError as error:
                raise files.unwritable(options.output, "the report", error) from error
        elif options.format == "terminal":
            # in colours where they are welcome
            terminal.Terminal(sys.stdout, quiet=False).finish(run)
        else:
            sys.stdout.write(encodable(FORMATS[options.format].write(run), sys.stdout))
        for recording in run.recordings:
            replay.complain(recording)
        return 2 if any(recording.is_damaged for recording in run.recordings) else 0


def read(paths: Sequence[Path], given: Mapping[str, object]) -> Run:
    """Return what recordings, folders of recordings and files of findings hold, as one run.

    Of recordings, which findings count is decided anew by the options ``given`` and the program's
    pyproject.toml. Raises :class:`GuardError` where one of them can't be read at all.
    """
    from pycuda_guard.reports.run import merged_run

    run = merged_run([_read_file(file, given) for path in paths for file in files_at(path)])
    for recording in run.recordings:
        # each was replayed with its own texts alone
        recording.provide_sources()
    return run


def files_at(path: Path) -> list[Path]:
    """Return the files to read for one argument: a folder's are its recordings."""
    if not path.is_dir():
        return [path]
    try:
        found = [file for file in sorted(path.iterdir()) if file.is_file() and _is_recording(file)]
    except OSError as error:
        raise GuardError(f"can't read {path}: {error.strerror}") from error
    if not found:
        raise GuardError(f"there is no recording in {path}", "pycuda-guard run --record FILE makes one")
    return found


def _is_recording(file: Path) -> bool:
    """Tell whether a file is meant to be a recording; a damaged one is, too."""
    from pycuda_guard.events.format import MAGIC, SUFFIX

    return file.suffix == SUFFIX or _first_bytes(file).startswith(MAGIC[:4])


def _first_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(64)
    except OSError as error:
        raise GuardError(f"can't open {file}: {error.strerror}") from error


def _read_file(file: Path, given: Mapping[str, object]) -> Run:
    """Return the run that a recording or a file of findings holds."""
    from pycuda_guard.cli import replay
    from pycuda_guard.events.reader import read as read_recording
    from pycuda_guard.reports import json_report
    from pycuda_guard.suppressions import Suppressions

    if file.is_file() and _first_bytes(file).lstrip()[:1] in (b"{", b"["):
        return json_report.read_run(file)
    recording = read_recording(str(file))
    return replay.run_of(recording, Suppressions(replay.configure(given, [recording])))
