"""Where in the user's files a line of kernel source stands.

Kernel source is usually a string literal of the calling module, or a file beside it. Where the very text (or
what ``textwrap.dedent`` makes of it) is found in one, a line of the kernel is a line of the file.
Formatted and generated sources are aligned with the literals and files that they may be made of; lines that
are in none of them are those of the generated text.
"""

from __future__ import annotations

import linecache
import os
import sys
import textwrap
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.kernels.literals import string_literals
from pycuda_guard.kernels.templates import Aligned, Piece, align, formatted_strings, replaced_names
from pycuda_guard.texts import CUDA_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

#: what PyCUDA's SourceModule puts around source, unless told ``no_extern_c``
WRAPPER = 'extern "C" {\n', "\n}\n"

#: files of CUDA C beside a program that are looked at, and bytes of one
_MOST_FILES, _LARGEST_FILE = 100, 1 << 20

#: entries of a folder that are looked at, and files that are aligned with a source line by line
_MOST_ENTRIES, _MOST_ALIGNED = 1000, 4


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """A kernel source found in a file: ``lines[n - 1]`` is the file's line of its line n, or 0."""

    filename: str
    lines: tuple[int, ...]

    def line(self, number: int) -> int | None:
        """Return the file's line for line ``number`` of the kernel source; None where there is none."""
        return (self.lines[number - 1] or None) if 1 <= number <= len(self.lines) else None


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


def _in_templates(source: str, programs: Sequence[str]) -> SourcePlace | None:
    """Find the Python file, or else the file of CUDA C, whose text ``source`` may be made of."""
    opening, closing = WRAPPER
    is_wrapped = source.startswith(opening) and source.endswith(closing)
    inner = source[len(opening) : len(source) - len(closing)] if is_wrapped else source
    found = _in_programs(inner, programs) or _closest_file(inner, programs)
    if found is None:
        return None
    filename, aligned = found
    return SourcePlace(filename, (0, *aligned.lines, 0, 0) if is_wrapped else aligned.lines)


def _in_programs(source: str, programs: Iterable[str]) -> tuple[str, Aligned] | None:
    """Return the first Python file whose strings ``source`` may be made of."""
    for program in programs:
        text = "".join(linecache.getlines(program))
        plain = [Piece(tuple(literal.value.split("\n")), literal.lines) for literal in string_literals(text)]
        if aligned := align(source, [*plain, *formatted_strings(text)], replaced_names(text)):
            return program, aligned
    return None


def _closest_file(source: str, programs: Sequence[str]) -> tuple[str, Aligned] | None:
    """Return the file of CUDA C beside Python files that has most of ``source``."""
    replaced = frozenset().union(*(replaced_names("".join(linecache.getlines(name))) for name in programs))
    wanted = {line.strip() for line in source.split("\n")}
    files = dict.fromkeys(file for program in programs for file in _cuda_files(program))
    texts = {file: _text_of(file).split("\n") for file in files}
    in_common = {file: sum(map(len, wanted.intersection(map(str.strip, texts[file])))) for file in files}
    best: tuple[str, Aligned] | None = None
    for file in nlargest(_MOST_ALIGNED, files, in_common.__getitem__):
        piece = Piece(tuple(texts[file]), tuple(range(1, len(texts[file]) + 1)))
        aligned = align(source, [piece], replaced, whole=True)
        if aligned and (best is None or aligned.share > best[1].share):
            best = os.path.abspath(file), aligned
    return best


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
    """Yield the files of CUDA C that a Python file may have read its kernels from, likely ones first.

    They are named on the command line or in the Python file, or in its folder, or in the current one where
    that has the Python file somewhere in it.
    """
    folder = Path(program).parent
    text = "".join(linecache.getlines(program))
    named = [literal.value for literal in string_literals(text) if literal.value.endswith(CUDA_SUFFIXES)]
    files = [place / name for name in named if "\n" not in name for place in (folder, Path())]
    given = [Path(word) for word in sys.argv[1:] if word.endswith(CUDA_SUFFIXES)]
    beside = islice(chain.from_iterable(map(_beside, _folders(program))), _MOST_FILES)
    yield from {os.path.abspath(file): file for file in (*given, *files, *beside)}.values()


def _folders(program: str) -> list[Path]:
    """Return the folders whose files a program may have read."""
    folder = Path(os.path.abspath(program)).parent
    try:
        current = Path.cwd()
    except OSError:
        return [folder]
    return [folder, current] if current in folder.parents else [folder]


def _beside(folder: Path) -> Iterator[Path]:
    """Yield the files of CUDA C in a folder, and then those in its folders."""
    entries = _entries(folder)
    yield from (entry for entry in entries if entry.name.endswith(CUDA_SUFFIXES))
    for entry in entries:
        if not entry.name.startswith((".", "__")) and os.path.isdir(entry):
            yield from (inner for inner in _entries(entry) if inner.name.endswith(CUDA_SUFFIXES))


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing where it can't be read."""
    try:
        return sorted(islice(folder.iterdir(), _MOST_ENTRIES))
    except OSError:
        return []


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
    for literal in string_literals(text):
        for value in dict.fromkeys((literal.value, textwrap.dedent(literal.value))):
            start = value.find(source)
            if start >= 0:
                first = value.count("\n", 0, start)
                yield literal.lines[first : first + count]
                break
