"""Findings for people: what is wrong, the lines of the story, and what to write instead."""

from __future__ import annotations

import io
import os
from collections import Counter
from typing import TYPE_CHECKING, Protocol, TextIO

from pycuda_guard import statements
from pycuda_guard.callsite import Site
from pycuda_guard.findings import Finding, Severity
from pycuda_guard.reports import scope
from pycuda_guard.reports.text import encodable, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.reports.run import Run

PREFIX = "pycuda-guard:"

#: columns up to which the command that explains a rule is put on the line of the help
LINE_WIDTH = 110

_COLOURS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}


def wants_colour(stream: TextIO) -> bool:
    """Tell whether ``stream`` is a terminal on which colours are welcome (NO_COLOR is not set)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def short_path(file: str) -> str:
    """Return ``file`` relative to the current folder where that is shorter."""
    if file.startswith("<"):
        return file
    try:
        relative = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return relative if len(relative) < len(file) else file


def render(finding: Finding, *, colour: bool = False, name: Callable[[str], str] = short_path) -> str:
    """Return a finding as the lines of the report, without a newline at the end.

    ``name`` says what a source file is called.
    """
    times = _times(finding)
    head = f"{finding.severity.value}[{finding.code}]"
    if colour:
        head = f"\033[1;{_COLOURS[finding.severity]}m{head}\033[0m"
    message = _indent(visible(finding.message))
    lines = [f"{head} {finding.rule}: {message}{times}", *_places(finding, name)]
    explain = f"pycuda-guard explain {finding.code}"
    if not finding.help:
        return "\n".join([*lines, f"  help: {explain}"])
    text = f"  help: {_indent(visible(finding.help))}"
    last = text.rsplit("\n", 1)[-1]
    separator = " " * 6 if len(last) + 6 + len(explain) <= LINE_WIDTH else "\n" + " " * 8
    return "\n".join([*lines, text + separator + explain])


def brief(finding: Finding, *, name: Callable[[str], str] = short_path) -> str:
    """Return a finding as one line: what, where, and the first line of why."""
    place = ""
    if finding.location is not None:
        place = f" {_file(finding.location.file, name)}:{finding.location.line}"
    first = visible(finding.message.partition("\n")[0])
    return f"{finding.severity.value}[{finding.code}]{place} {finding.rule}: {first}{_times(finding)}"


def _times(finding: Finding) -> str:
    return f" ({finding.count} times)" if finding.count > 1 else ""


def _places(finding: Finding, name: Callable[[str], str]) -> list[str]:
    """Return one line for each place of the story, in columns: the location first."""
    rows: list[tuple[str, str, str]] = []
    if finding.kernel is not None and finding.kernel.file and finding.kernel.line:
        site = Site(finding.kernel.file, finding.kernel.line, finding.kernel.name)
        rows.append((_line(f"kernel {finding.kernel.name}:"), _place(site, name), statements.line_text(site)))
    # a note is kept short: it needs no more than its own line
    for related in finding.related if finding.severity is not Severity.NOTE else ():
        site = Site(related.file, related.line, "")
        rows.append((_line(f"{related.message}:"), _place(site, name), statements.call_text(site)))
    message_width = max((len(message) for message, _, _ in rows), default=0)
    place_width = max((len(place) for _, place, _ in rows), default=0)
    lines = []
    if finding.location is not None:
        site = Site(finding.location.file, finding.location.line, finding.location.function)
        lines.append(f"  --> {_place(site, name)}   {_line(statements.call_text(site))}".rstrip())
    for message, place, text in rows:
        lines.append(f"   |  {message:<{message_width}} {place:<{place_width}}  {_line(text)}".rstrip())
    return lines


def _place(site: Site, name: Callable[[str], str]) -> str:
    return f"{_file(site.file, name)}:{site.line}"


def _file(file: str, name: Callable[[str], str]) -> str:
    return _line(name(file))


def _line(text: str) -> str:
    """Return a text of the program that belongs on one line."""
    return visible(text).replace("\n", "\\n")


def _indent(text: str) -> str:
    return text.replace("\n", "\n    ")


class Screen(Protocol):
    """Shows one run to somebody while it goes on; :class:`Terminal` is the usual one."""

    @property
    def name(self) -> Callable[[str], str]:
        """What a source file is called, by its path."""

    def announce(self, text: str) -> None:
        """Say something about the run."""

    def complain(self, text: str) -> None:
        """Say that something is wrong with the guard itself."""

    def show(self, finding: Finding) -> None:
        """Take a new error or warning; called before the driver sees the call."""

    def finish(self, run: Run) -> None:
        """Take the whole run at its end."""


class Terminal:
    """The report of one run on a stream: what is bad at once, the rest and a summary at the end.

    ``name`` says what a source file is called.
    """

    def __init__(
        self, stream: TextIO | None, *, quiet: bool, name: Callable[[str], str] = short_path
    ) -> None:
        self._stream = stream
        self.name = name
        self.is_quiet = quiet
        self._colour = stream is not None and wants_colour(stream)
        self._shown: set[tuple[object, ...]] = set()

    def announce(self, text: str) -> None:
        """Print a line about the run, unless it is to be quiet."""
        if not self.is_quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Print a line about something that is wrong with the guard itself."""
        self._print(f"{PREFIX} {text}")

    def show(self, finding: Finding) -> None:
        """Print a finding at once."""
        self.write(finding)

    def write(self, finding: Finding) -> None:
        """Print a finding."""
        self._shown.add(finding.key)
        self._print(render(finding, colour=self._colour, name=self.name))

    def write_briefly(self, finding: Finding) -> None:
        """Print a finding as one line."""
        self._shown.add(finding.key)
        self._print(brief(finding, name=self.name))

    def finish(self, run: Run) -> None:
        """Print what was not shown yet, how often the rest came again, and the last line."""
        for finding in sorted(run.findings, key=lambda finding: -finding.severity.rank):
            if finding.key in self._shown:
                if finding.count > 1:
                    self._print(_again(finding, self.name))
            elif finding.severity is not Severity.NOTE or not self.is_quiet:
                self.write(finding)
        if self.is_quiet:
            return
        self._print(last_line(run))

    def _print(self, text: str) -> None:
        # The program may have none, or have closed it, or nobody reads it any more; the JSON report stays.
        if self._stream is None:
            return
        try:
            self._stream.write(encodable(text, self._stream) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


def report(run: Run) -> str:
    """Return what the terminal shows of a run, without colours."""
    stream = io.StringIO()
    Terminal(stream, quiet=False).finish(run)
    return stream.getvalue()


def last_line(run: Run) -> str:
    """Return how much was found where and what was not checked, in lines of :data:`LINE_WIDTH` columns.

    Whatever is not named was checked.
    """
    silenced = f", {len(run.suppressed)} suppressed" if run.suppressed else ""
    head = f"{PREFIX} {count_words(run.findings)}{silenced} on {_line(run.device)}"
    if run.live:
        head += f" ({len(run.live - run.left_out)} of {scope.RULE_COUNT} rules on)"
    unchecked = [_line(text) for text in scope.not_checked(run.live, run.blind, run.findings, run.left_out)]
    if not unchecked:
        return f"{head}. Everything was checked."
    whole = f"{head}. Not checked: {', '.join(unchecked)}."
    return whole if len(whole) <= LINE_WIDTH else f"{head}.\n{_paragraph('Not checked:', unchecked)}"


def _paragraph(title: str, items: Sequence[str]) -> str:
    """Return a title and a list as lines, indented; only between two items is there a new line."""
    lines = [f"  {title}"]
    for number, item in enumerate(items, 1):
        word = f" {item}{'.' if number == len(items) else ','}"
        if number > 1 and len(lines[-1]) + len(word) > LINE_WIDTH:
            lines.append("   ")
        lines[-1] += word
    return "\n".join(lines)


def count_words(findings: Sequence[Finding]) -> str:
    """Return ``1 error, 2 notes``, or ``nothing found``."""
    counts = Counter(finding.severity for finding in findings)
    words = [
        f"{counts[severity]} {severity.value}{'s' if counts[severity] > 1 else ''}"
        for severity in Severity
        if counts[severity]
    ]
    return ", ".join(words) or "nothing found"


def _again(finding: Finding, name: Callable[[str], str]) -> str:
    place = ""
    if finding.location is not None:
        place = f" {_file(finding.location.file, name)}:{finding.location.line}"
    return f"{finding.severity.value}[{finding.code}]{place}: {finding.count} times in all"
