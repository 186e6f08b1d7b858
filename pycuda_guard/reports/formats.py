"""The one table of what a run can be written as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.reports import json_report, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.reports.run import Run


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a run: ``write`` returns the whole text, whose files end in ``suffix``."""

    name: str
    help: str
    suffix: str
    write: Callable[[Run], str]


#: by name, in the order of the help
FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        Format("terminal", "text for people, as a run prints it", ".txt", terminal.report),
        Format("json", "the findings, as --json writes them", ".json", json_report.report),
    )
}
