"""Decides which launches need no checks: those whose accesses are all shown to be right beforehand.

What is shown depends on the shape of a launch alone: block, grid and the numbers among the arguments that
addresses or conditions take. It is remembered, and compared with where the pointers of a launch point to.

A launch without checks does all that one with checks would do. Each access lies in the allocation that its
root points into, in the bytes that were asked for; it is aligned; what it loads was written, or the host has
chosen the variant that checks that; and the codes of what is written are stored by the kernel itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.proofs.proving import prove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.events.model import Launch
    from pycuda_guard.kernels.instrument.model import Root
    from pycuda_guard.kernels.instrument.proofs.model import Proof
    from pycuda_guard.kernels.instrument.proofs.proving import Reach
    from pycuda_guard.shadow.allocations import Allocation

    Shape = tuple[object, ...]

#: shapes of a kernel that are remembered
_MOST_KNOWN = 256
#: shapes that are looked at before it has to pay, and how many launches must then be of a known shape for one
#: more
_TRIALS, _LAUNCHES_A_TRIAL = 32, 16


class Proving:
    """What is known of the launches of one kernel."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof
        self._known: dict[Shape, dict[int, Reach] | None] = {}
        self._tried = self._saved = 0  # shapes that were looked at, and launches that were known then

    def holds(
        self,
        packed: bytes,
        shared: int,
        event: Launch,
        roots: Sequence[Root],
        values: Sequence[int],
        allocations: Sequence[Allocation | None],
    ) -> bool:
        """Tell whether all accesses of a launch are surely right, and what it writes can be noted.

        ``values`` are those of the roots, ``allocations`` what they point into.
        """
        reaches = self._reaches(packed, shared, event)
        if reaches is None:
            return False
        for position, (low, high, alignment) in reaches.items():
            allocation, value, root = allocations[position], values[position], roots[position]
            if allocation is None or value % alignment:
                return False
            start = value - allocation.address
            if start + low < 0 or start + high > allocation.size:
                return False
            if (root.stores or root.atomics) and (
                allocation.shift != root.expected_shift or start % (1 << allocation.shift)
            ):
                return False
        return True

    def _reaches(self, packed: bytes, shared: int, event: Launch) -> dict[int, Reach] | None:
        """Return what a launch accesses at most through each root; None where that isn't known."""
        proof = self._proof
        dynamic = shared if proof.uses_dynamic else 0
        numbers = [packed[start : start + size] for start, size in proof.numbers]
        shape = (event.block, event.grid, dynamic, *numbers)
        if shape in self._known:
            self._saved += 1
        else:
            if self._tried > _TRIALS + self._saved // _LAUNCHES_A_TRIAL:
                return None
            self._tried += 1
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[shape] = prove(proof, packed, event.block, event.grid, dynamic)
        return self._known[shape]
