"""Puts the pages of the rules under their index, which is a plain table elsewhere, and colours examples."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

TREE = "\n```{toctree}\n:hidden:\n:glob:\n\nPG*\n```\n"

#: an indented block, after a title or an empty line
_EXAMPLE = re.compile(r"(?:(?<=\n\n)|(?<=-\n))(?: {4}.*\n|\n(?= {4}))+")


def prepare(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the tree of pages to the index of the rules; mark the examples of a rule as Python."""
    if name == "rules/index":
        source[0] += TREE
    elif name.startswith("rules/"):
        source[0] = _EXAMPLE.sub(lambda match: f"\n```python\n{textwrap.dedent(match[0])}```\n", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook."""
    app.connect("source-read", prepare)
    return {"parallel_read_safe": True}
