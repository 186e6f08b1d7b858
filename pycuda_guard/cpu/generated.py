"""Parts of documentation files that are made of tables."""

from __future__ import annotations


def rewritten(text: str, begin: str, end: str, part: str) -> str:
    """Return a Markdown text with ``part`` in place of what lies between two marker lines."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{part}\n{end}{after}"
