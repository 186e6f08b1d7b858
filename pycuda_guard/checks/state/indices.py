"""The indices of a launch's threads, the bounds that conditions give them, and what they address."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.checks.state import ranges
from pycuda_guard.events.formulas import BLOCKS, THREADS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pycuda_guard.checks.state.ranges import Ranges
    from pycuda_guard.events.formulas import Polynomial

_MAX_RANGES = 40_000
_ROUNDS = 4

_ORDER = {name: position for position, name in enumerate((*BLOCKS, *THREADS))}

Conditions = tuple[tuple[str, int], ...]  #: how each compares to 0 (``>=``, ``==``, ``!=``), and its constant


class Line(NamedTuple):
    """A number that is affine in blockIdx.x to .z and threadIdx.x to .z."""

    constant: int
    slopes: tuple[int, ...]


class Index(NamedTuple):
    """An index of the launch from 0 to below ``extent``.

    ``stride`` is what a step of it adds to the place, in bytes; ``slopes`` what it adds to each condition.
    ``grows``: it means something beyond the launch. ``axis`` is that of the grid that it grows with, -1
    for none, by ``per_block`` for each block.
    """

    stride: int
    slopes: tuple[int, ...]
    extent: int
    grows: bool
    axis: int
    per_block: int = 1

    @property
    def matters(self) -> bool:
        """Whether anything depends on it."""
        return self.stride != 0 or any(self.slopes)

    def is_multiple_of(self, thread: Index) -> bool:
        """Tell whether a step of this one is as all steps of ``thread`` together."""
        pairs = zip((self.stride, *self.slopes), (thread.stride, *thread.slopes), strict=True)
        return all(mine == other * thread.extent for mine, other in pairs)


def line(polynomial: Polynomial, numbers: dict[int, int]) -> Line | None:
    """Return a polynomial with the numbers of a launch put in; None where one is not known."""
    constant, slopes = 0, [0] * len(_ORDER)
    for factor, symbols in polynomial.terms:
        at = None
        for name in symbols:
            if name in _ORDER:
                at = _ORDER[name]
            elif name in numbers:
                factor *= numbers[name]
            else:
                return None
        if at is None:
            constant += factor
        else:
            slopes[at] += factor
    return Line(constant, tuple(slopes))


def bound(
    indices: Sequence[Index], conditions: Conditions, proofs: Collection[int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the lowest and highest values of the indices; None where no thread meets the conditions.

    What grows is bounded by the conditions of ``proofs``, or by those that keep it below something bounded
    so, or else by the launch; then all conditions hold.
    """
    low = [0] * len(indices)
    high: list[int | None] = [None if index.grows else index.extent - 1 for index in indices]
    if not _tighten(low, high, indices, conditions, proofs):
        return None
    bounded = [index for index, top in zip(indices, high, strict=True) if index.grows and top is not None]
    behind = [n for n in range(len(conditions)) if any(index.slopes[n] > 0 for index in bounded)]
    if not _tighten(low, high, indices, conditions, [*proofs, *behind]):
        return None
    limits = [index.extent - 1 if top is None else top for top, index in zip(high, indices, strict=True)]
    final: list[int | None] = list(limits)
    if not _tighten(low, final, indices, conditions, range(len(conditions))):
        return None
    return tuple(low), tuple(limit if top is None else top for limit, top in zip(limits, final, strict=True))


def _tighten(
    low: list[int],
    high: list[int | None],
    indices: Sequence[Index],
    conditions: Conditions,
    chosen: Collection[int],
) -> bool:
    """Narrow the bounds by the chosen conditions; False where nothing is left."""
    for _ in range(_ROUNDS):
        for number in chosen:
            kind, constant = conditions[number]
            slopes = [index.slopes[number] for index in indices]
            if kind in (">=", "==") and not _narrow(low, high, slopes, constant):
                return False
            if kind == "==" and not _narrow(low, high, [-slope for slope in slopes], -constant):
                return False
    return all(top is None or bottom <= top for bottom, top in zip(low, high, strict=True))


def _narrow(low: list[int], high: list[int | None], slopes: list[int], constant: int) -> bool:
    """Narrow the bounds by ``constant + slopes · indices >= 0``."""
    tops: list[int | None] = []
    for slope, bottom, top in zip(slopes, low, high, strict=True):
        tops.append(slope * bottom if slope <= 0 else None if top is None else slope * top)
    for position, slope in enumerate(slopes):
        others = [top for other, top in enumerate(tops) if other != position]
        if slope == 0 or None in others:
            continue
        most = constant + sum(top for top in others if top is not None)
        top = high[position]
        if slope < 0:
            limit = most // -slope
            high[position] = limit if top is None else min(top, limit)
        else:
            low[position] = max(low[position], -(most // slope))
        top = high[position]
        if top is not None and low[position] > top:
            return False
    return None in tops or constant + sum(top for top in tops if top is not None) >= 0


class _TooManyError(Exception):
    pass


def expand(
    start: int,
    width: int,
    indices: Sequence[Index],
    conditions: Conditions,
    low: Sequence[int],
    high: Sequence[int],
) -> Ranges | None:
    """Return the bytes at ``start`` plus the strides of all indices within bounds that meet the conditions.

    None where that takes too many ranges.
    """
    if any(bottom > top for bottom, top in zip(low, high, strict=True)):
        return ()
    joint = [
        number
        for number, (kind, _) in enumerate(conditions)
        if kind == "!=" or sum(index.slopes[number] != 0 for index in indices) > 1
    ]
    if not joint:
        first = start + sum(index.stride * bottom for index, bottom in zip(indices, low, strict=True))
        sides = [
            (top - bottom + 1, index.stride) for index, bottom, top in zip(indices, low, high, strict=True)
        ]
        return ranges.box(first, width, sides, _MAX_RANGES)
    order = sorted(range(len(indices)), key=lambda position: -abs(indices[position].stride))
    walk = _Walk(
        width,
        [indices[position] for position in order],
        [(conditions[number][0], number) for number in joint],
        [low[position] for position in order],
        [high[position] for position in order],
    )
    try:
        walk.step(0, start, [conditions[number][1] for number in joint])
    except _TooManyError:
        return None
    return ranges.merged(walk.found)


class _Walk:
    """Goes through the outer indices one by one, and solves the innermost."""

    def __init__(
        self,
        width: int,
        indices: list[Index],
        conditions: list[tuple[str, int]],
        low: list[int],
        high: list[int],
    ) -> None:
        self.width = width
        self.indices = indices
        self.kinds = [kind for kind, _ in conditions]
        self.slopes = [[index.slopes[number] for _, number in conditions] for index in indices]
        self.low = low
        self.high = high
        self.found: list[tuple[int, int]] = []
        self.steps = 0

    def step(self, depth: int, start: int, constants: list[int]) -> None:
        """Go through the index at ``depth``, those outside of it being fixed."""
        slopes, stride = self.slopes[depth], self.indices[depth].stride
        low, high, left_out = self.low[depth], self.high[depth], set()
        innermost = depth == len(self.indices) - 1
        for kind, slope, constant, most in zip(
            self.kinds, slopes, constants, self._most(depth, constants), strict=True
        ):
            if kind == ">=":
                low, high = _within(low, high, slope, most)
            elif innermost and slope == 0:
                if (constant == 0) is not (kind == "=="):
                    return
            elif innermost and kind == "==":
                low, high = _within(low, high, slope, constant)
                low, high = _within(low, high, -slope, -constant)
            elif innermost and constant % slope == 0:
                left_out.add(-constant // slope)
        if not innermost:
            for value in range(low, high + 1):
                self._count()
                moved = [constant + slope * value for constant, slope in zip(constants, slopes, strict=True)]
                self.step(depth + 1, start + stride * value, moved)
            return
        for value in sorted(value for value in left_out if low <= value <= high):
            self._stretch(start, stride, low, value - 1)
            low = value + 1
        self._stretch(start, stride, low, high)

    def _most(self, depth: int, constants: list[int]) -> list[int]:
        """Return how large each condition can get by the indices further in."""
        found = list(constants)
        for inner in range(depth + 1, len(self.indices)):
            for number, slope in enumerate(self.slopes[inner]):
                found[number] += max(slope * self.low[inner], slope * self.high[inner])
        return found

    def _stretch(self, start: int, stride: int, low: int, high: int) -> None:
        if low > high:
            return
        if abs(stride) <= self.width:
            ends = (start + stride * low, start + stride * high)
            self._count()
            self.found.append((min(ends), max(ends) + self.width))
            return
        for value in range(low, high + 1):
            self._count()
            self.found.append((start + stride * value, start + stride * value + self.width))

    def _count(self) -> None:
        self.steps += 1
        if self.steps > _MAX_RANGES:
            raise _TooManyError


def _within(low: int, high: int, slope: int, most: int) -> tuple[int, int]:
    """Narrow an interval by ``most + slope * value >= 0``."""
    if slope == 0:
        return (low, high) if most >= 0 else (1, 0)
    if slope < 0:
        return low, min(high, most // -slope)
    return max(low, -(most // slope)), high
