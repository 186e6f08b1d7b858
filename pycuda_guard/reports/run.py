"""What a report is about: one run, or the processes of one run together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.findings import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.events.reader import Recording
    from pycuda_guard.findings import Finding


@dataclass(frozen=True, slots=True)
class Run:
    """One run, or the processes of one run merged, as reports take it.

    ``live`` are the codes of the rules that looked, ``blind`` says in words what was not looked at,
    ``left_out`` are those of the live rules of which the user does not want to hear, ``suppressed``
    findings that the user silenced, each with the reason given. ``recordings`` are empty where only the
    findings were kept.
    """

    findings: tuple[Finding, ...]
    device: str
    live: frozenset[str]
    blind: tuple[str, ...]
    has_ended: bool
    suppressed: tuple[tuple[Finding, str], ...] = ()
    recordings: tuple[Recording, ...] = ()
    left_out: frozenset[str] = frozenset()


def merged_run(runs: Sequence[Run]) -> Run:
    """Return the processes of one run as one; ``runs`` holds one at least.

    Findings of one cause become one, counted. A rule has looked where it looked in every process.
    """
    first, *others = runs
    findings = list(first.findings)
    for run in others:
        findings = merged(findings, run.findings)
    return Run(
        findings=tuple(findings),
        device=" and ".join(dict.fromkeys(run.device for run in runs)),
        live=frozenset.intersection(*[run.live for run in runs]),
        blind=tuple(dict.fromkeys(spot for run in runs for spot in run.blind)),
        has_ended=all(run.has_ended for run in runs),
        suppressed=merged_pairs([pair for run in runs for pair in run.suppressed]),
        recordings=tuple(recording for run in runs for recording in run.recordings),
        left_out=frozenset().union(*[run.left_out for run in runs]),
    )


def merged_pairs(pairs: Sequence[tuple[Finding, str]]) -> tuple[tuple[Finding, str], ...]:
    """Return suppressed findings with those of one cause and one reason as one."""
    by_reason: dict[str, list[Finding]] = {}
    for finding, reason in pairs:
        by_reason[reason] = merged(by_reason.get(reason, []), [finding])
    return tuple((finding, reason) for reason, findings in by_reason.items() for finding in findings)
