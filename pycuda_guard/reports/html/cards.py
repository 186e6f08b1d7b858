"""The findings as cards: message, help, the lines of the story, pictures, the way to the timeline."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pycuda_guard.checks.registry import RULES
from pycuda_guard.findings import Severity
from pycuda_guard.reports.html import pictures
from pycuda_guard.reports.html.marks import escaped, prose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.html.naming import Names
    from pycuda_guard.reports.html.timeline import Story, Timeline
    from pycuda_guard.reports.run import Run

#: lines of source shown before and after the one that counts
_CONTEXT = 3

#: characters of a line of source that are shown
_WIDEST = 240


def findings(run: Run, timeline: Timeline, names: Names) -> str:
    """Return the cards of all findings, the worst first, and a list of those that were suppressed."""
    order = sorted(range(len(run.findings)), key=lambda index: -run.findings[index].severity.rank)
    cards = [_card(index, run.findings[index], timeline.stories[index], names) for index in order]
    found = "\n".join(cards) or "<p class='nothing'>Nothing was found.</p>"
    return f"{_filters(run.findings) if cards else ''}\n{found}\n{_suppressed(run, names)}"


def _filters(found: Sequence[Finding]) -> str:
    severities = "".join(
        f"<label class='{severity.value}'><input type='checkbox' name='severity' value='{severity.value}' "
        f"checked> {severity.value}s</label>"
        for severity in Severity
        if any(finding.severity is severity for finding in found)
    )
    rules = {finding.code: finding.rule for finding in found}
    options = "".join(
        f"<option value='{escaped(code)}'>{escaped(code)} {escaped(rule)}</option>"
        for code, rule in sorted(rules.items())
    )
    return (
        "<form id='filters' class='filters' role='search' aria-label='Filter the findings'>"
        f"<fieldset><legend>Severity</legend>{severities}</fieldset>"
        f"<label>Rule <select name='code'><option value=''>all</option>{options}</select></label>"
        "<label>Text <input type='search' name='text' placeholder='name, file, message'></label>"
        "<output id='shown' aria-live='polite'></output></form>"
    )


def _card(index: int, finding: Finding, story: Story, names: Names) -> str:
    severity = finding.severity.value
    times = f" <span class='times'>{finding.count} times</span>" if finding.count > 1 else ""
    place = ""
    if finding.location is not None:
        where = _place(finding.location.file, finding.location.line, names)
        place = f"<span class='place'>{escaped(where)}</span>"
    is_open = "" if finding.severity is Severity.NOTE else " open"
    return (
        f"<details class='finding {severity}' id='finding-{index}' data-severity='{severity}' "
        f"data-code='{escaped(finding.code)}'{is_open}>\n"
        f"<summary><h3><span class='badge'>{severity}</span> "
        f"<span class='code'>{escaped(finding.code)}</span> {escaped(finding.rule)}{times}</h3>{place}"
        "</summary>\n"
        f"<div class='body'><div class='words'>{_words(finding, story)}"
        f"{pictures.figures(finding, story)}</div>\n"
        f"<div class='sources'>{_sources(finding, names)}</div></div></details>"
    )


def _words(finding: Finding, story: Story) -> str:
    """Return what a finding says."""
    parts = [f"<p class='message'>{prose(finding.message)}</p>"]
    if finding.help:
        parts.append(f"<p class='help'><b>Help</b> {prose(finding.help)}</p>")
    if story.row is not None:
        parts.append(
            f"<p><a class='to-event' href='#timeline' data-row='{story.row}'>Show event {story.number} "
            "in the timeline</a></p>"
        )
    rule = RULES.get(finding.code)
    if rule is not None:
        parts.append(
            f"<details class='rule'><summary>About {escaped(finding.code)}</summary>"
            f"<p>{prose(rule.summary)}</p><pre tabindex='0'>{escaped(rule.page.strip())}</pre></details>"
        )
    return "".join(parts)


def _sources(finding: Finding, names: Names) -> str:
    """Return the lines of the story: the program's, the kernel's, and the others."""
    parts = []
    kernel = finding.kernel
    is_in_kernel = kernel is not None and kernel.line is not None
    if finding.location is not None:
        location = finding.location
        title = "the launch" if is_in_kernel else "the line to change"
        parts.append(_excerpt(title, location.file, location.line, names, _CONTEXT))
    if kernel is not None and kernel.file and kernel.line:
        parts.append(_excerpt(f"kernel `{kernel.name}`", kernel.file, kernel.line, names, _CONTEXT))
    parts += [_excerpt(other.message, other.file, other.line, names, 0) for other in finding.related]
    return "".join(parts)


def _excerpt(title: str, file: str, line: int, names: Names, context: int) -> str:
    """Return a line of source with ``context`` lines around it, marked."""
    lines = names.lines(file)
    place = escaped(_place(file, line, names))
    caption = f"<figcaption>{prose(title)} <span class='place'>{place}</span></figcaption>"
    if not 0 < line <= len(lines):
        return f"<figure class='source'>{caption}</figure>"
    first, last = max(line - context, 1), min(line + context, len(lines))
    while first < line and not lines[first - 1].strip():
        first += 1
    while last > line and not lines[last - 1].strip():
        last -= 1
    chosen = [text.rstrip("\r\n").expandtabs(4)[:_WIDEST] for text in lines[first - 1 : last]]
    shown = textwrap.dedent("\n".join(chosen)).split("\n")
    rows = "".join(
        f"<span class='line{' marked' if number == line else ''}'><span class='number'>{number}</span>"
        f"{f'<mark>{escaped(text)}</mark>' if number == line else escaped(text)}\n</span>"
        for number, text in enumerate(shown, first)
    )
    return f"<figure class='source'>{caption}<pre tabindex='0'>{rows}</pre></figure>"


def _place(file: str, line: int, names: Names) -> str:
    return f"{names.name(file)}:{line}"


def _suppressed(run: Run, names: Names) -> str:
    """Return the findings that the user has silenced, with the reasons."""
    if not run.suppressed:
        return ""
    items = []
    for finding, reason in run.suppressed:
        location = finding.location
        place = f" {_place(location.file, location.line, names)}" if location is not None else ""
        why = f" — {reason}" if reason else ""
        items.append(f"<li>{escaped(f'{finding.code} {finding.rule}{place}{why}')}</li>")
    summary = f"<summary>{len(items)} suppressed</summary>"
    return f"<details class='suppressed'>{summary}<ul>{''.join(items)}</ul></details>"
