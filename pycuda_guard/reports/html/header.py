"""The head of the page: what ran where, how much was found, and what was not looked at."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING

from pycuda_guard.findings import Severity
from pycuda_guard.reports import processes, scope
from pycuda_guard.reports.html.marks import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.reports.run import Run

#: seconds since 1970: a recording can say anything, and the C library can't tell the date of anything
_YEAR_3000 = 32_503_680_000


def program(run: Run) -> str:
    """Return the name of the program that ran."""
    arguments = next((one.start.arguments for one in run.recordings if one.start.arguments), ())
    # the guard's own command, if the program was started by that, comes with the program's name
    script = next((one for one in arguments[1:] if one.endswith(".py")), "") if _is_own(arguments) else ""
    return PurePath(script or arguments[0]).name if arguments else "findings"


def _is_own(arguments: Sequence[str]) -> bool:
    parts = PurePath(arguments[0]).parts if arguments else ()
    return any(part in ("pycuda-guard", "pycuda_guard") for part in parts[-2:])


def header(run: Run) -> str:
    """Return the head as HTML."""
    facts = [("Device", run.device)]
    first = next(iter(run.recordings), None)
    if first is not None:
        command = first.start.arguments
        if _is_own(command):
            command = ("pycuda-guard", *command[1:])
        facts.insert(0, ("Command", " ".join(command)))
        if 0 < first.start.started < _YEAR_3000:
            moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(first.start.started))
            facts.append(("Started", moment))
        names = ", ".join(processes.names(run.recordings))
        facts.append(("Processes" if len(run.recordings) > 1 else "Process", names))
    if not run.has_ended:
        facts.append(("End", "not recorded: what is decided at the end of a run is missing"))
    facts += [("Damage", problem) for one in run.recordings if one.is_damaged for problem in one.problems]
    listed = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(text)}</dd></div>" for name, text in facts)
    return (
        f"<h1>{escaped(program(run))}</h1>\n<ul class='counts' aria-label='How much was found'>{_counts(run)}"
        f"</ul>\n<dl class='facts'>{listed}</dl>"
    )


def _counts(run: Run) -> str:
    counts = Counter(finding.severity for finding in run.findings)
    parts = [
        f"<li class='count {severity.value}{'' if counts[severity] else ' zero'}'><b>{counts[severity]}</b> "
        f"{severity.value}{'' if counts[severity] == 1 else 's'}</li>"
        for severity in Severity
    ]
    if run.suppressed:
        parts.append(f"<li class='count zero'><b>{len(run.suppressed)}</b> suppressed</li>")
    return "".join(parts)


def unchecked(run: Run) -> str:
    """Return what was not looked at, as HTML."""
    spots = scope.not_checked(run.live, run.blind, run.findings)
    if not spots:
        return "<p>Nothing was left unchecked.</p>"
    return f"<ul>{''.join(f'<li>{escaped(spot)}</li>' for spot in spots)}</ul>"
