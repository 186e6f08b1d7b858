"""Recordings as runs: their events go through the rules again."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr
from typing import TYPE_CHECKING

from pycuda_guard import config, project, texts
from pycuda_guard.checks.engine import Engine
from pycuda_guard.checks.registry import live_codes
from pycuda_guard.cli import build_parser
from pycuda_guard.cli.run import read_program
from pycuda_guard.errors import GuardError
from pycuda_guard.events.model import Launch
from pycuda_guard.progress import Meter
from pycuda_guard.reports.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycuda_guard.config import Config
    from pycuda_guard.events.codec import Start
    from pycuda_guard.events.reader import Recording
    from pycuda_guard.findings import Finding
    from pycuda_guard.suppressions import Suppressions


def findings_of(recording: Recording, found: Callable[[Finding], None] | None = None) -> tuple[Finding, ...]:
    """Feed a recording to the rules and return the findings; ``found`` gets each as it is first reported."""
    meter = Meter(f"reading {recording.path}")

    def show(finding: Finding) -> None:
        if found is not None:
            meter.clear()
            found(finding)

    recording.provide_sources()
    known = set(recording.sources)
    engine = Engine(show)
    for event in recording.events():
        if event.site is not None and event.site.file not in known:
            # a file of that name on this machine may be another one
            known.add(event.site.file)
            texts.provide(event.site.file, [])
        engine.feed(event)
        meter.show(recording.share)
    meter.clear()
    return tuple(engine.findings)


def run_of(
    recording: Recording,
    suppressions: Suppressions,
    found: Callable[[Finding], None] | None = None,
) -> Run:
    """Return the run that was recorded, as far as the recording can be read.

    A recording holds everything: what the user does not want to hear of is sorted out here.
    """

    def sort(finding: Finding) -> None:
        if found is not None and suppressions.sort([finding]).kept:
            found(finding)

    outcome = suppressions.sort(findings_of(recording, sort))
    blind = recording.blind
    if not recording.has_ended:
        blind = (*blind, "what is decided at the end of a run (the recording stops before it)")
    start = recording.start
    live = live_codes(races=start.races, kernels=start.kernels)
    return Run(
        findings=tuple(outcome.kept),
        device=start.device,
        live=live,
        blind=blind,
        has_ended=recording.has_ended,
        suppressed=tuple(outcome.suppressed),
        recordings=(recording,),
        left_out=frozenset(filter(suppressions.leaves_out, live)),
    )


def configure(given: Mapping[str, object], recordings: Sequence[Recording]) -> Config:
    """Return the configuration under which recordings are read anew.

    The pyproject.toml is that of the program that was recorded, where it is on this machine, or of the
    current folder. Raises :class:`StartError`.
    """
    folders = [_folder_of(recording.start) for recording in recordings]
    folder = next(filter(os.path.isdir, folders), os.curdir)
    return config.read(given, below=project.layers(folder))


def _folder_of(start: Start) -> str:
    """Return the folder of the program that was recorded, as it was then."""
    script = _script(start)
    return project.folder_of(os.path.join(start.directory, script)) if script else start.directory


def _script(start: Start) -> str:
    """Return the script that a command line names; nothing for a module, and for pytest's own."""
    arguments = start.arguments
    if arguments[1:2] != ("run",):
        if not arguments or project.is_installed(os.path.join(start.directory, arguments[0])):
            return ""
        return arguments[0]
    try:
        with redirect_stderr(io.StringIO()):
            program = read_program(build_parser(["run"]).parse_args(arguments[1:]))
    except (SystemExit, GuardError):  # the options of another version
        return ""
    return "" if program.is_module else program.target


def remarks(recordings: Sequence[Recording], suppressions: Suppressions) -> list[str]:
    """Return what there is to say of the ignores in the files of recordings that were read anew."""
    files = {file for recording in recordings for file in recording.sources}
    kernels = {
        event.function
        for recording in recordings
        if suppressions.names_kernels
        for event in recording.events()
        if isinstance(event, Launch)
    }
    live = live_codes(
        races=any(recording.start.races for recording in recordings),
        kernels=any(recording.start.kernels for recording in recordings),
    )
    return [f"note: {text}" for text, holds in suppressions.remarks(files, kernels, live).items() if holds]


def complain(recording: Recording) -> None:
    """Say on stderr what of a recording could not be read."""
    for problem in recording.problems:
        print(f"pycuda-guard: {recording.path}: {problem}", file=sys.stderr)
