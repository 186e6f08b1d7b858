"""The ``check`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard import config
from pycuda_guard.cli.verb import Verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pycuda_guard.events.reader import Recording
    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.json_report import JsonReport
    from pycuda_guard.reports.run import Run
    from pycuda_guard.reports.terminal import Terminal
    from pycuda_guard.suppressions import Suppressions

#: the options of a run that have a meaning here
OPTIONS = ("json", "fail_on", "strict", "quiet", "select", "ignore", "baseline", "write_baseline")


class Check(Verb):
    """Find in recordings what was found, or would have been, while they were made.

    A recording comes from run --record FILE or pycuda_guard.dump(). Of a FOLDER, all recordings in it are
    taken. Several are the processes of one run: what they have found is merged. Neither a device nor
    PyCUDA nor the program's files are needed. Which findings count is decided anew, by the options given
    here, the program's pyproject.toml and the comments in its recorded files. The exit status is 1 where
    there are findings at the level of --fail-on, and 2 where a recording can't be read or is damaged.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take the options that a run has, too, and the recordings."""
        config.add_arguments(parser, OPTIONS)
        parser.add_argument(
            "paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="a recording, or a folder of them"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Check every recording and return the exit status."""
        from pycuda_guard.cli import replay
        from pycuda_guard.cli.report import files_at
        from pycuda_guard.events.reader import read
        from pycuda_guard.findings import fails
        from pycuda_guard.reports.json_report import JsonReport
        from pycuda_guard.reports.run import merged_run
        from pycuda_guard.reports.terminal import Terminal
        from pycuda_guard.suppressions import Outcome, Suppressions, write_baseline

        recordings = [read(str(file)) for path in options.paths for file in files_at(path)]
        chosen = replay.configure(config.given(options), recordings)
        suppressions = Suppressions(chosen)
        report = JsonReport(chosen.json) if chosen.json else None
        screen = Terminal(sys.stdout, quiet=chosen.quiet)
        run = merged_run(_runs(recordings, suppressions, screen))
        for remark in replay.remarks(recordings, suppressions):
            screen.announce(remark)
        screen.finish(run)
        for recording in recordings:
            replay.complain(recording)
        if report is not None:
            _write(report, run)
        if chosen.write_baseline:
            outcome = Outcome(list(run.findings), list(run.suppressed))
            screen.announce(write_baseline(chosen.write_baseline, outcome))
        elif any(fails(finding, chosen.fail_on, strict=chosen.strict) for finding in run.findings):
            return 1
        return 2 if any(recording.is_damaged for recording in recordings) else 0


def _write(report: JsonReport, run: Run) -> None:
    from pycuda_guard.reports.files import unwritable

    try:
        report.write(run.findings, run.suppressed)
    except OSError as error:
        raise unwritable(report.path, "the findings", error) from error


def _runs(recordings: Sequence[Recording], suppressions: Suppressions, terminal: Terminal) -> list[Run]:
    """Show what is found in recordings, each finding as soon as it is, and return what they hold."""
    from pycuda_guard.cli import replay
    from pycuda_guard.findings import Severity

    shown = set()

    def found(finding: Finding) -> None:
        if finding.failure is None and finding.severity is not Severity.NOTE and finding.key not in shown:
            shown.add(finding.key)
            terminal.show(finding)

    runs = [replay.run_of(recording, suppressions, found) for recording in recordings]
    for recording in recordings:
        # each was replayed with its own texts alone
        recording.provide_sources()
    return runs
