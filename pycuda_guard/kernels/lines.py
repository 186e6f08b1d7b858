"""Where in the user's files a line of kernel source stands.

Kernel source is usually a string literal of the calling module, or a file beside it. Where the very text (or
what ``textwrap.dedent`` makes of it) is found in one, a line of the kernel is a line of the file.
Formatted and generated sources are aligned with the literals and files that they may be made of; lines that
are in none of them are those of the generated text.
"""

from __future__ import annotations

import io
import linecache
import os
import re
import textwrap
import token
import tokenize
import unicodedata
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.callsite import CUDA_SUFFIXES
from pycuda_guard.kernels.templates import Piece, align, formatted_strings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: what PyCUDA's SourceModule puts around source, unless told ``no_extern_c``
WRAPPER = 'extern "C" {\n', "\n}\n"

#: files of CUDA C beside a program that are looked at, and bytes of one
_MOST_FILES, _LARGEST_FILE = 100, 1 << 20

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
class SourcePlace:
    """A kernel source found in a file: ``lines[n - 1]`` is the file's line of its line n, or 0."""

    filename: str
    lines: tuple[int, ...]

    def line(self, number: int) -> int | None:
        """Return the file's line for line ``number`` of the kernel source; None where there is none."""
        return (self.lines[number - 1] or None) if 1 <= number <= len(self.lines) else None


@dataclass(frozen=True, slots=True)
class _Literal:
    """A string literal: its value, and the file's line on which each line of the value starts."""

    value: str
    lines: tuple[int, ...]


def locate_source(source: str, frames: Iterable[tuple[str, int]]) -> SourcePlace | None:
    """Find ``source`` among the string literals of the files of ``frames`` (file name and line).

    Where it is in none of them, it is looked for in files of CUDA C that are beside those or named in them,
    and then for what it may have been made of.

    ``source`` may be the text as written or with PyCUDA's ``extern "C"`` wrapper around it; lines
    count in the text that is given. The first file that has it wins; of several literals in it the
    one that starts last at or before the frame's line, else the first. None where no literal has
    the text. Never raises for files that can't be read or aren't Python.
    """
    frames = tuple(frames)
    for filename, line in frames:
        text = "".join(linecache.getlines(filename))
        if places := find_literals(source, text):
            before = [lines for lines in places if lines and _first(lines) <= line]
            return SourcePlace(filename, max(before, key=_first) if before else places[0])
    programs = tuple(dict.fromkeys(filename for filename, _ in frames))
    return _in_cuda_file(source, programs) or _in_templates(source, programs)


def find_literals(source: str, text: str) -> tuple[tuple[int, ...], ...]:
    """Return, for each string literal of the Python text that contains ``source``, its lines there.

    Each is the line of ``text`` for each line of ``source``. A wrapper's own lines stand for the
    first and the last line of what it wraps.
    """
    return _wrapped(source, partial(_found, text))


def _wrapped(source: str, find: Callable[[str], Iterator[tuple[int, ...]]]) -> tuple[tuple[int, ...], ...]:
    """Return what ``find`` yields for ``source``, or else for what is in its wrapper."""
    if not source.strip():
        return ()
    direct = tuple(find(source))
    opening, closing = WRAPPER
    if direct or not (source.startswith(opening) and source.endswith(closing)):
        return direct
    inner = source[len(opening) : len(source) - len(closing)]
    if not inner.strip():
        return ()
    return tuple((lines[0], *lines, lines[-1], lines[-1]) for lines in find(inner))


def _in_templates(source: str, programs: Iterable[str]) -> SourcePlace | None:
    """Find the literals of a Python file, or else a file of CUDA C, that ``source`` may be made of."""
    opening, closing = WRAPPER
    is_wrapped = source.startswith(opening) and source.endswith(closing)
    inner = source[len(opening) : len(source) - len(closing)] if is_wrapped else source
    around = ((0,), (0, 0)) if is_wrapped else ((), ())
    for filename, pieces in _origins(programs):
        if lines := align(inner, pieces):
            return SourcePlace(filename, (*around[0], *lines, *around[1]))
    return None


def _origins(programs: Iterable[str]) -> Iterator[tuple[str, Iterable[Piece]]]:
    """Yield files that a source may be made of, and the pieces of text in each."""
    programs = tuple(programs)
    for program in programs:
        text = "".join(linecache.getlines(program))
        plain = [Piece(tuple(literal.value.split("\n")), literal.lines) for literal in _literals(text)]
        yield program, [*plain, *formatted_strings(text)]
    for program in programs:
        for file in _cuda_files(program):
            if texts := _text_of(file).split("\n"):
                yield os.path.abspath(file), [Piece(tuple(texts), tuple(range(1, len(texts) + 1)))]


def _in_cuda_file(source: str, programs: Iterable[str]) -> SourcePlace | None:
    """Find ``source`` in a file of CUDA C that one of these Python files names, or that is beside it."""
    for program in programs:
        for file in _cuda_files(program):
            if lines := _wrapped(source, partial(_lines_in, _text_of(file))):
                return SourcePlace(os.path.abspath(file), lines[0])
    return None


def _text_of(file: Path) -> str:
    """Return the text of a file; empty where it is too long, or can't be read."""
    try:
        return file.read_text(encoding="utf-8") if file.stat().st_size <= _LARGEST_FILE else ""
    except (OSError, ValueError):
        return ""


def _cuda_files(program: str) -> Iterator[Path]:
    """Yield the files of CUDA C that a Python file may have read its kernels from, likely ones first."""
    folder = Path(program).parent
    text = "".join(linecache.getlines(program))
    named = [literal.value for literal in _literals(text) if literal.value.endswith(CUDA_SUFFIXES)]
    files = [place / name for name in named if "\n" not in name for place in (folder, Path())]
    yield from dict.fromkeys([*files, *islice(_beside(folder), _MOST_FILES)])


def _beside(folder: Path) -> Iterator[Path]:
    """Yield the files of CUDA C in a folder, and then those in its folders."""
    try:
        entries = sorted(folder.iterdir())
        yield from (entry for entry in entries if entry.name.endswith(CUDA_SUFFIXES))
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith((".", "__")):
                yield from (inner for inner in sorted(entry.iterdir()) if inner.name.endswith(CUDA_SUFFIXES))
    except OSError:
        return


def _lines_in(text: str, source: str) -> Iterator[tuple[int, ...]]:
    """Yield the lines of ``text`` on which each line of ``source`` stands."""
    start = text.find(source)
    if start >= 0:
        first = text.count("\n", 0, start) + 1
        yield tuple(range(first, first + source.count("\n") + 1))


def _first(lines: tuple[int, ...]) -> int:
    return lines[0]


def _found(text: str, source: str) -> Iterator[tuple[int, ...]]:
    count = source.count("\n") + 1
    for literal in _literals(text):
        for value in dict.fromkeys((literal.value, textwrap.dedent(literal.value))):
            start = value.find(source)
            if start >= 0:
                first = value.count("\n", 0, start)
                yield literal.lines[first : first + count]
                break


@lru_cache(maxsize=64)
def _literals(text: str) -> tuple[_Literal, ...]:
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


def _joined(group: list[tokenize.TokenInfo]) -> _Literal | None:
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
    return _Literal("".join(value), tuple(lines))


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
