"""The one table of what a run can be written as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.reports import github, json_report, terminal

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


def _sarif(run: Run) -> str:
    # the table of rules is imported only where it is written
    from pycuda_guard.reports import sarif

    return sarif.report(run)


def _junit(run: Run) -> str:
    from pycuda_guard.reports import junit

    return junit.report(run)


def _html(run: Run) -> str:
    from pycuda_guard.reports import html

    return html.page(run)


#: by name, in the order of the help
FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        Format("terminal", "text for people, as a run prints it", ".txt", terminal.report),
        Format("json", "the findings, as --json writes them", ".json", json_report.report),
        Format("html", "a web page in one file, with the timeline as a picture", ".html", _html),
        Format("sarif", "a SARIF 2.1.0 log, for code scanning and editors", ".sarif", _sarif),
        Format("github", "annotations for the log of a GitHub workflow", ".txt", github.report),
        Format("junit", "JUnit XML, for test reports of CI systems", ".xml", _junit),
    )
}
