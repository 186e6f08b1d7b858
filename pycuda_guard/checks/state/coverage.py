"""What a launch means to write by its own formulas and guard, and what its grid leaves out of that.

An index of the thread counts as unbounded, with the same block, where a condition that names an
argument bounds it; any other means nothing beyond the launch. A guard that moves along with an
offset among the arguments (``i = first + …; if (i < n)``) is the end of a row of such launches,
and no claim of one of them.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.checks.state import ranges
from pycuda_guard.checks.state.indices import Index, bound, expand, line
from pycuda_guard.events.formulas import BLOCK_DIMS, BLOCKS, FIRST_UNIFORM, GRID_DIMS, THREADS, Polynomial
from pycuda_guard.kernels.analysis.polynomials import slope, times, without_indices
from pycuda_guard.kernels.analysis.uniforms import add_uniforms

if TYPE_CHECKING:
    from pycuda_guard.checks.state.ranges import Ranges
    from pycuda_guard.events.formulas import Coverage, MeantStore
    from pycuda_guard.events.model import KernelSignature, Launch, ModuleId

_MAX_KNOWN = 4096

_HOLDS = {">=": operator.ge, "==": operator.eq, "!=": operator.ne}


class Meant(NamedTuple):
    """What a launch means to write through one parameter; all bytes count from the parameter's value.

    ``low`` and ``high`` bound it, ``missing`` is what no thread of the launch writes of it. Only where
    that is anything, ``total`` is how many bytes are meant, and ``grid`` covers them all with the same
    block; None where no grid does. ``width`` is that of the narrowest store. ``reach`` is the end of the
    last store that some thread is certain to make, or None.
    """

    parameter: int
    width: int
    low: int
    high: int
    reach: int | None
    missing: Ranges = ()
    total: int = 0
    grid: tuple[int, int, int] | None = None


class _Plan(NamedTuple):
    """What formulas need of a launch: position, size and offset of each argument that they name."""

    parameters: int
    needed: tuple[tuple[int, int, int], ...]


class Coverages:
    """What launches mean to write. A launch with the same numbers as one before is not worked out again."""

    def __init__(self) -> None:
        self._plans: dict[tuple[ModuleId, str], _Plan] = {}
        self._known: dict[tuple[object, ...], tuple[Meant, ...]] = {}

    def of_launch(self, launch: Launch, signature: KernelSignature) -> tuple[Meant, ...]:
        """Return what a launch means to write through each parameter, as far as that is known."""
        coverage, arguments = signature.coverage, launch.arguments
        if coverage is None or arguments is None:
            return ()
        plan = self._plans.get((launch.module, launch.function))
        if plan is None:
            plan = self._plans[launch.module, launch.function] = _plan(signature, coverage)
        if len(arguments) != plan.parameters:
            return ()
        values: list[int | None] = []
        for position, size, offset in plan.needed:
            argument = arguments[position]
            value = argument.value
            fits = argument.size == size and argument.offset == offset and isinstance(value, int)
            values.append(int(value) if fits and value is not None else None)
        key = (launch.module, launch.function, launch.block, launch.grid, *values)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            numbers = zip((position for position, _, _ in plan.needed), values, strict=True)
            known = {position: value for position, value in numbers if value is not None}
            found = self._known[key] = _work_out(launch, coverage, known)
        return found


def named_parameters(coverage: Coverage) -> set[int]:
    """Return the positions of the parameters whose values formulas take."""
    polynomials = [operand for uniform in coverage.uniforms for operand in uniform.operands]
    for store in coverage.stores:
        polynomials += [store.offset, *(condition for _, condition in store.conditions)]
    named = {name for polynomial in polynomials for _, symbols in polynomial.terms for name in symbols}
    return {name for name in named if 0 <= name < FIRST_UNIFORM}


def _plan(signature: KernelSignature, coverage: Coverage) -> _Plan:
    parameters = signature.parameters
    needed = sorted(name for name in named_parameters(coverage) if name < len(parameters))
    return _Plan(len(parameters), tuple((n, parameters[n].size, parameters[n].offset) for n in needed))


def _work_out(launch: Launch, coverage: Coverage, numbers: dict[int, int]) -> tuple[Meant, ...]:
    extents = ((*launch.grid, 1, 1)[:3], (*launch.block, 1, 1)[:3])
    for symbols, values in zip((GRID_DIMS, BLOCK_DIMS), extents, strict=True):
        numbers.update(zip(symbols, values, strict=True))
    add_uniforms(coverage.uniforms, numbers)
    behind = _behind(coverage)
    steps: dict[int, frozenset[int]] = {}
    for store in coverage.stores:
        named = _symbols(store.offset, behind) & frozenset(GRID_DIMS)
        steps[store.parameter] = steps.get(store.parameter, frozenset()) | named
    stores: dict[int, list[_Store]] = {}
    for store in coverage.stores:
        known = _known_store(store, numbers, extents, behind, steps[store.parameter])
        if known is not None:
            stores.setdefault(store.parameter, []).append(known)
    found = (_joined(parameter, known, extents[0]) for parameter, known in stores.items())
    return tuple(meant for meant in found if meant is not None)


class _Store(NamedTuple):
    """A store with the numbers of a launch put in: ``meant`` and ``made`` are the highest indices."""

    store: MeantStore
    start: int
    indices: tuple[Index, ...]
    conditions: tuple[tuple[str, int], ...]  # how each compares, and its constant
    low: tuple[int, ...]
    meant: tuple[int, ...]
    made: tuple[int, ...]

    @property
    def covers(self) -> bool:
        """Whether the launch does all that is meant."""
        return self.meant == self.made

    @property
    def reach(self) -> int | None:
        """The end of the store farthest up, if the thread that would make it gets there."""
        ends = zip(self.indices, self.low, self.made, strict=True)
        thread = [top if index.stride >= 0 else bottom for index, bottom, top in ends]
        for number, (kind, constant) in enumerate(self.conditions):
            steps = zip(self.indices, thread, strict=True)
            if not _HOLDS[kind](constant + sum(index.slopes[number] * value for index, value in steps), 0):
                return None
        strides = zip(self.indices, thread, strict=True)
        return self.start + sum(index.stride * value for index, value in strides) + self.store.width


def _known_store(
    store: MeantStore,
    numbers: dict[int, int],
    extents: tuple[tuple[int, ...], tuple[int, ...]],
    behind: Behind,
    steps: frozenset[int],
) -> _Store | None:
    place = line(store.offset, numbers)
    conditions = [line(condition, numbers) for _, condition in store.conditions]
    known = [found for found in conditions if found is not None]
    if place is None or len(known) < len(conditions):
        return None
    sizes = (*extents[0], *extents[1])
    single = [
        Index(
            stride,
            tuple(found.slopes[n] for found in known),
            sizes[n],
            _grows(store, n, behind, steps),
            n % 3,
        )
        for n, stride in enumerate(place.slopes)
    ]
    indices = _united(single)
    compared = tuple((kind, found.constant) for (kind, _), found in zip(store.conditions, known, strict=True))
    proofs = [n for n, (_, condition) in enumerate(store.conditions) if _names_argument(condition, behind)]
    reach = bound(indices, compared, proofs)
    if reach is None:
        return None
    low, high = reach
    made = tuple(min(top, index.extent - 1) for top, index in zip(high, indices, strict=True))
    return _Store(store, place.constant, indices, compared, low, high, made)


def _united(indices: list[Index]) -> tuple[Index, ...]:
    """Put blocks and the threads in them together, where both count in one row; drop what has no effect."""
    blocks, threads = indices[:3], indices[3:]
    found = []
    for block in blocks:
        for thread in threads:
            if thread.matters and not thread.grows and block.is_multiple_of(thread):
                threads.remove(thread)
                extent = thread.extent * block.extent
                block = thread._replace(
                    extent=extent, grows=block.grows, axis=block.axis, per_block=thread.extent
                )
                break
        found.append(block)
    rest = [thread._replace(axis=-1) for thread in threads]
    return tuple(index for index in (*found, *rest) if index.matters)


def _joined(parameter: int, stores: list[_Store], grid: tuple[int, ...]) -> Meant | None:
    """Put the stores through one parameter together; None where they take too many ranges to tell."""
    width = min(known.store.width for known in stores)
    spans = [_span(known) for known in stores]
    low, high = min(start for start, _ in spans), max(end for _, end in spans)
    reach = max((known.reach for known in stores if known.reach is not None), default=None)
    if all(known.covers for known in stores):
        return Meant(parameter, width, low, high, reach)
    meant: list[tuple[int, int]] = []
    made: list[tuple[int, int]] = []
    exact: dict[int, int] = {}
    coverable = True
    for known in stores:
        for highest, into in ((known.meant, meant), (known.made, made)):
            touched = expand(
                known.start, known.store.width, known.indices, known.conditions, known.low, highest
            )
            if touched is None:
                return None
            into.extend(touched)
        for index, top in zip(known.indices, known.meant, strict=True):
            if index.axis < 0 and top >= index.extent:
                coverable = False
            elif index.axis >= 0 and index.grows:
                exact[index.axis] = max(exact.get(index.axis, 1), top // index.per_block + 1)
    whole, done = ranges.merged(meant), ranges.merged(made)
    x, y, z = (exact.get(axis, blocks) for axis, blocks in enumerate(grid))
    covering = (x, y, z) if coverable else None
    missing = ranges.minus(whole, done)
    return Meant(parameter, width, low, high, reach, missing, ranges.size(whole), covering)


def _span(known: _Store) -> tuple[int, int]:
    low = high = known.start
    for index, first, last in zip(known.indices, known.low, known.meant, strict=True):
        ends = (index.stride * first, index.stride * last)
        low, high = low + min(ends), high + max(ends)
    return low, high + known.store.width


def _grows(store: MeantStore, number: int, behind: Behind, steps: frozenset[int]) -> bool:
    """Tell whether more blocks, or more threads a block, would only give an index further values.

    ``number`` counts blockIdx.x to .z, threadIdx.x to .z. ``steps`` are the extents of the grid that a thread
    goes on by.
    """
    index = (*BLOCKS, *THREADS)[number]
    conditions = [_symbols(condition, behind) for _, condition in store.conditions]
    extent = (*GRID_DIMS, *BLOCK_DIMS)[number]
    if extent in steps or any(extent in named for named in (_symbols(store.offset, behind), *conditions)):
        return False
    if number >= 3 and any(index in named and not named.isdisjoint(BLOCKS) for named in conditions):
        return False
    return not any(_is_end(store.offset, condition, index) for _, condition in store.conditions)


#: what each uniform is made of in the end: arguments and extents of the launch
Behind = dict[int, frozenset[int]]


def _behind(coverage: Coverage) -> Behind:
    found: Behind = {}
    for position, uniform in enumerate(coverage.uniforms):
        named = [_symbols(operand, found) for operand in uniform.operands]
        found[FIRST_UNIFORM + position] = frozenset().union(*named)
    return found


def _symbols(polynomial: Polynomial, behind: Behind) -> frozenset[int]:
    """Return the symbols that a polynomial is made of in the end."""
    own = {name for _, symbols in polynomial.terms for name in symbols}
    return frozenset().union(*(behind.get(name, (name,)) for name in own))


def _names_argument(polynomial: Polynomial, behind: Behind) -> bool:
    return any(name >= 0 for name in _symbols(polynomial, behind))


def _is_end(offset: Polynomial, condition: Polynomial, index: int) -> bool:
    """Tell whether an offset among the arguments moves the bytes and the guard alike.

    Then it acts on both as the index does: what it adds to the place is to what it takes from the guard as
    their slopes are.
    """
    place_slope, guard_slope = slope(offset, index), slope(condition, index)
    steps = {_without_block(symbols) for _, symbols in place_slope.terms}
    arguments = tuple(
        (factor, symbols)
        for factor, symbols in _alike(without_indices(offset), place_slope).terms
        if any(name >= 0 for name in symbols) and _without_block(symbols) not in steps
    )
    moving = times(Polynomial(arguments), guard_slope)
    ending = times(_alike(without_indices(condition), guard_slope), place_slope)
    factors = {symbols: factor for factor, symbols in ending.terms}
    return any(factors.get(symbols) == factor for factor, symbols in moving.terms)


def _alike(polynomial: Polynomial, other: Polynomial) -> Polynomial:
    """Return the terms that go in the direction of the first term of ``other``."""
    sign = other.terms[0][0] if other.terms else 0
    return Polynomial(tuple(term for term in polynomial.terms if term[0] * sign > 0))


def _without_block(symbols: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(name for name in symbols if name not in BLOCK_DIMS)
