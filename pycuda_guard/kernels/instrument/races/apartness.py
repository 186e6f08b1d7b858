"""Whether the places that the threads of a launch access are apart, by the numbers of the launch.

An address is a sum of the thread's indices, each times a step. Where each step is larger than all that
the smaller ones add up to, threads with different indices are at different addresses.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.formulas import BLOCK_DIMS, BLOCKS, GRID_DIMS, THREADS
from pycuda_guard.kernels.analysis.uniforms import add_uniforms
from pycuda_guard.kernels.instrument.races.formulas import FIRST_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycuda_guard.events.formulas import Polynomial
    from pycuda_guard.kernels.instrument.races.model import Exclusion, Place


_INDICES = frozenset((*THREADS, *BLOCKS))


class _Linear(NamedTuple):
    """A sum: ``start``, each index times its step, and any multiple of ``period`` (0: none)."""

    start: int
    steps: tuple[tuple[int, int], ...]
    period: int


class Launched:
    """The numbers of one launch: ``values`` of the parameters by position, extents of block and grid."""

    def __init__(self, values: Mapping[int, int], block: Sequence[int], grid: Sequence[int]) -> None:
        self.numbers = dict(values)
        self.extents: dict[int, int] = {}
        for names, indices, sizes in ((BLOCK_DIMS, THREADS, block), (GRID_DIMS, BLOCKS, grid)):
            for position, (name, index) in enumerate(zip(names, indices, strict=True)):
                size = sizes[position] if position < len(sizes) else 1
                self.numbers[name] = self.extents[index] = size

    def has_no_races(self, exclusion: Exclusion, allocations: Sequence[object]) -> bool:
        """Tell whether that is certain. ``allocations``: what each root points into, None where unknown."""
        add_uniforms(exclusion.uniforms, self.numbers)
        groups: dict[object, list[int]] = {}
        for index, use in enumerate(exclusion.roots):
            groups.setdefault(allocations[use.position], []).append(index)
        for members in groups.values():
            uses = [exclusion.roots[index] for index in members]
            if not any(use.writes for use in uses) or all(use.is_harmless and use.writes for use in uses):
                continue
            if not all(use.places for use in uses):
                return False
            if not self.are_apart([place for use in uses for place in use.places], self.extents):
                return False
        inside = {index: 1 if index in BLOCKS else size for index, size in self.extents.items()}
        return all(self.are_apart(places, inside) for places in exclusion.shared)

    def are_apart(self, places: Sequence[Place], extents: Mapping[int, int]) -> bool:
        """Tell whether no thread writes what another accesses at some of the places."""
        kinds: dict[tuple[tuple[tuple[int, int], ...], int], list[tuple[int, Place]]] = {}
        for place in places:
            linear = self._linear(place.offset)
            if linear is None:
                return False
            kinds.setdefault((linear.steps, linear.period), []).append((linear.start, place))
        if len(kinds) > 1 and any(
            index in BLOCKS and extents[index] < self.extents[index]
            for steps, _ in kinds
            for index, _ in steps
        ):
            return False  # in shared memory, at a place that depends on the block
        taken: list[tuple[int, int, bool]] = []  # from, to, whether it is written
        for (steps, period), members in kinds.items():
            if period and len(kinds) > 1 and any(place.writes for place in places):
                return False
            for cluster in _clusters(members, steps, period):
                written = any(place.writes for _, place in cluster)
                low = min(start for start, _ in cluster)
                high = max(start + place.width for start, place in cluster)
                if written and not self._is_injective(cluster, high - low, steps, period, extents):
                    return False
                spread = [step * (extents[index] - 1) for index, step in steps]
                low += sum(each for each in spread if each < 0)
                high += sum(each for each in spread if each > 0)
                for other_low, other_high, other_written in taken:
                    if low < other_high and other_low < high and (written or other_written):
                        return False
                taken.append((low, high, written))
        return True

    def _is_injective(
        self,
        cluster: Sequence[tuple[int, Place]],
        span: int,
        steps: tuple[tuple[int, int], ...],
        period: int,
        extents: Mapping[int, int],
    ) -> bool:
        """Tell whether threads are at least ``span`` bytes from one another."""
        extents = dict(extents)
        common = set(cluster[0][1].conditions).intersection(*(place.conditions for _, place in cluster[1:]))
        bounds = self._take_in(common, extents)
        used = dict(steps)
        if any(size > 1 and not used.get(index) for index, size in extents.items()):
            return False
        taken: list[int] = []
        reach = 0
        for index, step in sorted(used.items(), key=lambda entry: abs(entry[1])):
            if extents[index] <= 1:
                continue
            if abs(step) < reach + span:
                return False
            taken.append(index)
            reach += abs(step) * (extents[index] - 1)
            reach = min([reach, *_bounded(taken, used, bounds)])
        return not period or period >= reach + span

    def _take_in(
        self, conditions: Iterable[tuple[str, Polynomial]], extents: dict[int, int]
    ) -> list[tuple[dict[int, int], int]]:
        """Make extents less where conditions say so; return sums of indices and what they are at most."""
        bounds = []
        for relation, polynomial in conditions:
            linear = self._linear(polynomial)
            if linear is None or linear.period or relation == "!=":
                continue
            steps = {index: step for index, step in linear.steps if extents[index] > 1}
            if relation == "==" and len(steps) == 1:
                extents[next(iter(steps))] = 1
            elif relation == ">=" and steps and all(step < 0 for step in steps.values()):
                if linear.start < 0:
                    continue  # no thread gets there
                bounds.append(({index: -step for index, step in steps.items()}, linear.start))
        for steps, most in bounds:
            if len(steps) == 1:
                ((index, step),) = steps.items()
                extents[index] = min(extents[index], most // step + 1)
        return bounds

    def _linear(self, polynomial: Polynomial) -> _Linear | None:
        """Return a polynomial as a sum; None where something in it has no number."""
        start = period = 0
        steps: dict[int, int] = {}
        for factor, symbols in polynomial.terms:
            indices = []
            is_counted = False
            for name in symbols:
                if name in _INDICES:
                    indices.append(name)
                elif name > FIRST_COUNT:
                    is_counted = True
                elif name in self.numbers:
                    factor *= self.numbers[name]
                else:
                    return None
            if not indices and not is_counted:
                start += factor
            elif is_counted and not indices:
                period = gcd(period, factor)
            elif len(indices) == 1 and not is_counted:
                steps[indices[0]] = steps.get(indices[0], 0) + factor
            elif factor:
                return None
        return _Linear(start, tuple(sorted((i, s) for i, s in steps.items() if s)), period)


def _bounded(
    indices: Sequence[int], steps: Mapping[int, int], bounds: Iterable[tuple[dict[int, int], int]]
) -> Iterable[int]:
    """Yield what the steps of some indices add up to at most, where a bound tells."""
    if any(steps[index] < 0 for index in indices):
        return
    for sums, most in bounds:
        if all(index in sums for index in indices):
            yield max(steps[index] * most // sums[index] for index in indices)


def _clusters(
    members: list[tuple[int, Place]], steps: tuple[tuple[int, int], ...], period: int
) -> list[list[tuple[int, Place]]]:
    """Divide places that differ in their start alone into those that are near one another."""
    if period:
        first = members[0][0]
        near = [((start - first + period // 2) % period - period // 2 + first, p) for start, p in members]
        return [near]
    members = sorted(members, key=lambda member: member[0])
    least = min((abs(step) for _, step in steps), default=0)
    found = [[members[0]]]
    for start, place in members[1:]:
        low = found[-1][0][0]
        if start + place.width - low <= least or start < max(s + p.width for s, p in found[-1]):
            found[-1].append((start, place))
        else:
            found.append([(start, place)])
    return found
