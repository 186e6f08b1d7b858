"""The documentation of the rules, made from the docstrings of their modules.

``python -m pycuda_guard.checks.pages docs/rules`` writes the pages anew.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.checks.registry import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.checks.registry import RuleInfo

#: The sections of every page, in order.
SECTIONS = (
    "What it does",
    "Why is this bad",
    "Example",
    "Use instead",
    "Known limits",
    "References",
)

#: where the documentation is read
SITE = "https://pycuda-guard.readthedocs.io"

_SOURCES = {
    "api": "the calls as they are made",
    "touch": "the host's own accesses to memory",
    "kernel": "what instrumented kernels do",
    "races": "what instrumented kernels do, with `--races`",
    "exit": "the end of the run",
    "guard": "the guard itself",
}


def sections(rule: RuleInfo) -> dict[str, str]:
    """Return the sections of a rule's page by title."""
    found: dict[str, list[str]] = {}
    title = ""
    lines = rule.page.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"} and len(below) == len(line):
            title = line
            found[title] = []
        elif title and not (line and set(line) == {"-"}):
            found[title].append(line)
    return {title: "\n".join(body).strip("\n") for title, body in found.items()}


def example(rule: RuleInfo) -> str:
    """Return the script that the rule fires on."""
    return textwrap.dedent(sections(rule)["Example"]) + "\n"


def use_instead(rule: RuleInfo) -> str:
    """Return the script that is right."""
    return textwrap.dedent(sections(rule)["Use instead"]) + "\n"


def address(code: str) -> str:
    """Return where the page of a rule is read."""
    return f"{SITE}/en/stable/rules/{code}.html"


def document(rule: RuleInfo) -> str:
    """Return the Markdown document of one rule."""
    head = f"# {rule.code}: {rule.name}\n\n*{rule.severity.value.title()}, found by {_SOURCES[rule.source]}.*"
    return f"{head}\n\n{rule.page.strip()}\n"


def index(rules: Iterable[RuleInfo]) -> str:
    """Return the Markdown table of all rules."""
    rows = [
        f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.severity.value} | {rule.summary} |"
        for rule in rules
    ]
    head = ["# Rules", "", "| code | name | severity | fires when |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def documents() -> dict[str, str]:
    """Return all documents by file name."""
    pages = {f"{rule.code}.md": document(rule) for rule in RULES.values()}
    return {"index.md": index(RULES.values()), **pages}


def write(folder: Path) -> None:
    """Write the documents into ``folder``, and remove those of rules that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    made = documents()
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
