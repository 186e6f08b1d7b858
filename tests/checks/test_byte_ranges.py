"""Ranges and boxes of bytes, against sets of bytes."""

from __future__ import annotations

import random
from itertools import pairwise, product

import pytest

from pycuda_guard.checks.state import ranges
from pycuda_guard.checks.state.indices import Index, bound, expand


def as_set(found: ranges.Ranges) -> set[int]:
    return {byte for start, end in found for byte in range(start, end)}


def some(source: random.Random) -> list[tuple[int, int]]:
    starts = [source.randrange(60) for _ in range(source.randrange(6))]
    return [(start, start + source.randrange(9)) for start in starts]


@pytest.mark.parametrize("seed", range(40))
def test_sets_of_ranges(seed):
    source = random.Random(seed)
    left, right = ranges.merged(some(source)), ranges.merged(some(source))
    assert as_set(ranges.minus(left, right)) == as_set(left) - as_set(right)
    assert as_set(ranges.common(left, right)) == as_set(left) & as_set(right)
    assert as_set(ranges.moved(left, 7)) == {byte + 7 for byte in as_set(left)}
    assert ranges.size(left) == len(as_set(left))
    assert all(first[1] < second[0] for first, second in pairwise(left))


@pytest.mark.parametrize("seed", range(150))
def test_bytes_that_meet_conditions(seed):
    source = random.Random(seed)
    kinds = [source.choice([">=", ">=", "==", "!="]) for _ in range(source.randrange(4))]
    strides = [source.choice([-8, -4, 0, 1, 4, 12, 40]) for _ in range(source.randrange(1, 4))]
    slopes = [tuple(source.randrange(-2, 3) for _ in kinds) for _ in strides]
    extents = [source.randrange(1, 7) for _ in strides]
    indices = [Index(*parts, False, -1) for parts in zip(strides, slopes, extents, strict=True)]
    conditions = tuple((kind, source.randrange(-6, 7)) for kind in kinds)
    holds = {">=": lambda value: value >= 0, "==": lambda value: value == 0, "!=": lambda value: value != 0}
    expected: set[int] = set()
    for values in product(*map(range, extents)):
        pairs = list(zip(indices, values, strict=True))
        compared = [
            constant + sum(index.slopes[number] * value for index, value in pairs)
            for number, (_, constant) in enumerate(conditions)
        ]
        if all(holds[kind](value) for kind, value in zip(kinds, compared, strict=True)):
            place = 1000 + sum(index.stride * value for index, value in pairs)
            expected.update(range(place, place + 4))
    reach = bound(indices, conditions, ())
    found = expand(1000, 4, indices, conditions, *reach) if reach is not None else ()
    assert found is not None
    assert as_set(found) == expected


def test_a_box_of_too_many_pieces_is_none():
    assert ranges.box(0, 4, [(1000, 8), (1000, 16_000)], 10_000) is None
    assert ranges.box(0, 4, [(1000, 4), (1000, 4000)], 10_000) == ((0, 4_000_000),)
