"""The directive ``{commands}``: the reference of the command line, made from its parser."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from sphinx.util.docutils import SphinxDirective

from pycuda_guard import cli

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx


class Commands(SphinxDirective):
    """A section for each command: what its class says, and a table of its options."""

    def run(self) -> list[Node]:
        """Return the sections."""
        parser = cli.build_parser()
        (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        lines: list[str] = []
        for name in cli.VERBS:
            lines += section(name, found.choices[name])
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def section(name: str, parser: argparse.ArgumentParser) -> list[str]:
    """Return the Markdown of one command."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)  # type: ignore[assignment]
    usage = re.sub(r"\n +", "\n    ", parser.format_usage().removeprefix("usage: ").strip())
    usage = usage.replace("\n    pycuda-guard", "\npycuda-guard")
    lines = [f"## pycuda-guard {name}", "", "```text", usage, "```", "", _prose(parser.description or ""), ""]
    rows = [row for action in parser._actions for row in _row(action)]
    return [*lines, "| argument | what it does |", "|---|---|", *rows, ""] if rows else lines


def _prose(text: str) -> str:
    """Return the help text of a command as Markdown: options are code."""
    return re.sub(r"(?<!\w)--?[a-z][a-z-]*(?: [A-Z]+)?", lambda match: f"`{match[0]}`", text)


def _row(action: argparse.Action) -> list[str]:
    if isinstance(action, argparse._HelpAction) or action.help is argparse.SUPPRESS:
        return []
    value = action.metavar if isinstance(action.metavar, str) else ""
    spelled = ", ".join(action.option_strings) or value
    if action.option_strings and value and action.nargs != 0:
        spelled += f" {value}"
    text = (action.help or "") % {"default": action.default, "prog": "pycuda-guard"}
    return [f"| `{_cell(spelled)}` | {_cell(_prose(text))} |"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
