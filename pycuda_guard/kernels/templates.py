"""Where in a program's files the lines of generated kernel source come from.

A source that was made by ``%``, ``format()``, ``replace()``, an f-string or a template engine, or put
together of pieces, stands in no file as it is. But most of its lines do, or nearly: they are found by
aligning it with the string literals of a file. A line without a counterpart stays without a place.
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
_SPACE = re.compile(r"\s+")
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


def align(source: str, pieces: Iterable[Piece]) -> tuple[int, ...] | None:
    """Return the file's line for each line of ``source``, 0 where there is none; None if too few are found.

    Indentation does not count, nor do the doubled braces and percent signs of format strings.
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
    return tuple(alignment.places) if alignment.found >= _LEAST_SHARE * size else None


class _Plain(NamedTuple):
    """The lines of a piece without what a template may have changed, and the file's line of each."""

    texts: Sequence[str]
    lines: Sequence[int]


class _Alignment:
    """A source whose lines find their places piece by piece.

    ``exact`` counts characters of lines found word for word, ``found`` those of lines alike, too.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self.places = [0] * len(wanted)
        self.exact = 0
        self.found = 0.0

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
                self._place(own + k, piece.lines[other + k], 1)
                self.exact += len(self._wanted[own + k])
            before = (own + count, other + count)

    def _place(self, number: int, line: int, likeness: float) -> None:
        self.places[number] = line
        self.found += likeness * len(self._wanted[number])

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
                self._place(rows[i], piece.lines[columns[j]], alike[i][j])
                i, j = i + 1, j + 1

    def look_around(self, pieces: Sequence[_Plain]) -> None:
        """Give lines that are left over, as those of a loop are, the place of the one line like them."""
        known: dict[str, int] = {}
        for piece in pieces:
            for text, line in zip(piece.texts, piece.lines, strict=True):
                known[text] = 0 if known.get(text, line) != line else line
        known.pop("", None)
        judged: dict[str, tuple[int, float]] = {}
        for number, text in enumerate(self._wanted):
            if self.places[number] or not text:
                continue
            if text not in judged:
                if len(judged) * len(known) > _MOST_PAIRS:
                    return
                judged[text] = _closest(text, known)
            line, likeness = judged[text]
            if line:
                self._place(number, line, likeness)


def _closest(text: str, known: dict[str, int]) -> tuple[int, float]:
    """Return the place of the one line that is most like another, and how like; zeros if none is."""
    alike = {other: _likeness(text, other) for other in known}
    likeness = max(alike.values(), default=0.0)
    closest = [other for other, value in alike.items() if value == likeness]
    return (known[closest[0]], likeness) if likeness >= _ALIKE_ANYWHERE and len(closest) == 1 else (0, 0.0)


def _plain(text: str) -> str:
    """Return a line without what a template may have changed of it but its placeholders."""
    return _SPACE.sub(" ", text).strip().replace("{{", "{").replace("}}", "}").replace("%%", "%")


def _likeness(one: str, other: str) -> float:
    """Return which share of the words of two lines agrees, from 0 to 1."""
    matcher = SequenceMatcher(None, _WORD.findall(one), _WORD.findall(other), autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= _ALIKE_BETWEEN else 0.0
