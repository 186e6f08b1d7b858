"""Comments that silence findings: ``# pycuda-guard: ignore[PG302] reason``.

In Python they are comments as the tokenizer sees them; in the source of a kernel, which is a string literal
of the Python file, a file of its own or a text that the program made, they are comments of CUDA C. Nothing of
the program is imported or executed.
"""

from __future__ import annotations

import io
import re
import token
import tokenize
from dataclasses import dataclass, field

from pycuda_guard import texts
from pycuda_guard.texts import MARK

_DIRECTIVE = re.compile(r"(?:^|(?<=\s))(?:#|//|/\*)\s*pycuda-guard:\s*(?P<rest>[^#]*)")
_IGNORE = re.compile(r"ignore\s*\[(?P<codes>[^\]]*)\]\s*(?P<reason>.*)")
_C_COMMENT = re.compile(
    r"""
    //[^\n]*
  | /\*.*?(?:\*/|\Z)
  | "(?:\\.|[^"\\\n])*"?
  | (?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])*'?                     # not the separator in 1'000
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTES = re.compile(r"[A-Za-z]*('''|\"\"\"|'|\")")
_DEVICE_CODE = re.compile(r"\b__(?:global|device)__\b")


@dataclass(frozen=True, slots=True)
class Ignore:
    """A comment that silences findings of ``codes`` (or beginnings of codes) on its line.

    One that is not ``is_certain`` is in a string that may be no kernel at all.
    """

    file: str
    line: int
    codes: tuple[str, ...]
    reason: str
    is_certain: bool = True

    @property
    def words(self) -> tuple[tuple[str, ...], str]:
        """What it says, wherever it stands."""
        return self.codes, self.reason


@dataclass(frozen=True, slots=True)
class Comments:
    """The comments of a file: by line in Python, by line in kernels, and the lines that make no sense."""

    lines: list[str]
    in_python: dict[int, Ignore] = field(default_factory=dict)
    in_kernels: dict[int, Ignore] = field(default_factory=dict)
    malformed: list[int] = field(default_factory=list)

    @property
    def ignores(self) -> list[Ignore]:
        """All comments that silence something."""
        return [*self.in_python.values(), *self.in_kernels.values()]


_read: dict[str, Comments] = {}


def comments_of(file: str) -> Comments:
    """Return the comments of a file, cell or generated text; none where it can't be read. Never raises."""
    lines = texts.text_lines(file)
    known = _read.get(file)
    if known is None or known.lines is not lines:
        known = _read[file] = Comments(lines)
        if any(MARK in line for line in lines):
            if texts.is_cuda(file):
                _collect_cuda(file, known, "".join(lines), 1, is_certain=True)
            else:
                _collect(file, known)
    return known


def _collect(file: str, found: Comments) -> None:
    """Read the tokens of a file, up to the first that is no Python."""
    try:
        for entry in tokenize.generate_tokens(io.StringIO("".join(found.lines)).readline):
            if MARK not in entry.string:
                continue
            if entry.type == token.COMMENT:
                _add(file, found, found.in_python, entry.start[0], entry.string, is_certain=True)
            elif entry.type == token.STRING or token.tok_name[entry.type].endswith("STRING_MIDDLE"):
                _collect_kernel(file, found, entry)
    except (tokenize.TokenError, SyntaxError, ValueError):
        return


def _collect_kernel(file: str, found: Comments, entry: tokenize.TokenInfo) -> None:
    """Read the comments of CUDA C in a string literal."""
    quotes = _QUOTES.match(entry.string) if entry.type == token.STRING else None
    start = quotes.end() if quotes else 0
    body = entry.string[start : len(entry.string) - len(quotes[1])] if quotes else entry.string
    is_certain = _DEVICE_CODE.search(body) is not None
    _collect_cuda(file, found, body, entry.start[0], is_certain=is_certain)


def _collect_cuda(file: str, found: Comments, text: str, first: int, *, is_certain: bool) -> None:
    """Read the comments of CUDA C in a text that begins on line ``first``."""
    for match in _C_COMMENT.finditer(text):
        if match[0].startswith("/") and MARK in match[0]:
            line = first + text.count("\n", 0, match.start())
            for number, words in enumerate(match[0].split("\n"), line):
                _add(file, found, found.in_kernels, number, words.removesuffix("*/"), is_certain=is_certain)


def _add(
    file: str, found: Comments, place: dict[int, Ignore], line: int, text: str, *, is_certain: bool
) -> None:
    for directive in _DIRECTIVE.finditer(text):
        match = _IGNORE.match(directive["rest"])
        codes = tuple(word.strip() for word in match["codes"].split(",") if word.strip()) if match else ()
        if match is None or not codes:
            if is_certain:
                found.malformed.append(line)
            continue
        before = place.get(line)
        reason = match["reason"].strip(" \t-:")
        if before is not None:
            codes, reason = before.codes + codes, before.reason or reason
        place[line] = Ignore(file, line, codes, reason, is_certain)
