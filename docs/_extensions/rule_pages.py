"""Puts the pages of the rules under their index, which is a plain table for other readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

TREE = "\n```{toctree}\n:hidden:\n:glob:\n\nPG*\n```\n"


def add_tree(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the tree of pages to the index of the rules."""
    if name == "rules/index":
        source[0] += TREE


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook."""
    app.connect("source-read", add_tree)
    return {"parallel_read_safe": True}
