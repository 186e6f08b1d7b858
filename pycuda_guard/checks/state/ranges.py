"""Sets of bytes as sorted ranges, and boxes of strides turned into such."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Ranges = tuple[tuple[int, int], ...]  #: first byte and one past the last, sorted, apart from each other


def merged(parts: Iterable[tuple[int, int]]) -> Ranges:
    """Return the union of ranges in any order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def minus(left: Ranges, right: Ranges) -> Ranges:
    """Return what is in ``left`` and not in ``right``."""
    found: list[tuple[int, int]] = []
    at = 0
    for start, end in left:
        while at < len(right) and right[at][1] <= start:
            at += 1
        here = at
        while here < len(right) and right[here][0] < end:
            if right[here][0] > start:
                found.append((start, right[here][0]))
            start = max(start, right[here][1])
            here += 1
        if start < end:
            found.append((start, end))
    return tuple(found)


def common(left: Ranges, right: Ranges) -> Ranges:
    """Return what is in both."""
    found: list[tuple[int, int]] = []
    one = other = 0
    while one < len(left) and other < len(right):
        start = max(left[one][0], right[other][0])
        end = min(left[one][1], right[other][1])
        if start < end:
            found.append((start, end))
        if left[one][1] < right[other][1]:
            one += 1
        else:
            other += 1
    return tuple(found)


def moved(ranges: Ranges, by: int) -> Ranges:
    """Return the ranges ``by`` bytes further on."""
    return tuple((start + by, end + by) for start, end in ranges)


def size(ranges: Ranges) -> int:
    """Return how many bytes there are."""
    return sum(end - start for start, end in ranges)


def box(start: int, width: int, dimensions: Sequence[tuple[int, int]], most: int) -> Ranges | None:
    """Return ``width`` bytes at every sum of multiples of strides; None where it takes too many ranges.

    ``dimensions`` are counts and strides in bytes, in any order; ``most`` is how many ranges there may be.
    """
    rows = []
    for count, stride in sorted(dimensions, key=lambda dimension: abs(dimension[1])):
        if stride < 0:
            start, stride = start + (count - 1) * stride, -stride
        if stride <= width:
            width += stride * (count - 1)
        else:
            rows.append((count, stride))
    total = 1
    for count, _ in rows:
        total *= count
    if total > most:
        return None
    return merged((first, first + width) for first in _starts(start, rows))


def _starts(start: int, rows: list[tuple[int, int]]) -> Iterator[int]:
    if not rows:
        yield start
        return
    *inner, (count, stride) = rows
    for index in range(count):
        yield from _starts(start + index * stride, inner)
