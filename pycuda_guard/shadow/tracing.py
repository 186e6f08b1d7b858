"""Has launches note what they touch where that matters, and makes events of what they have noted.

It matters where another stream may come in between, so only while the program has streams of its own. Maps
are taken from the arena, cleared in the launch's stream, and read once that has passed the launch.
"""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pycuda_guard.events.model import Footprint, TouchedBytes
from pycuda_guard.kernels.instrument.footprints import EXTENT, KINDS, WORD
from pycuda_guard.shadow.driver import DriverError
from pycuda_guard.shadow.runs import runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.events.model import Launch, StreamId
    from pycuda_guard.kernels.instrument.footprints import Tracing
    from pycuda_guard.kernels.instrument.model import Root
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.state import ContextState
    from pycuda_guard.shadow.world import World

#: bytes of all maps that have not been read yet: what does not fit is lost
_MOST_BYTES = 256 << 20
#: launches that are being made at a time, by all threads; of more, the oldest has failed
_MOST_PREPARED = 16
#: allocations of a table that extents are kept for
_MOST_ROWS = 4096


class _Traced:
    """A launch that notes what it touches: address and cells of each map, and of the extents.

    ``updated`` are the addresses of the allocations that it uses atomics on.
    """

    def __init__(self, state: ContextState, event: Launch, updated: set[int]) -> None:
        self.state = state
        self.event = event
        self.updated = updated
        self.maps: dict[tuple[Allocation, str, int], tuple[int, int]] = {}
        self.bases: list[tuple[int, int]] = []  # base and size of the allocation of each extent
        self.extents = 0
        self.lost = False

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(cells for _, cells in self.maps.values()) + len(self.bases) * EXTENT.size


class Footprints:
    """The launches that have noted what they touch, until that was read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.streams: set[StreamId] = set()  # of the program
        self._prepared: dict[int, _Traced] = {}  # by the launch's number
        self._taken: WeakKeyDictionary[ContextState, int] = WeakKeyDictionary()  # bytes

    @property
    def is_prepared(self) -> bool:
        """Whether a launch was prepared that has not been made yet."""
        return bool(self._prepared)

    def wants(self, tracing: Tracing | None, event: Launch) -> bool:
        """Tell whether it may matter what a launch touches, and nobody knows that yet.

        Of PyCUDA's kernels it is asked only where the data decide it, as by indices of the operation.
        """
        if tracing is None or not self.streams or not event.block:
            return False
        return not event.library or tracing.is_by_data

    def prepare(
        self,
        state: ContextState,
        tracing: Tracing,
        roots: Sequence[Root],
        allocations: Sequence[Allocation | None],
        has_table: bool,
        event: Launch,
    ) -> bytes:
        """Return the words behind the hidden parameter of a launch whose roots point into ``allocations``.

        What a launch updates by atomics it may look at before, at whatever another one has made of it.
        """
        if len(self._prepared) >= _MOST_PREPARED:
            self.forget(next(iter(self._prepared)))
        pairs = zip(roots, allocations, strict=True)
        updated = {each.address for root, each in pairs if each is not None and root.atomics}
        traced = self._prepared[event.sequence] = _Traced(state, event, updated)
        words = [self._extents(state, traced) if tracing.looks_up and has_table else 0]
        for each in tracing.maps:
            allocation = allocations[each.root]
            address = 0
            if allocation is not None and not (each.kind == "read" and allocation.address in updated):
                address = self._map(state, traced, allocation, each.kind, each.shift)
            traced.lost |= not address
            words.append(address)
        traced.lost |= tracing.looks_up and not traced.extents
        return b"".join(map(WORD.pack, words))

    def launched(self, event: Launch) -> None:
        """Have what a launch notes read once it is over; it has just been made."""
        traced = self._prepared.pop(event.sequence, None)
        if traced is not None:
            state = traced.state
            state.streams.add(event.stream)
            state.when_unused((event.stream,), functools.partial(self._read, traced))

    def forget(self, launch: int) -> None:
        """Drop a launch, by its number, that was not made as it was prepared."""
        traced = self._prepared.pop(launch, None)
        if traced is not None:
            self._give(traced)

    def _map(
        self, state: ContextState, traced: _Traced, allocation: Allocation, kind: str, shift: int
    ) -> int:
        """Return the address of a map of zeros; 0 where there is none: no room, or no aligned memory."""
        known = traced.maps.get((allocation, kind, shift))
        if known is not None:
            return known[0]
        cells = (allocation.size + (1 << shift) - 1) >> shift
        is_here = allocation.context == traced.event.context
        if allocation.address % (1 << shift) or not cells or not is_here:
            return 0
        address = self._take(state, cells, traced.event.stream)
        if address:
            traced.maps[allocation, kind, shift] = address, cells
        return address

    def _extents(self, state: ContextState, traced: _Traced) -> int:
        bases = [(each.address, each.size) for each in self._world.allocations]
        if not bases or len(bases) > _MOST_ROWS:
            return 0
        traced.extents = self._take(state, len(bases) * EXTENT.size, traced.event.stream)
        if traced.extents:
            traced.bases = bases
        return traced.extents

    def _take(self, state: ContextState, nbytes: int, stream: StreamId) -> int:
        taken = self._taken.get(state, 0) + nbytes
        if taken > _MOST_BYTES:
            return 0
        address = state.arena.take(nbytes)
        if address:
            self._taken[state] = taken
            state.driver.fill(address, 0, nbytes, stream)
        return address

    # -- after the launch -----------------------------------------------------------------------

    def _read(self, traced: _Traced) -> None:
        """Read what a launch has noted, and put it into the outbox."""
        state = traced.state
        touched: list[TouchedBytes] = []
        for (allocation, kind, shift), (address, cells) in traced.maps.items():
            runs, exact = runs_of(self._download(state, address, cells), shift, allocation.size)
            if runs:
                touched.append(TouchedBytes(kind, allocation.address, runs, exact))
        if traced.extents:
            content = self._download(state, traced.extents, len(traced.bases) * EXTENT.size)
            touched.extend(_from_extents(traced.bases, traced.updated, content))
        self._give(traced)
        event = traced.event
        self._world.outbox.append(
            Footprint(event.site, event.thread, event.context, event.sequence, tuple(touched), traced.lost)
        )

    def _give(self, traced: _Traced) -> None:
        """Give back the memory of a launch."""
        self._taken[traced.state] -= traced.nbytes
        for address, _ in traced.maps.values():
            traced.state.arena.give(address)
        if traced.extents:
            traced.state.arena.give(traced.extents)

    @staticmethod
    def _download(state: ContextState, address: int, nbytes: int) -> bytes:
        memory = (ctypes.c_char * nbytes)()
        try:
            state.driver.download(ctypes.addressof(memory), address, nbytes, state.stream)
            state.driver.synchronize_stream(state.stream)
        except DriverError:
            return b""  # the context is broken
        return memory.raw


def _from_extents(bases: Sequence[tuple[int, int]], updated: set[int], content: bytes) -> list[TouchedBytes]:
    """Return the first and the last byte that were touched of each allocation."""
    found = []
    for (base, size), words in zip(bases, EXTENT.iter_unpack(content), strict=False):
        for index, kind in enumerate(KINDS):
            complement, end = words[2 * index : 2 * index + 2]
            first, last = ~complement % (1 << 64) - base, end - base - 1
            is_first_look = kind == "read" and (base in updated or words[2 * KINDS.index("atomic") + 1])
            if end and 0 <= first <= last < size and not is_first_look:
                runs = ((first, last + 1),) if last - first < 2 else ((first, first + 1), (last, last + 1))
                found.append(TouchedBytes(kind, base, runs, exact=False))
    return found
