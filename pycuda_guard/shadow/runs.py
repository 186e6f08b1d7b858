"""Turns a map of cells, each a byte that is 0 or 1, into ranges of bytes."""

from __future__ import annotations

Runs = tuple[tuple[int, int], ...]

#: ranges that are told at most; with more, the first and last touched cells of that many parts are
MOST_RUNS = 2048


def runs_of(cells: bytes, shift: int, size: int) -> tuple[Runs, bool]:
    """Return the ranges that cells of ``1 << shift`` bytes say were touched, of ``size`` bytes in all.

    Second comes whether these are all. Takes a time proportional to the map and to the ranges returned.
    """
    runs = _all(cells)
    exact = runs is not None
    if runs is None:
        runs = _some(cells)
    return tuple((start << shift, min(end << shift, size)) for start, end in runs), exact


def _all(cells: bytes) -> list[tuple[int, int]] | None:
    """Return the ranges of cells that are set; None where there are too many."""
    found: list[tuple[int, int]] = []
    start = cells.find(1)
    while start >= 0:
        if len(found) == MOST_RUNS:
            return None
        end = cells.find(0, start)
        if end < 0:
            end = len(cells)
        found.append((start, end))
        start = cells.find(1, end)
    return found


def _some(cells: bytes) -> list[tuple[int, int]]:
    """Return cells that are set: all of a part where they all are, else its first and its last."""
    found: list[tuple[int, int]] = []
    step = -(-len(cells) // (MOST_RUNS // 2))
    for low in range(0, len(cells), step):
        high = min(low + step, len(cells))
        first = cells.find(1, low, high)
        if first < 0:
            continue
        last = cells.rfind(1, low, high)
        pieces = [(first, first + 1), (last, last + 1)]
        if cells.count(1, first, last + 1) == last + 1 - first:
            pieces = [(first, last + 1)]
        for start, end in pieces:
            if found and found[-1][1] >= start:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
    return found
