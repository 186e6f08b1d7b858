"""Has launches note what they touch where that matters, and makes events of what they have noted.

It matters where another stream may come in between, so only while the program has streams of its own. Maps
are taken from the arena, cleared in the launch's stream, and read once that has passed the launch.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pycuda_guard.events.model import Footprint, TouchedBytes
from pycuda_guard.kernels.instrument.footprints import WORD
from pycuda_guard.shadow.driver import DriverError
from pycuda_guard.shadow.lookups import Layout
from pycuda_guard.shadow.runs import runs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycuda_guard.events.model import Launch, StreamId
    from pycuda_guard.kernels.instrument.footprints import Map, Tracing
    from pycuda_guard.kernels.instrument.model import Root
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.state import ContextState
    from pycuda_guard.shadow.world import World

#: bytes of all maps that have not been read yet: what does not fit is lost
_MOST_BYTES = 256 << 20
#: launches that are being made at a time, by all threads; of more, the oldest has failed
_MOST_PREPARED = 16
#: layouts for the present allocations, one for each set of maps
_MOST_LAYOUTS = 256
#: blocks of zeros that are kept for the next launches in a context
_MOST_KEPT = 2


class _Traced:
    """A launch that notes what it touches: address and cells of each map; a block for what is looked up.

    ``updated`` are the addresses of the allocations that it uses atomics on.
    """

    def __init__(self, state: ContextState, event: Launch, updated: set[int]) -> None:
        self.state = state
        self.event = event
        self.updated = updated
        self.maps: dict[tuple[Allocation, str, int], tuple[int, int]] = {}
        self.layout: Layout | None = None
        self.block = self.in_block = 0  # its address and its size
        self.lost = False

    @property
    def has_cells(self) -> bool:
        """Whether the block has more than extents."""
        return self.layout is not None and self.in_block == self.layout.nbytes

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(cells for _, cells in self.maps.values()) + self.in_block


class Footprints:
    """The launches that have noted what they touch, until that was read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.streams: set[StreamId] = set()  # of the program
        #: the launches that have been prepared and not made yet, by number
        self.prepared: dict[int, _Traced] = {}
        self._taken: WeakKeyDictionary[ContextState, int] = WeakKeyDictionary()  # bytes
        # blocks that were cleared where they had been written: less work than to clear another one whole
        self._kept: WeakKeyDictionary[ContextState, list[tuple[Layout, int]]] = WeakKeyDictionary()
        self._layouts: tuple[int, dict[tuple[Map, ...], Layout]] = -1, {}  # of which allocations, and by maps

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
        variables: Mapping[str, int],
        has_table: bool,
        event: Launch,
    ) -> bytes:
        """Return the words behind the hidden parameter of a launch whose roots point into ``allocations``.

        ``variables`` of its module are at these addresses. What a launch updates by atomics it may look at
        before, at whatever another one has made of it.
        """
        if len(self.prepared) >= _MOST_PREPARED:
            self.forget(next(iter(self.prepared)))
        pairs = zip(roots, allocations, strict=True)
        updated = {each.address for root, each in pairs if each is not None and root.atomics}
        traced = self.prepared[event.sequence] = _Traced(state, event, updated)
        if tracing.looks_up and has_table:
            self._take_block(state, traced, tracing.maps)
        traced.lost |= tracing.looks_up and not traced.block
        words = [traced.block, traced.layout.covered if traced.layout is not None and traced.has_cells else 0]
        for each in tracing.maps:
            address = 0
            if each.is_looked_up:
                if traced.layout is not None and traced.has_cells:
                    address = traced.layout.map_at(traced.block, each)
            else:
                allocation = self._mapped(each, allocations, variables)
                if allocation is not None and not (each.kind == "read" and allocation.address in updated):
                    address = self._map(state, traced, allocation, each)
                traced.lost |= not address
            words.append(address)
        return b"".join(map(WORD.pack, words))

    def launched(self, event: Launch) -> None:
        """Have what a launch notes read once it is over; it has just been made."""
        traced = self.prepared.pop(event.sequence, None)
        if traced is not None:
            state = traced.state
            state.streams.add(event.stream)
            state.when_unused((event.stream,), functools.partial(self._read, traced))

    def forget(self, launch: int) -> None:
        """Drop a launch, by its number, that was not made as it was prepared."""
        traced = self.prepared.pop(launch, None)
        if traced is not None:
            self._give(traced)

    def release(self, state: ContextState) -> None:
        """Keep nothing in a context whose arena is about to be released."""
        self._kept.pop(state, None)

    def _mapped(
        self, kept: Map, allocations: Sequence[Allocation | None], variables: Mapping[str, int]
    ) -> Allocation | None:
        """Return what a map of a root or of a variable is for."""
        if kept.root is not None:
            return allocations[kept.root]
        address = variables.get(kept.variable, 0)
        allocation = self._world.allocations.at(address) if address else None
        return allocation if allocation is not None and allocation.address == address else None

    def _map(self, state: ContextState, traced: _Traced, allocation: Allocation, kept: Map) -> int:
        """Return the address of a map of zeros; 0 where there is none: no room, or no aligned memory."""
        known = traced.maps.get((allocation, kept.kind, kept.shift))
        if known is not None:
            return known[0]
        cells = (allocation.size + (1 << kept.shift) - 1) >> kept.shift
        is_here = allocation.context == traced.event.context
        if allocation.address % kept.alignment or not cells or not is_here:
            return 0
        address = self._take(state, cells, traced.event.stream)
        if address:
            traced.maps[allocation, kept.kind, kept.shift] = address, cells
        return address

    def _take_block(self, state: ContextState, traced: _Traced, maps: tuple[Map, ...]) -> None:
        """Take the block of a launch that looks addresses up; without maps where there is no room."""
        layout = self._layout(maps)
        if not layout.is_possible:
            return
        kept = self._kept.get(state, [])
        blocks = [block for known, block in kept if known is layout]
        taken = self._taken.get(state, 0) + layout.nbytes
        if blocks and taken <= _MOST_BYTES:
            kept.remove((layout, blocks[0]))
            self._taken[state] = taken
            traced.layout, traced.block, traced.in_block = layout, blocks[0], layout.nbytes
            return
        for size in (layout.nbytes, layout.extents):
            traced.block = self._take(state, size, traced.event.stream)
            if traced.block:
                traced.layout, traced.in_block = layout, size
                return

    def _layout(self, maps: tuple[Map, ...]) -> Layout:
        """Return the layout for the present allocations."""
        allocations = self._world.allocations
        version, layouts = self._layouts
        if version != allocations.version or len(layouts) >= _MOST_LAYOUTS:
            for state, kept in self._kept.items():
                for _, block in kept:
                    state.arena.give(block)
            self._kept.clear()
            layouts = {}
            self._layouts = allocations.version, layouts
        if maps not in layouts:
            layouts[maps] = Layout([*allocations], maps)
        return layouts[maps]

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
        if traced.layout is not None:
            take_out = functools.partial(self._take_out, state)
            touched += traced.layout.touched(traced.block, traced.has_cells, take_out)
            if traced.has_cells and self._is_kept(state, traced.layout, traced.block):
                self._taken[state] -= traced.in_block
                traced.block = traced.in_block = 0
        updated = traced.updated.union(each.base for each in touched if each.kind == "atomic")
        touched = [each for each in touched if each.kind != "read" or each.base not in updated]
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
        if traced.block:
            traced.state.arena.give(traced.block)

    def _is_kept(self, state: ContextState, layout: Layout, block: int) -> bool:
        """Keep a block that is zeros again for the next launch, if there may be one that it is for."""
        version, layouts = self._layouts
        kept = self._kept.setdefault(state, [])
        if version != self._world.allocations.version or len(kept) >= _MOST_KEPT:
            return False
        if all(known is not layout for known in layouts.values()):
            return False
        try:
            state.driver.synchronize_stream(state.stream)
        except DriverError:
            return False  # the context is broken
        kept.append((layout, block))
        return True

    @classmethod
    def _take_out(cls, state: ContextState, address: int, nbytes: int) -> bytes:
        """Read what a launch has left, and leave zeros."""
        content = cls._download(state, address, nbytes)
        with contextlib.suppress(DriverError):
            state.driver.fill(address, 0, nbytes, state.stream)
        return content

    @staticmethod
    def _download(state: ContextState, address: int, nbytes: int) -> bytes:
        memory = (ctypes.c_char * nbytes)()
        try:
            state.driver.download(ctypes.addressof(memory), address, nbytes, state.stream)
            state.driver.synchronize_stream(state.stream)
        except DriverError:
            return b""  # the context is broken
        return memory.raw
