"""Where in a program's files the lines of generated kernel source come from.

A source that was made by ``%``, ``format()``, ``replace()``, an f-string or a template engine, or put
together of pieces, stands in no file as it is. But most of its lines do, or nearly: they are found by
aligning it with the string literals of a file. A line without a counterpart stays without a place, and
so does a function whose head only resembles that of another.
"""

from __future__ import annotations

import io
import re
import token
import tokenize
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.functions import function_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: which share of a source must be found, and how many characters word for word, in what it is made of
_LEAST_SHARE, _LEAST_EXACT = 0.5, 12

#: how alike a line between two that agree must be to its counterpart, and one that stands anywhere
_ALIKE_BETWEEN, _ALIKE_ANYWHERE = 0.5, 0.75

#: pieces that one source is put together of, lines of one, and pairs of lines between two that agree
_MOST_PIECES, _MOST_LINES, _MOST_PAIRS = 16, 4000, 2500

#: lines of a piece that need not agree with any line word for word
_LONGEST_FRAGMENT = 2

#: a placeholder, as several kinds of templates write it, is one word
_WORD = re.compile(r"%\(\w+\)[\d.]*[a-z]|%[\d.]*[a-z]\b|\$?\{\w+\}|\$\w+|\w+|[^\w\s]")
_PLACEHOLDER = re.compile(r"[%$@#]|\{ ?\w|<%")
_SPACE = re.compile(r"\s+")

#: names that a program replaces: ``text.replace("NAME", ...)``, and those of a table
_REPLACED = re.compile(r"""\breplace\(\s*(['"])(?P<call>[^'"\n]+)\1|(['"])(?P<key>\w+)\3\s*:""")
_OPENING = re.compile(r"[A-Za-z]*('''|\"\"\"|'|\")")


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that source may have been made of: its lines, and the file's line of each."""

    texts: tuple[str, ...]
    lines: tuple[int, ...]


@lru_cache(maxsize=64)
def formatted_strings(text: str) -> tuple[Piece, ...]:
    """Return the f-strings of a Python text as they are written."""
    rows = text.split("\n")
    found = []
    for (first, start), (last, end) in _spans(text):
        texts = rows[first - 1 : last]
        texts[-1] = texts[-1][:end]
        texts[0] = texts[0][start:]
        if opening := _OPENING.match(texts[0]):
            texts[-1] = texts[-1].removesuffix(opening[1])
            texts[0] = texts[0][opening.end() :]
        found.append(Piece(tuple(texts), tuple(range(first, last + 1))))
    return tuple(found)


@lru_cache(maxsize=64)
def replaced_names(text: str) -> frozenset[str]:
    """Return the names that a Python text replaces in others by something else."""
    return frozenset(match["call"] or match["key"] for match in _REPLACED.finditer(text))


def _spans(text: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield where f-strings begin and end: a token each, or since Python 3.12 several."""
    depth, start = 0, (0, 0)
    try:
        for entry in tokenize.generate_tokens(io.StringIO(text).readline):
            name = token.tok_name[entry.type]
            if name == "STRING" and depth == 0:
                if "f" in entry.string.partition(entry.string[-1])[0].lower():
                    yield entry.start, entry.end
            elif name in ("FSTRING_START", "TSTRING_START"):
                start = start if depth else entry.start
                depth += 1
            elif name in ("FSTRING_END", "TSTRING_END"):
                depth -= 1
                if depth == 0:
                    yield start, entry.end
    except (tokenize.TokenError, SyntaxError, ValueError):
        return


class Aligned(NamedTuple):
    """The file's line for each line of a source, 0 where there is none; and which share of it was found."""

    lines: tuple[int, ...]
    share: float


def align(
    source: str, pieces: Iterable[Piece], replaced: frozenset[str] = frozenset(), *, whole: bool = False
) -> Aligned | None:
    """Find the lines of ``source`` in what it may be made of; None if too few are found.

    Indentation does not count, nor do the doubled braces and percent signs of format strings. ``replaced``
    are names in the pieces that stand for something else. ``whole`` functions have their heads in the
    pieces, too.
    """
    wanted = [_plain(text) for text in source.split("\n")]
    size = sum(map(len, wanted))
    if not size or len(wanted) > _MOST_LINES:
        return None
    vocabulary = {text for text in wanted if text}
    candidates, fragments = [], []
    for piece in pieces:
        plain = _Plain([_plain(text) for text in piece.texts], piece.lines)
        if len(plain.texts) <= _MOST_LINES and not vocabulary.isdisjoint(plain.texts):
            candidates.append(plain)
        elif len(plain.texts) <= _LONGEST_FRAGMENT:
            fragments.append(plain)
    alignment = _Alignment(wanted)
    used: list[_Plain] = []
    while candidates and len(used) < _MOST_PIECES:
        blocks = [alignment.blocks(candidate) for candidate in candidates]
        weights = [sum(len(wanted[i + k]) for i, _, n in found for k in range(n)) for found in blocks]
        best = max(range(len(candidates)), key=weights.__getitem__)
        if not weights[best]:
            break
        used.append(candidates.pop(best))
        alignment.take(blocks[best], used[-1])
    if alignment.exact < _LEAST_EXACT:
        return None
    alignment.look_around([*used, *fragments])
    alignment.forget_strangers(source, replaced, whole=whole)
    share = alignment.found() / size
    return Aligned(tuple(alignment.places), share) if share >= _LEAST_SHARE else None


class _Plain(NamedTuple):
    """The lines of a piece without what a template may have changed, and the file's line of each."""

    texts: Sequence[str]
    lines: Sequence[int]


class _Alignment:
    """A source whose lines find their places piece by piece.

    ``exact`` counts characters of lines found word for word.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self.places = [0] * len(wanted)
        self.exact = 0
        # what stands at the place of a line, and how like it is
        self._origins: dict[int, tuple[str, float]] = {}

    def found(self) -> float:
        """Return how many characters have a place, those of a line that is only alike in part."""
        return sum(likeness * len(self._wanted[number]) for number, (_, likeness) in self._origins.items())

    def blocks(self, piece: _Plain) -> list[tuple[int, int, int]]:
        """Return where runs of lines without a place agree with a piece: their start in both, and length."""
        # a line that has a place agrees with nothing any more
        wanted = [
            text if text and not place else number
            for number, (text, place) in enumerate(zip(self._wanted, self.places, strict=True))
        ]
        blocks = SequenceMatcher(None, wanted, piece.texts, autojunk=False).get_matching_blocks()
        return [(block.a, block.b, block.size) for block in blocks]

    def take(self, blocks: Sequence[tuple[int, int, int]], piece: _Plain) -> None:
        """Give the lines of blocks their places, and those between them that are alike."""
        before = (0, 0)
        for own, other, count in blocks:
            self._between(range(before[0], own), range(before[1], other), piece)
            for k in range(count):
                self._place(own + k, piece.lines[other + k], piece.texts[other + k], 1)
                self.exact += len(self._wanted[own + k])
            before = (own + count, other + count)

    def _place(self, number: int, line: int, text: str, likeness: float) -> None:
        self.places[number] = line
        self._origins[number] = text, likeness

    def _between(self, own: range, other: range, piece: _Plain) -> None:
        """Pair lines in their order so that the pairs are as alike as can be."""
        rows = [i for i in own if not self.places[i] and self._wanted[i]]
        columns = [j for j in other if piece.texts[j]]
        if not rows or not columns or len(rows) * len(columns) > _MOST_PAIRS:
            return
        alike = [[_likeness(self._wanted[i], piece.texts[j]) for j in columns] for i in rows]
        # best[i][j]: likeness of the best pairing of what begins at i and j
        best = [[0.0] * (len(columns) + 1) for _ in range(len(rows) + 1)]
        for i in reversed(range(len(rows))):
            for j in reversed(range(len(columns))):
                pair = alike[i][j] + best[i + 1][j + 1] if alike[i][j] >= _ALIKE_BETWEEN else 0.0
                best[i][j] = max(pair, best[i + 1][j], best[i][j + 1])
        i = j = 0
        while i < len(rows) and j < len(columns):
            if best[i][j] == best[i + 1][j]:
                i += 1
            elif best[i][j] == best[i][j + 1]:
                j += 1
            else:
                self._place(rows[i], piece.lines[columns[j]], piece.texts[columns[j]], alike[i][j])
                i, j = i + 1, j + 1

    def look_around(self, pieces: Sequence[_Plain]) -> None:
        """Give lines that are left over, as those of a loop are, the place of the one line like them."""
        known: dict[str, int] = {}
        for piece in pieces:
            for text, line in zip(piece.texts, piece.lines, strict=True):
                known[text] = 0 if known.get(text, line) != line else line
        known.pop("", None)
        judged: dict[str, tuple[str, float]] = {}
        for number, text in enumerate(self._wanted):
            if self.places[number] or not text:
                continue
            if text not in judged:
                if len(judged) * len(known) > _MOST_PAIRS:
                    return
                judged[text] = _closest(text, known)
            closest, likeness = judged[text]
            if at := known.get(closest):
                self._place(number, at, closest, likeness)

    def forget_strangers(self, source: str, replaced: frozenset[str], *, whole: bool) -> None:
        """Take the places of functions whose heads are found at those of others; if ``whole``, or nowhere."""
        for function in function_lines(source):
            heads = [
                (self._wanted[number], self._origins[number][0])
                for number in range(function.first, function.opening + 1)
                if number in self._origins
            ]
            if all(_is_made_of(*head, replaced) for head in heads) and (heads or not whole):
                continue
            for number in range(function.first, function.last + 1):
                self.places[number] = 0
                self._origins.pop(number, None)


def _is_made_of(text: str, origin: str, replaced: frozenset[str]) -> bool:
    """Return whether a template's line, where it differs from ``text``, says that it may."""
    words, before = _WORD.findall(text), _WORD.findall(origin)
    matcher = SequenceMatcher(None, words, before, autojunk=False)
    for operation, start, end, first, last in matcher.get_opcodes():
        at_an_edge = first == last and first in (0, len(before))
        if operation == "equal" or at_an_edge:
            continue
        own, other = " ".join(words[start:end]), " ".join(before[first:last])
        if not (_PLACEHOLDER.search(other) or _is_replaced(own, other, replaced)):
            return False
    return True


def _is_replaced(text: str, origin: str, replaced: frozenset[str]) -> bool:
    """Return whether ``origin`` becomes ``text`` where some names in it are replaced."""
    pattern = re.escape(origin)
    for name in sorted(replaced, key=len, reverse=True):
        pattern = pattern.replace(re.escape(name), ".*")
    return ".*" in pattern and re.fullmatch(pattern, text) is not None


def _closest(text: str, known: dict[str, int]) -> tuple[str, float]:
    """Return the one line that is most like another, and how like; nothing if none is."""
    alike = {other: _likeness(text, other) for other in known}
    likeness = max(alike.values(), default=0.0)
    closest = [other for other, value in alike.items() if value == likeness]
    return (closest[0], likeness) if likeness >= _ALIKE_ANYWHERE and len(closest) == 1 else ("", 0.0)


def _plain(text: str) -> str:
    """Return a line without what a template may have changed of it but its placeholders."""
    return _SPACE.sub(" ", text).strip().replace("{{", "{").replace("}}", "}").replace("%%", "%")


def _likeness(one: str, other: str) -> float:
    """Return which share of the words of two lines agrees, from 0 to 1."""
    matcher = SequenceMatcher(None, _WORD.findall(one), _WORD.findall(other), autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= _ALIKE_BETWEEN else 0.0
