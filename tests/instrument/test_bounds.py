"""Bounds that the host computes: one check for what is accessed around an address, or at one index."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pycuda_guard.kernels.instrument.bounds import UNBOUNDED, Bound, Reach

WORD = 1 << 64
BASE = 0x7F0000000000


def holds(words, number):
    low, extent = words
    return (number - low) % WORD < extent


def is_inside(reach, address, base, size):
    return base <= address + reach.low and address + reach.high <= base + size


places = st.integers(-64, 128)


@given(st.integers(0, 64), st.integers(-16, 16), st.integers(1, 16), places)
def test_one_root(size, low, width, place):
    reach = Reach(0, low, low + width, 1)
    words = Bound((reach,), False).words([BASE + 8], [(BASE, size)])
    assert holds(words, BASE + place) == is_inside(reach, BASE + place, BASE, size)


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 48), places), min_size=2, max_size=4), places)
def test_one_number_added_to_several_roots(arrays, number):
    reaches = tuple(Reach(index, low, low + 4, 1) for index, (_, _, low) in enumerate(arrays))
    ranges = [(BASE + (index << 20), size) for index, (size, _, _) in enumerate(arrays)]
    roots = [base + into for (base, _), (_, into, _) in zip(ranges, arrays, strict=True)]
    words = Bound(reaches, True).words(roots, ranges)
    expected = all(is_inside(reach, roots[reach.root] + number, *ranges[reach.root]) for reach in reaches)
    assert holds(words, number % WORD) == expected


@pytest.mark.parametrize("root", [BASE + 1, BASE + 2, BASE + 3])
def test_a_root_that_is_misaligned(root):
    assert Bound((Reach(0, 0, 4, 4),), False).words([root], [(BASE, 64)]) == (0, 0)
    assert Bound((Reach(0, 0, 4, 1),), False).words([root], [(BASE, 64)]) != (0, 0)


def test_no_allocation():
    assert Bound((Reach(0, 0, 4, 4),), False).words([0], [(0, 0)])[1] == 0


@given(st.integers(0, WORD - 2))
def test_unbounded(address):
    assert holds(UNBOUNDED, address)
