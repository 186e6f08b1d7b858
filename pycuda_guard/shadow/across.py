"""Carries codes along with a copy from one context's memory to another's.

A kernel reaches the memory of its own context, so the source's codes are first copied over as the data are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.model import DEFAULT_STREAM, MemoryKind
from pycuda_guard.shadow import codes
from pycuda_guard.shadow.allocations import Allocation

if TYPE_CHECKING:
    from pycuda_guard.events.model import Copy
    from pycuda_guard.shadow.state import ContextState
    from pycuda_guard.shadow.world import World


def carry(
    world: World, event: Copy, to: Allocation, start: int, origin: Allocation, offset: int, nbytes: int
) -> bool:
    """Note what a peer copy writes, byte for byte; return whether that could be done in the copy's order.

    The codes are written in a stream of the context that ``to`` is of. ``memcpy_peer`` comes after all work
    in both contexts and before all that follows; an asynchronous copy in a stream of another context has no
    place in the order of these streams.
    """
    state, source = world.states.get(to.context), world.states.get(origin.context)
    if state is None or source is None or not (state.is_alive and source.is_alive):
        return False
    if event.asynchronous and event.context != to.context:
        return False
    if not origin.shadow:
        with world.driver.current(origin.context):
            if not codes.materialize(source, origin, codes.COARSEST):
                return False
    with world.driver.current(to.context):
        return _carry_in(state, event, to, start, origin, offset, nbytes)


def _carry_in(
    state: ContextState, event: Copy, to: Allocation, start: int, origin: Allocation, offset: int, nbytes: int
) -> bool:
    """Carry codes while the context of ``to``, whose state is given, is current."""
    if not to.shadow and not codes.materialize(state, to, codes.COARSEST):
        return False
    first = offset >> origin.shift
    count = ((offset + nbytes - 1) >> origin.shift) + 1 - first
    lent = Allocation(0, count << origin.shift, MemoryKind.DEVICE, to.context)
    lent.shadow, lent.shift = state.arena.take(count), origin.shift
    if not lent.shadow:
        return False
    stream = event.stream if event.asynchronous else DEFAULT_STREAM
    state.driver.copy_across(
        lent.shadow,
        to.context,
        origin.shadow + first,
        origin.context,
        count,
        stream if event.asynchronous else None,
    )
    codes.carry(state, to, start, lent, offset - (first << origin.shift), nbytes, stream)
    state.when_unused((stream,), lambda: state.arena.give(lent.shadow))
    return True
