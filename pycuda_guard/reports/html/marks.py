"""Texts as HTML."""

from __future__ import annotations

import html
import re

from pycuda_guard.reports.text import visible

_CODE = re.compile(r"`([^`\n]+)`")


def escaped(text: object) -> str:
    """Return a text as HTML shows it, also in a quoted attribute."""
    return html.escape(visible(str(text)))


def prose(text: str) -> str:
    """Return a message as HTML: what is in backquotes as code, lines as lines."""
    return _CODE.sub(r"<code>\1</code>", escaped(text)).replace("\n", "<br>")
