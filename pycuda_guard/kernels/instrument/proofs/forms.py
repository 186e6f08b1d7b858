"""What the threads of a launch may have in one register, and arithmetic on that as the device does it.

A :class:`Form` is a sum: the address of a base, if any, each *dimension* times its step, and any number from
``low`` to ``high``. Dimensions are the indices of thread and block and the rounds of loops. A register of n
bits holds a number that is the same modulo 2^n. So additions and products need not be looked at more closely;
what a register's sign or size decides does not count unless all of the form has a place in the type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.ptx.ir import TYPE_SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: the extent of a dimension that nothing is known of: what depends on it fits no type
UNLIMITED = 1 << 200
_MOST_BOUNDS = 24

Steps = tuple[tuple[int, int], ...]  #: dimensions and their steps, none 0, in order
Bound = tuple[Steps, int]  #: a sum of dimensions, and what it is at most


class Form(NamedTuple):
    """See the module. ``base`` is the position of a root, or below 0 a variable; None: a number."""

    steps: Steps
    low: int
    high: int
    base: int | None = None


def constant(value: int) -> Form:
    """Return the form of a number."""
    return Form((), value, value)


def as_constant(form: Form | None) -> int | None:
    """Return the number that a form is, or None."""
    if form is None or form.steps or form.low != form.high or form.base is not None:
        return None
    return form.low


def limits(kind: str) -> tuple[int, int]:
    """Return the least and the largest number of an integer type."""
    bits = 8 * TYPE_SIZES[kind]
    return (-1 << (bits - 1), (1 << (bits - 1)) - 1) if kind[0] == "s" else (0, (1 << bits) - 1)


def plus(left: Form, right: Form, factor: int = 1) -> Form | None:
    """Return ``left + factor * right``; None where it is no number added to one base."""
    base = left.base
    if right.base is not None:
        if base is None and factor == 1:
            base = right.base
        elif base == right.base and factor == -1:
            base = None
        else:
            return None
    low, high = (right.low, right.high) if factor >= 0 else (right.high, right.low)
    steps = dict(left.steps)
    for dimension, step in right.steps:
        steps[dimension] = steps.get(dimension, 0) + factor * step
    kept = tuple(sorted(entry for entry in steps.items() if entry[1]))
    return Form(kept, left.low + factor * low, left.high + factor * high, base)


def scaled(form: Form, factor: int) -> Form | None:
    """Return ``factor * form``."""
    return plus(constant(0), form, factor) if form.base is None else None


class Space:
    """The dimensions of a launch: their extents, and sums of them that are known to be bounded."""

    def __init__(self) -> None:
        self.extents: dict[int, int] = {}
        self.bounds: list[Bound] = []

    def most(self, steps: Steps, bounds: Sequence[Bound]) -> int:
        """Return what a sum of dimensions is at most. Any of the bounds may be used, where it fits."""
        best = sum(step * (self.extents[dimension] - 1) for dimension, step in steps if step > 0)
        if len(steps) < 1:
            return best
        known = dict(steps)
        for index, (support, limit) in enumerate(bounds[:_MOST_BOUNDS]):
            first, unit = support[0]
            step = known.get(first, 0)
            if step * unit <= 0 or any(known.get(d, 0) * unit != step * s for d, s in support):
                continue
            inside = {dimension for dimension, _ in support}
            rest = tuple(entry for entry in steps if entry[0] not in inside)
            best = min(best, abs(step) * limit // abs(unit) + self.most(rest, bounds[index + 1 :]))
        return best

    def least(self, steps: Steps, bounds: Sequence[Bound]) -> int:
        """Return what a sum of dimensions is at least."""
        return -self.most(negative(steps), bounds)

    def range(self, form: Form, bounds: Sequence[Bound] | None = None) -> tuple[int, int]:
        """Return the least and the largest number of a form, its base not counted."""
        if not form.steps:
            return form.low, form.high
        known = self.bounds if bounds is None else bounds
        return form.low + self.least(form.steps, known), form.high + self.most(form.steps, known)

    def is_possible(self, bounds: Iterable[Bound]) -> bool:
        """Tell whether each of the bounds may hold for some thread."""
        return all(self.least(steps, ()) <= limit for steps, limit in bounds)

    def seen_as(self, form: Form | None, kind: str) -> Form:
        """Return what an instruction finds that reads a register as a type."""
        least, largest = limits(kind)
        if form is not None and form.base is None:
            low, high = self.range(form)
            turns = (low - least) // (largest - least + 1) * (largest - least + 1)
            if high - turns <= largest:
                return form if not turns else form._replace(low=form.low - turns, high=form.high - turns)
        return Form((), least, largest)


def negative(steps: Steps) -> Steps:
    """Return the steps the other way round."""
    return tuple((dimension, -step) for dimension, step in steps)
