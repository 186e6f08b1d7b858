"""Shows for the numbers of one launch that none of its accesses can be bad.

Each node is computed once, for all threads together, as a form. A condition that surely holds at an access is
a bound on a sum of the thread's indices; with these bounds, the least and the largest address that the access
can have are known. A loop's rounds are one more index: a register that grows by the same number in each is
its first value plus that often the number, and how many rounds there are follows from the test at which
another begins. No number of a round can have wrapped around before: each before it has passed that test.

What is shown is too much rather than too little: registers of which nothing is known may hold anything, a
condition that is no comparison of such sums is left out, and an access that can't be shown to be right makes
the whole launch unproven. It then runs with checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.instrument.proofs.forms import (
    UNLIMITED,
    Bound,
    Form,
    Space,
    constant,
    limits,
    negative,
    plus,
)
from pycuda_guard.kernels.instrument.proofs.model import FIRST_LOOP
from pycuda_guard.kernels.instrument.proofs.operations import OPERATIONS
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycuda_guard.kernels.instrument.proofs.model import Condition, Demand, Loop, Node, Proof

_SWAPPED = {"gt": "lt", "hi": "lt", "le": "ge", "ls": "ge", "lo": "lt", "hs": "ge"}
_TURNED = frozenset({"gt", "hi", "le", "ls"})
_INVERSE = {"lt": "ge", "ge": "lt", "eq": "ne", "ne": "eq"}


class Reach(NamedTuple):
    """Bytes that a launch may access through a root: from ``low`` up to ``high`` after its value.

    The root must be a multiple of ``alignment``.
    """

    low: int
    high: int
    alignment: int


def prove(
    proof: Proof, packed: bytes, block: Sequence[int], grid: Sequence[int], dynamic: int
) -> dict[int, Reach] | None:
    """Return what a launch accesses at most through each root; None where something may be wrong.

    ``packed`` are the arguments, ``dynamic`` the bytes of dynamic shared memory. All accesses are right where
    each reach lies in the allocation that its root points into; roots without one are not accessed.
    """
    return _Prover(proof, packed, block, grid, dynamic).prove()


class _Comparison(NamedTuple):
    """``left`` is less than ``right`` (``lt``), at least that (``ge``), equal (``eq``) or not (``ne``)."""

    relation: str
    left: Form | None
    right: Form | None
    kind: str


class _Prover:
    def __init__(
        self, proof: Proof, packed: bytes, block: Sequence[int], grid: Sequence[int], dynamic: int
    ) -> None:
        self.proof = proof
        self.packed = packed
        self.sizes = [dynamic if size < 0 else size for size in proof.sizes]
        sizes = [*block, 1, 1][:3] + [*grid, 1, 1][:3]
        self.space = Space()
        self.launched = sizes
        self.space.extents = dict(enumerate(sizes))
        self.values: list[Form | None] = []

    def prove(self) -> dict[int, Reach] | None:
        """See :func:`prove`."""
        if min(self.launched) < 1:
            return None
        for node in self.proof.nodes:
            self.values.append(self.compute(node))
        found: dict[int, Reach] = {}
        known: dict[tuple[Condition, ...], list[Bound] | None] = {}
        for demand in self.proof.demands:
            if demand.conditions not in known:
                known[demand.conditions] = self.facts(demand.conditions)
            bounds = known[demand.conditions]
            if bounds is None:
                continue  # no thread gets there
            reach = self.reach(demand, bounds)
            if reach is None:
                return None
            if demand.base < 0:
                if reach.low < 0 or reach.high > self.sizes[-1 - demand.base]:
                    return None
                continue
            other = found.get(demand.base, reach)
            found[demand.base] = Reach(
                min(reach.low, other.low),
                max(reach.high, other.high),
                max(reach.alignment, other.alignment),
            )
        return found

    def reach(self, demand: Demand, bounds: list[Bound]) -> Reach | None:
        """Return what an access may touch, None where that is not known or not aligned."""
        form = self.values[demand.node]
        if form is None or form.base != demand.base:
            return None
        alignment = demand.alignment
        for offset, width in demand.tested:
            place = form.low + offset
            if form.low != form.high or place % width or any(step % width for _, step in form.steps):
                return None
            alignment = max(alignment, width)
        low, high = self.space.range(form, bounds)
        return Reach(low + demand.low, high + demand.high, alignment)

    # -- nodes ----------------------------------------------------------------------------------

    def compute(self, node: Node) -> Form | None:
        """Return what threads may have in the place of a node; None where nothing is known."""
        operation = OPERATIONS.get(node.operation)
        if operation is not None:
            return operation(self.space, node.kind, [self.values[each] for each in node.operands])
        if node.operation == "count":
            dimension = FIRST_LOOP + node.number
            self.space.extents[dimension] = UNLIMITED
            return Form(((dimension, 1),), 0, 0)
        if node.operation == "rounds":
            self.limit_rounds(node.number, self.proof.loops[node.number])
        return self.given(node)

    def given(self, node: Node) -> Form | None:
        """Return what a node is that takes no others."""
        number = node.number
        match node.operation:
            case "const":
                return constant(number)
            case "param":
                content = self.packed[number : number + TYPE_SIZES[node.kind]]
                return constant(int.from_bytes(content, "little", signed=node.kind[0] == "s"))
            case "index":
                return Form(((number, 1),), 0, 0) if self.launched[number] > 1 else constant(0)
            case "extent":
                return constant(self.launched[number])
            case "root" | "variable":
                return Form((), 0, 0, number if node.operation == "root" else -1 - number)
            case "some":
                return Form((), *limits(node.kind))
            case "within":
                return Form((), 0, number)
        return None

    # -- conditions -----------------------------------------------------------------------------

    def facts(self, conditions: Iterable[Condition]) -> list[Bound] | None:
        """Return what is bounded where conditions hold; None where they never do."""
        found: dict[tuple[tuple[int, int], ...], int] = {}
        for comparison in self.comparisons(conditions):
            bounds = self.bounds(comparison)
            if bounds is None:
                return None
            for steps, limit in bounds:
                found[steps] = min(limit, found.get(steps, limit))
        listed = list(found.items())
        return [*listed, *self.space.bounds] if self.space.is_possible(listed) else None

    def comparisons(self, conditions: Iterable[Condition]) -> list[_Comparison]:
        """Return the comparisons that hold where conditions do."""
        found: list[_Comparison] = []
        pending = list(conditions)
        while pending:
            number, holds = pending.pop()
            node = self.proof.nodes[number]
            if node.operation == "setp":
                relation, kind = node.kind.split(".")
                left, right = (self.values[each] for each in node.operands)
                if relation in _TURNED:
                    left, right = right, left
                relation = _SWAPPED.get(relation, relation)
                found.append(_Comparison(relation if holds else _INVERSE[relation], left, right, kind))
            elif node.operation == "not.pred":
                pending.append((node.operands[0], not holds))
            elif node.operation == ("and.pred" if holds else "or.pred"):
                pending += [(each, holds) for each in node.operands]
        return found

    def bounds(self, comparison: _Comparison) -> list[Bound] | None:
        """Return what a comparison says of the dimensions; None where it never holds."""
        relation, left, right, kind = comparison
        one, other = self.space.seen_as(left, kind), self.space.seen_as(right, kind)
        found: list[tuple[tuple[tuple[int, int], ...], int]] = []
        if relation == "lt" and kind[0] != "s" and left is not None and self.is_natural(left, other, kind):
            # what is less than a small number as a number without a sign is not negative
            one = left
            found.append((negative(left.steps), left.high))
        difference = plus(one, other, -1)
        assert difference is not None
        steps, low, high, _ = difference
        if relation == "lt":
            found.append((steps, -low - 1))
        elif relation == "ge":
            found.append((negative(steps), high))
        elif relation == "eq":
            found += [(steps, -low), (negative(steps), high)]
        elif not steps and low == high == 0:
            return None
        if any(not steps and limit < 0 for steps, limit in found):
            return None
        return [bound for bound in found if bound[0]]

    def is_natural(self, left: Form, right: Form, kind: str) -> bool:
        """Tell whether a form that may be negative can't be less than another if it is."""
        if left.base is not None:
            return False
        low, high = self.space.range(left)
        size = limits(kind)[1] + 1
        return low < 0 and high < size and low + size >= self.space.range(right)[1]

    # -- loops ----------------------------------------------------------------------------------

    def limit_rounds(self, number: int, loop: Loop) -> None:
        """Find out how many rounds a loop has at most."""
        dimension = FIRST_LOOP + number
        entered = self.facts(loop.entered)
        if entered is None:
            self.space.extents[dimension] = 1
            return
        learned: list[Bound] = []
        for comparison in self.comparisons(loop.again):
            test = self.last_test(comparison, dimension, entered)
            if test is None:
                continue
            rounds, bound = test
            self.space.extents[dimension] = min(self.space.extents[dimension], rounds)
            if bound is not None:
                learned.append(bound)
        self.space.bounds += learned

    def last_test(
        self, comparison: _Comparison, dimension: int, entered: list[Bound]
    ) -> tuple[int, Bound | None] | None:
        """Return the rounds that a test allows, and what it says of the rounds; None if nothing."""
        relation, left, right, kind = comparison
        if left is None or right is None or left.base is not None or right.base is not None:
            return None
        if (dimension in dict(left.steps)) == (dimension in dict(right.steps)):
            return None
        if relation == "ne":
            return self.last_unequal(plus(left, right, -1), dimension, kind)
        moves_left = dimension in dict(left.steps)
        moving, fixed = (left, right) if moves_left else (right, left)
        fixed = self.space.seen_as(fixed, kind)
        start = self.space.seen_as(_without(moving, dimension), kind)
        step = dict(moving.steps)[dimension]
        if not self.is_steady(start, step, fixed, kind, entered):
            return None
        one, other = (start, fixed) if moves_left else (fixed, start)
        difference = plus(one, other, -1)
        if not moves_left:
            step = -step
        assert difference is not None
        others = difference.steps
        if relation == "ge":
            # left >= right is right - left <= 0
            step, others, limit = -step, negative(others), difference.high
        elif relation == "lt":
            limit = -difference.low - 1
        if relation == "eq" or step <= 0:
            return None
        passed = (limit - self.space.least(others, entered)) // step  # the last round whose test is passed
        # the test was made in the round before: what is inside of the loop was another then
        is_settled = all(other < dimension for other, _ in others)
        if not is_settled or self.space.most(others, entered) > limit + step:
            return max(passed + 2, 1), None
        return max(passed + 2, 1), (tuple(sorted((*others, (dimension, step)))), limit + step)

    def last_unequal(self, difference: Form | None, dimension: int, kind: str) -> tuple[int, None] | None:
        """Return the rounds of a loop that ends where a difference, the same for all threads, is 0."""
        if difference is None or len(difference.steps) > 1 or difference.low != difference.high:
            return None
        step = difference.steps[0][1]
        first = self.space.seen_as(_without(difference, dimension), f"s{8 * TYPE_SIZES[kind]}").low
        return None if first % step or first // step > 0 else (1 - first // step, None)

    def is_steady(self, start: Form, step: int, fixed: Form, kind: str, entered: list[Bound]) -> bool:
        """Tell whether a number that grows from ``start`` does not wrap around before a test fails."""
        least, largest = limits(kind)
        low, high = self.space.range(fixed, entered)
        first_low, first_high = self.space.range(start, entered)
        spread = start.high - start.low
        if step > 0:
            return max(first_high, high) + step + spread <= largest
        return min(first_low, low) + step - spread >= least


def _without(form: Form, dimension: int) -> Form:
    """Return a form without one of its dimensions."""
    return form._replace(steps=tuple(entry for entry in form.steps if entry[0] != dimension))
