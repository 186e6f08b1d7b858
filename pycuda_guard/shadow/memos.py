"""Launches that can be made again without a look at what they work on: nothing of that has changed.

What an unchecked launch is given depends on where its pointers point, and on the numbers that its proof
takes. Its other arguments, a time step say, may be others each time.
"""

from __future__ import annotations

from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.instrument import abi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pycuda_guard.events.model import Launch
    from pycuda_guard.kernels.instrument.model import Root
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.images import KernelPlan
    from pycuda_guard.shadow.state import ContextState

_put_word = Struct("<I").pack_into
#: where in the hidden parameter the number of the launch stands, and the code of the first range
_NUMBER_AT, _CODE_AT = abi.HEADER_FIELDS["launch"], abi.HEADER.size + abi.RANGE_FIELDS["code"]
#: launches of a kernel that are remembered: programs that work on two buffers in turn swap them
_MOST_MEMOS = 32

_LAST_EPOCH = abi.LAST_EPOCH


class Prepared(NamedTuple):
    """What to launch: which variant, with which packed arguments and dynamic shared memory.

    Variants are named as in loading.Variant: ``checked``, ``races``, ``proven``, ``traced``; ``""`` is the
    fast one.
    """

    variant: str
    packed: bytes
    shared: int


class Memo:
    """A launch that can be made again with other numbers only.

    ``version`` is that of the allocations and of their shadows in ``state``; ``extents`` are those of grid
    and block where they matter, else empty. ``hidden`` is the hidden parameter, behind the arguments at
    ``offset``. ``told`` is what the roots point into, and ``touched`` has those allocations that are
    followed, by root. ``owner`` are the launches of the same kernel.
    """

    __slots__ = (
        "_extents",
        "_image",
        "_number",
        "_reads",
        "_stores",
        "_version",
        "is_proven",
        "owner",
        "state",
        "told",
    )

    def __init__(
        self,
        owner: Memos,
        is_proven: bool,
        state: ContextState,
        version: tuple[int, int],
        extents: tuple[()] | tuple[tuple[int, ...], tuple[int, ...]],
        hidden: bytes,
        offset: int,
        told: Iterable[tuple[int, int]],
        touched: Mapping[int, tuple[Allocation, Root]],
    ) -> None:
        self.owner = owner
        self.is_proven = is_proven
        self.state = state
        self._version = version
        self._extents = extents
        self._image = bytearray(bytes(offset) + hidden)
        self._number = offset + _NUMBER_AT
        self.told = tuple(told)
        self._reads = [each for each, root in touched.values() if root.loads or root.atomics]
        self._stores = [
            (offset + _CODE_AT + index * abi.RANGE.size, allocation)
            for index, (allocation, root) in touched.items()
            if root.stores or root.atomics
        ]

    def again(self, version: int, packed: bytes, event: Launch) -> bytes | None:
        """Return the packed arguments of a launch like this one; None where something has changed.

        ``version`` is that of the allocations.
        """
        state = self.state
        if self._version != (version, state.layout):
            return None
        if self._extents and self._extents != (event.grid, event.block):
            return None
        for allocation in self._reads:
            if not allocation.whole:
                return None
        for _, allocation in self._stores:
            if allocation.epoch >= _LAST_EPOCH or not allocation.is_tracked:
                return None
        stream, number, image = event.stream, event.sequence, self._image
        image[: len(packed)] = packed
        _put_word(image, self._number, number & 0xFFFFFFFF)
        state.streams.add(stream)
        for place, allocation in self._stores:
            code = allocation.epoch = allocation.epoch + 1  # as take_epoch does, without the call
            allocation.launches[code] = number
            _put_word(image, place, code * 0x01010101)
            allocation.unscanned = allocation.unanswered = True
            if not event.library:
                allocation.run_at_end = True
            allocation.users[stream] = None
        return bytes(image)


class Memos:
    """The last launches of one kernel, by what they must have in common with the next."""

    def __init__(self, plan: KernelPlan) -> None:
        self._size = plan.bare_bytes
        self._telling = _telling(plan)
        self._known: dict[tuple[object, int], Memo] = {}

    def get(self, packed: bytes, shared: int) -> Memo | None:
        """Return the launch that one with these arguments and so much shared memory is like, if any."""
        if len(packed) != self._size:
            return None
        return self._known.get((self._telling(packed), shared))

    def add(self, packed: bytes, shared: int, memo: Memo) -> None:
        """Remember a launch."""
        if len(packed) == self._size:
            if len(self._known) >= _MOST_MEMOS:
                self._known.clear()
            self._known[self._telling(packed), shared] = memo


def _telling(plan: KernelPlan) -> Callable[[bytes], object]:
    """Return what picks the arguments that matter out of the packed ones."""
    kernel = plan.kernel
    if kernel.races is not None:
        return bytes  # whether a launch races depends on more
    parts = [(position, position + 8) for position in plan.positions]
    if kernel.proof is not None:
        parts += [(start, start + size) for start, size in kernel.proof.numbers]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return itemgetter(*(slice(*part) for part in merged)) if merged else len
