"""Recordings as runs: their events go through the rules again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pycuda_guard import callsite
from pycuda_guard.checks.engine import Engine
from pycuda_guard.checks.registry import live_codes
from pycuda_guard.reports.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.events.reader import Recording
    from pycuda_guard.findings import Finding


def findings_of(recording: Recording, found: Callable[[Finding], None] | None = None) -> tuple[Finding, ...]:
    """Feed a recording to the rules and return the findings; ``found`` gets each as it is first reported."""
    recording.provide_sources()
    known = set(recording.sources)
    engine = Engine(found)
    for event in recording.events():
        if event.site is not None and event.site.file not in known:
            # a file of that name on this machine may be another one
            known.add(event.site.file)
            callsite.provide(event.site.file, [])
        engine.feed(event)
    return tuple(engine.findings)


def run_of(recording: Recording, found: Callable[[Finding], None] | None = None) -> Run:
    """Return the run that was recorded, as far as the recording can be read."""
    findings = findings_of(recording, found)
    blind = recording.blind
    if not recording.has_ended:
        blind = (*blind, "what is decided at the end of a run (the recording stops before it)")
    return Run(
        findings=findings,
        device=recording.start.device,
        live=live_codes(races=recording.start.races),
        blind=blind,
        has_ended=recording.has_ended,
        recordings=(recording,),
    )


def complain(recording: Recording) -> None:
    """Say on stderr what of a recording could not be read."""
    for problem in recording.problems:
        print(f"pycuda-guard: {recording.path}: {problem}", file=sys.stderr)
