"""The ``check`` command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pycuda_guard import config
from pycuda_guard.cli.verb import Verb

if TYPE_CHECKING:
    import argparse

    from pycuda_guard.events.reader import Recording
    from pycuda_guard.findings import Finding

#: the options of a run that have a meaning here
OPTIONS = ("json", "fail_on", "strict", "quiet")


class Check(Verb):
    """Find in recordings what was found, or would have been, while they were made.

    A recording comes from run --record FILE or pycuda_guard.dump(). Neither a device nor PyCUDA
    nor the program's files are needed. The exit status is 1 where there are findings at the level
    of --fail-on, and 2 where a recording can't be read or is damaged.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take the options that a run has, too, and the recordings."""
        config.add_arguments(parser, OPTIONS)
        parser.add_argument("files", nargs="+", metavar="FILE", help="a recording")

    def run(self, options: argparse.Namespace) -> int:
        """Check every recording and return the exit status."""
        from pycuda_guard.errors import StartError
        from pycuda_guard.events.reader import read
        from pycuda_guard.findings import fails, merged
        from pycuda_guard.reports.json_report import JsonReport

        chosen = config.read({name: getattr(options, name) for name in OPTIONS})
        report = JsonReport(chosen.json) if chosen.json else None
        recordings = [read(file) for file in options.files]
        findings: list[Finding] = []
        for recording in recordings:
            if len(recordings) > 1 and not chosen.quiet:
                print(f"{recording.path}:")
            findings = merged(findings, check(recording, quiet=chosen.quiet))
        if report is not None:
            try:
                report.write(findings)
            except OSError as error:
                raise StartError(
                    f"the findings can't be written to {chosen.json}: {error.strerror}"
                ) from error
        if any(fails(finding, chosen.fail_on, strict=chosen.strict) for finding in findings):
            return 1
        return 2 if any(recording.is_damaged for recording in recordings) else 0


def check(recording: Recording, *, quiet: bool) -> list[Finding]:
    """Print the report of one recording, as the run itself would have, and return its findings."""
    from pycuda_guard.cli import replay
    from pycuda_guard.findings import Severity
    from pycuda_guard.reports.terminal import Terminal, show

    terminal = Terminal(sys.stdout, quiet=quiet)

    def found(finding: Finding) -> None:
        if finding.failure is None and finding.severity is not Severity.NOTE:
            terminal.show(finding)

    run = replay.run_of(recording, found)
    show(run, terminal)
    replay.complain(recording)
    return list(run.findings)
