"""Findings as HTML for the output of a notebook's cell. Whatever comes from the program is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pycuda_guard.findings import Severity
from pycuda_guard.reports.terminal import brief, count_words, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.findings import Finding

#: of the bar beside a finding: seen on light and on dark ground
_COLOURS = {Severity.ERROR: "#d1242f", Severity.WARNING: "#bf8700", Severity.NOTE: "#218bff"}


class CellReport:
    """The findings of one cell: HTML in a notebook, text elsewhere. ``name`` says what a file is called."""

    def __init__(
        self,
        findings: Sequence[Finding],
        suppressed: Sequence[tuple[Finding, str]],
        name: Callable[[str], str],
    ) -> None:
        self._findings = sorted(findings, key=lambda finding: -finding.severity.rank)
        self._suppressed = suppressed
        self._name = name

    def __repr__(self) -> str:
        """Return what the terminal would show."""
        lines = [self._head(), *(render(finding, name=self._name) for finding in self._findings)]
        return "\n".join([*lines, *map(self._suppressed_text, self._suppressed)])

    def _repr_html_(self) -> str:
        """Return the findings to unfold; errors and warnings are open."""
        parts = [f"<div><b>pycuda-guard</b>: {escape(self._head().partition(': ')[2])}</div>"]
        for finding in self._findings:
            head, _, rest = render(finding, name=self._name).partition("\n")
            is_open = "" if finding.severity is Severity.NOTE else " open"
            parts.append(
                f'<details{is_open} style="border-left: 4px solid {_COLOURS[finding.severity]}; '
                f'padding-left: 8px; margin: 6px 0"><summary style="cursor: pointer">{escape(head)}</summary>'
                f'<pre style="margin: 4px 0; white-space: pre-wrap">{escape(rest)}</pre></details>'
            )
        parts += [f"<div>{escape(self._suppressed_text(pair))}</div>" for pair in self._suppressed]
        return '<div class="pycuda-guard">' + "".join(parts) + "</div>"

    def _head(self) -> str:
        silenced = f", {len(self._suppressed)} suppressed" if self._suppressed else ""
        return f"pycuda-guard: {count_words(self._findings)}{silenced} in this cell"

    def _suppressed_text(self, pair: tuple[Finding, str]) -> str:
        finding, reason = pair
        return f"suppressed ({reason}): {brief(finding, name=self._name)}"
