"""Sets of bytes, compared with Python's own sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings, strategies as st

from pycuda_guard.shadow.intervals import Intervals

RANGES = st.tuples(st.integers(0, 40), st.integers(0, 40))
# a busy machine is no reason to fail
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
STEPS = st.lists(st.tuples(st.booleans(), RANGES), max_size=25)


def followed(steps):
    """Return the intervals and the set after the same steps."""
    found, expected = Intervals(), set()
    for adds, (start, end) in steps:
        if adds:
            found.add(start, end)
            expected |= set(range(start, end))
        else:
            found.remove(start, end)
            expected -= set(range(start, end))
    return found, expected


@patient
@given(STEPS)
def test_adding_and_removing_is_that_of_sets(steps):
    found, expected = followed(steps)
    ranges = list(found)
    assert {number for start, end in ranges for number in range(start, end)} == expected
    assert all(end < start for (_, end), (start, _) in pairwise(ranges))
    assert len(found) == len(ranges)


@patient
@given(STEPS, RANGES)
def test_questions_about_a_range(steps, asked):
    found, expected = followed(steps)
    inside = set(range(*asked))
    assert found.covers(*asked) == (inside <= expected)
    within = found.within(*asked)
    assert {number for start, end in within for number in range(start, end)} == inside & expected
