"""The string literals of a Python text, and on which of its lines each line of their values starts."""

from __future__ import annotations

import io
import re
import token
import tokenize
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_PREFIX = re.compile(r"([A-Za-z]*)('''|\"\"\"|'|\")")
_PIECE = re.compile(
    r"\\(?:\n|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|[0-7]{1,3}|.)|\n|[^\\\n]+"
)
_RAW_PIECE = re.compile(r"\n|[^\n]+")
_SIMPLE_ESCAPES = {
    "\n": "", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b",
    "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Literal:
    """A string literal: its value, and the file's line on which each line of the value starts."""

    value: str
    lines: tuple[int, ...]


@lru_cache(maxsize=64)
def string_literals(text: str) -> tuple[Literal, ...]:
    """Return the plain string literals of a Python text, adjacent ones joined."""
    found = []
    group: list[tokenize.TokenInfo] = []
    formatted = False
    try:
        for entry in tokenize.generate_tokens(io.StringIO(text).readline):
            if entry.type == token.STRING:
                group.append(entry)
            elif token.tok_name[entry.type].startswith(("FSTRING", "TSTRING")):
                formatted = True
            elif entry.type not in (token.NL, token.COMMENT):
                if group and not formatted and (literal := _joined(group)):
                    found.append(literal)
                group, formatted = [], False
    except (tokenize.TokenError, SyntaxError, ValueError, KeyError):
        return ()
    return tuple(found)


def _joined(group: list[tokenize.TokenInfo]) -> Literal | None:
    """Join adjacent literals, following on which line of the file each line of the value starts."""
    value: list[str] = []
    lines = [group[0].start[0]]
    line_is_empty = True
    for entry in group:
        match = _PREFIX.match(entry.string)
        if match is None or not set("bft").isdisjoint(match[1].lower()):
            return None
        raw = "r" in match[1].lower()
        line = entry.start[0]
        body = entry.string[match.end() : len(entry.string) - len(match[2])]
        for piece in (_RAW_PIECE if raw else _PIECE).findall(body):
            text = piece if raw or piece[0] != "\\" else _unescaped(piece)
            if text and line_is_empty:
                lines[-1] = line
            line += piece.count("\n")
            if text:
                value.append(text)
                line_is_empty = text == "\n"
                if line_is_empty:
                    lines.append(line)
    return Literal("".join(value), tuple(lines))


def _unescaped(piece: str) -> str:
    """Return what an escape sequence of a string literal stands for."""
    kind, digits = piece[1], piece[2:]
    if kind in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[kind]
    if kind in "xuU" and digits:
        return chr(int(digits, 16))
    if kind in "01234567":
        return chr(int(piece[1:], 8))
    if kind == "N" and digits:
        return unicodedata.lookup(digits[1:-1])
    return piece
