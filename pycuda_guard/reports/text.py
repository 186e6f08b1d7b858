"""Texts of the program in reports: shown whole, and taken as text whatever is in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

#: control characters that move the cursor, colour the rest of the screen or are illegal in XML,
#: halves of surrogate pairs, what turns the direction of writing, and what is no character
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """Return ``text`` with escapes in Python's notation (``\\x1b``) for what can't be shown or written.

    Tabs and newlines stay. The result can be encoded in UTF-8 and is legal in XML.
    """
    return _INVISIBLE.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    if character == "\r":
        return "\\r"
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def encodable(text: str, stream: TextIO) -> str:
    """Return ``text`` with escapes for what ``stream`` has no bytes for; whole, where it takes any text."""
    encoding = getattr(stream, "encoding", None)
    return text.encode(encoding, "backslashreplace").decode(encoding) if encoding else text
