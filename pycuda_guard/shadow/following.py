"""Follows the program's memory: what is allocated, copied, set and freed, event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.model import (
    Allocated,
    Copy,
    CopyKind,
    DeviceOperand,
    Exported,
    Extent,
    Freed,
    HostOperand,
    MemoryKind,
    Memset,
)
from pycuda_guard.shadow import across, codes
from pycuda_guard.shadow.allocations import Allocation
from pycuda_guard.shadow.asking import cause_of

if TYPE_CHECKING:
    from pycuda_guard.events.model import Event
    from pycuda_guard.shadow.asking import Asking
    from pycuda_guard.shadow.state import ContextState
    from pycuda_guard.shadow.world import World

#: rows of a copy that are followed one by one
_MANY_ROWS = 4096


class Following:
    """Keeps allocations and their shadows as the program's operations leave them."""

    def __init__(self, world: World, asking: Asking) -> None:
        self._world = world
        self._asking = asking

    def allocated(self, event: Allocated) -> None:
        """Begin to follow an allocation."""
        if event.kind is MemoryKind.ARRAY or event.nbytes <= 0:
            return
        if event.kind is MemoryKind.GLOBAL and (
            (known := self._world.allocations.at(event.address)) is not None
            and known.address == event.address
            and known.size == event.nbytes
        ):
            return
        allocation = Allocation(event.address, event.nbytes, event.kind, event.context)
        for replaced in self._world.allocations.add(allocation):
            self._bury(replaced)

    def freed(self, event: Freed) -> None:
        """Ask a last time, and give the shadow back."""
        if event.kind is MemoryKind.ARRAY:
            return
        allocation = self._world.allocations.remove(event.address)
        if allocation is None or not allocation.shadow:
            return
        state = self._world.states.get(allocation.context)
        if state is None:
            return
        shadow = allocation.shadow
        asks = allocation.run_at_end and not self._world.is_shared()

        def bury() -> None:
            if asks:
                self._asking.ask_last(cause_of(event), state, allocation)
            state.arena.give(shadow)

        def retire() -> None:
            state.when_unused(allocation.users, bury)

        self._world.inside(allocation.context, retire)

    def copied(self, event: Copy) -> None:
        """Carry along what is written, and ask about what a copy to the host is about to read."""
        destination, source = event.destination, event.source
        stream = event.stream
        if type(source) is DeviceOperand and type(destination) is HostOperand:
            allocation = self._world.allocations.at(source.address)
            if allocation is not None and allocation.is_tracked:
                self._asking.ask_read(cause_of(event), allocation, source.address, source.extent, stream)
        if type(destination) is not DeviceOperand:
            return
        to = self._world.allocations.at(destination.address)
        if to is None or not to.is_tracked:
            return
        start = destination.address - to.address
        if type(source) is DeviceOperand:
            origin = self._world.allocations.at(source.address)
            if origin is not None and origin.is_tracked and not origin.whole:
                extent, taken = destination.extent, source.extent
                if extent.rows * extent.slices == 1:
                    offset = source.address - origin.address + taken.offset
                    self._carry(event, to, start + extent.offset, origin, offset, extent.width)
                    return
        is_upload = type(source) is HostOperand and not event.asynchronous
        self._written(event, to, start, destination.extent, stream, is_upload)

    def filled(self, event: Memset) -> None:
        """Note what a memset writes."""
        destination = event.destination
        if type(destination) is not DeviceOperand:
            return
        to = self._world.allocations.at(destination.address)
        if to is not None and to.is_tracked:
            start = destination.address - to.address
            self._written(event, to, start, destination.extent, event.stream, False)

    def exported(self, event: Exported) -> None:
        """Follow memory no more that somebody else may write unseen."""
        allocation = self._world.allocations.at(event.address)
        if allocation is not None and allocation.is_tracked:
            state = self._world.state_of(allocation, event.context)
            if state is not None:
                codes.abandon(state, allocation)
            else:
                allocation.give_up()

    # -- inside ---------------------------------------------------------------------------------

    def _bury(self, allocation: Allocation) -> None:
        """Give the shadow back of an allocation that is gone without a word."""
        state = self._world.states.get(allocation.context)
        if allocation.shadow and state is not None:
            self._world.inside(allocation.context, lambda: codes.abandon(state, allocation))

    def _written(
        self, event: Event, to: Allocation, start: int, extent: Extent, stream: int, is_upload: bool
    ) -> None:
        """Note that a copy or memset writes an extent from offset ``start`` on."""
        if to.whole or extent.width <= 0:
            return
        first = start + extent.offset
        if to.shadow:
            state = self._world.state_of(to, event.context)
            if state is not None:
                self._fill(state, to, first, extent, stream, is_upload)
            return
        if extent.rows * extent.slices > _MANY_ROWS:
            to.note_written(first, start + extent.end)
            return
        for index in range(extent.slices):
            for row in range(extent.rows):
                place = first + index * extent.slice_pitch + row * extent.pitch
                to.note_written(place, place + extent.width)

    @staticmethod
    def _fill(
        state: ContextState, to: Allocation, first: int, extent: Extent, stream: int, is_upload: bool
    ) -> None:
        """Set the codes of what a copy or memset writes."""
        for index in range(extent.slices):
            place = first + index * extent.slice_pitch
            if extent.rows == 1:
                codes.fill(state, to, place, place + extent.width, stream)
                if is_upload:
                    # The program may go on in a stream that does not wait for the default one: the data will
                    # be there when the call returns, so the codes must be, too.
                    codes.fill(state, to, place, place + extent.width, state.stream)
                    state.driver.synchronize_stream(state.stream)
            else:
                codes.fill_rows(state, to, place, extent.width, extent.pitch, extent.rows, stream)
        if extent.rows * extent.slices == 1:
            to.note_written(first, first + extent.width)
        to.unscanned = True

    def _carry(
        self, event: Copy, to: Allocation, start: int, origin: Allocation, offset: int, nbytes: int
    ) -> None:
        """Note a copy from memory that is not written whole."""
        if (
            nbytes <= 0
            or start < 0
            or offset < 0
            or start + nbytes > to.size
            or offset + nbytes > origin.size
        ):
            return  # out of bounds: the driver will refuse
        if not origin.shadow and not to.shadow:
            assert origin.known is not None
            if to.whole and origin.known.covers(offset, offset + nbytes):
                return
            taken = [
                (low - offset, high - offset) for low, high in origin.known.within(offset, offset + nbytes)
            ]
            if to.whole:
                to.reopen()
            assert to.known is not None
            to.known.remove(start, start + nbytes)
            for low, high in taken:
                to.note_written(start + low, start + high)
            return
        if event.kind is CopyKind.PEER and to.context != origin.context:
            is_done = across.carry(self._world, event, to, start, origin, offset, nbytes)
        else:
            is_done = self._carry_here(event, to, start, origin, offset, nbytes)
        if is_done:
            to.reopen()
        else:
            self._written(event, to, start, Extent(nbytes), event.stream, False)

    def _carry_here(
        self, event: Copy, to: Allocation, start: int, origin: Allocation, offset: int, nbytes: int
    ) -> bool:
        """Copy codes inside the current context; return whether that could be done."""
        state = self._world.state_of(to, event.context)
        if state is None or self._world.state_of(origin, event.context) is None:
            return False
        have = origin.shadow or codes.materialize(state, origin, codes.COARSEST)
        if not have or not (to.shadow or codes.materialize(state, to, codes.COARSEST)):
            return False
        codes.carry(state, to, start, origin, offset, nbytes, event.stream)
        return True
