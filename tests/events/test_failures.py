"""Exceptions carry the numbers of the failed calls that they stand for."""

from __future__ import annotations

import pytest

from pycuda_guard.events import failures
from pycuda_guard.events.model import Extent, KernelSignature, Parameter, ParameterKind


def raised(error: Exception, numbers: tuple[int, ...] = ()) -> Exception:
    for number in numbers:
        failures.mark(error, number)
    return error


def test_an_exception_that_was_never_marked_stands_for_nothing():
    assert failures.sequences(ValueError()) == frozenset()


def test_marks_add_up():
    assert failures.sequences(raised(MemoryError(), (3, 5))) == {3, 5}


def test_causes_and_contexts_count():
    try:
        try:
            raise raised(MemoryError(), (3,))
        except MemoryError as error:
            raise raised(RuntimeError(), (4,)) from error
    except RuntimeError as error:
        outer = error
    assert failures.sequences(outer) == {3, 4}
    try:
        try:
            raise raised(MemoryError(), (7,))
        except MemoryError:
            raise KeyError from None
    except KeyError as error:
        assert failures.sequences(error) == {7}


def test_groups_and_circles_are_walked_through():
    inner = raised(OSError(), (1,))
    group = ExceptionGroup("several", [inner, raised(ValueError(), (2,))])
    inner.__context__ = group
    assert failures.sequences(group) == {1, 2}


@pytest.mark.parametrize(
    ("extent", "end"),
    [
        (Extent(16), 16),
        (Extent(16, offset=8), 24),
        (Extent(16, rows=3, pitch=64), 144),
        (Extent(16, rows=3, pitch=64, slices=2, slice_pitch=256), 400),
        (Extent(-4, offset=8), 4),
    ],
)
def test_an_extent_ends_after_its_last_byte(extent, end):
    assert extent.end == end


def test_a_signature_knows_how_much_is_packed():
    pointer = Parameter("x", 0, 8, 8, ParameterKind.POINTER)
    count = Parameter("n", 8, 4, 4, ParameterKind.INTEGER)
    assert KernelSignature("k", (pointer, count)).packed_size == 12
    assert KernelSignature("k", ()).packed_size == 0
