"""Which lines of a CUDA C text are those of a function."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.source import code_only

if TYPE_CHECKING:
    from collections.abc import Iterator

#: what has braces around functions
_SCOPE = re.compile(r"\s*(?:extern\b|namespace\b)[^()]*")
_END = re.compile(r"[{};]")


class FunctionLines(NamedTuple):
    """Lines of a function, counted from 0: its first, the one with its opening brace, its last."""

    first: int
    opening: int
    last: int


def function_lines(source: str) -> Iterator[FunctionLines]:
    """Yield the lines of each function, and of each struct, that ``source`` has outside of others.

    A function without an end lasts until that of the text.
    """
    text = code_only(source)
    depth, start, opening = 0, 0, 0
    for match in _END.finditer(text):
        position = match.start()
        if match[0] == "{":
            if depth or not _SCOPE.fullmatch(text, start, position):
                depth += 1
            if depth == 1:
                opening = position
        elif match[0] == "}" and depth:
            depth -= 1
            if not depth:
                yield _lines(text, start, opening, position)
        if not depth:
            start = position + 1
    if depth:
        yield _lines(text, start, opening, len(text))


def _lines(text: str, start: int, opening: int, end: int) -> FunctionLines:
    first = start + len(text[start:opening]) - len(text[start:opening].lstrip())
    return FunctionLines(*(text.count("\n", 0, position) for position in (first, opening, end)))
