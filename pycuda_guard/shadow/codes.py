"""The codes of a shadow: making them, and keeping up with copies, memsets and launches.

Everything that follows the program happens in the stream of the program's own operation, so that codes and
data change in the same order. What is made anew (a shadow's first contents) is made on the guard's
own stream, which waits for no other, and the host waits for that stream before it goes on: so it is
there before any operation that comes later, in whatever stream.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi

if TYPE_CHECKING:
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.state import Answer, ContextState

#: unit of a shadow that a copy needs before any kernel has stored there
COARSEST = 2

_THREADS = 256
_MOST_BLOCKS = 1024
#: ranges above which a shadow's first contents are put together by the host
_MANY_RANGES = 64
_LARGEST_UPLOAD = 64 << 20
#: rows that are filled one at a time where the device can't fill them together
_MANY_ROWS = 256

_SCAN = struct.Struct("<QQQQQQ")
_CARRY = struct.Struct("<QI4xQQI4xQQ")
_EXPAND = struct.Struct("<QQI4xQ")
_SWEEP = struct.Struct("<QQ")


def _blocks(units: int, per_thread: int = 1) -> int:
    return max(1, min(_MOST_BLOCKS, -(-units // (_THREADS * per_thread))))


def materialize(state: ContextState, allocation: Allocation, shift: int) -> bool:
    """Give an allocation its shadow; where the device has no room it is not watched any more."""
    units = (allocation.size + (1 << shift) - 1) >> shift
    shadow = state.arena.take(units)
    if not shadow:
        allocation.give_up()
        return False
    driver, stream = state.driver, state.stream
    if allocation.known is None or allocation.whole:
        driver.fill(shadow, abi.STRAY if allocation.is_shared else abi.HOST, units, stream)
    elif len(allocation.known) > _MANY_RANGES and units <= _LARGEST_UPLOAD:
        codes = bytearray(units)
        for start, end in allocation.known:
            first, last = start >> shift, (end - 1) >> shift
            codes[first : last + 1] = b"\x01" * (last + 1 - first)
        memory = (ctypes.c_char * units).from_buffer(codes)
        driver.upload(shadow, ctypes.addressof(memory), units, stream)
    else:
        driver.fill(shadow, abi.NEVER, units, stream)
        for start, end in allocation.known:
            first, last = start >> shift, (end - 1) >> shift
            driver.fill(shadow + first, abi.HOST, last + 1 - first, stream)
    driver.synchronize_stream(stream)
    state.layout += 1
    allocation.known = None
    allocation.shadow = shadow
    allocation.shift = shift
    allocation.forget_epochs()
    return True


def refine(state: ContextState, allocation: Allocation, shift: int, stream: int) -> bool:
    """Convert a shadow to finer units, for a launch in ``stream``.

    Kernels in other streams may still write the old one: then the contents are not watched any more.
    """
    old, difference = allocation.shadow, allocation.shift - shift
    if any(user != stream and user in state.streams for user in allocation.users):
        abandon(state, allocation)
        return False
    units = (allocation.size + (1 << shift) - 1) >> shift
    shadow = state.arena.take(units)
    if not shadow:
        abandon(state, allocation)
        return False
    # a scan of the block's owner before may be on its way on this stream
    state.driver.synchronize_stream(state.stream)
    packed = _EXPAND.pack(shadow, old, difference, units)
    state.streams.add(stream)
    state.driver.launch(state.expand, _blocks(units), _THREADS, packed, stream)
    state.when_unused((stream,), lambda: state.arena.give(old))
    state.layout += 1
    allocation.shadow, allocation.shift = shadow, shift
    return True


def abandon(state: ContextState, allocation: Allocation) -> None:
    """Watch an allocation no more, and give its shadow back once nobody uses it."""
    shadow = allocation.shadow
    state.layout += 1
    allocation.lose_shadow()
    if shadow:
        state.when_unused(allocation.users, lambda: state.arena.give(shadow))


def sweep(state: ContextState, allocation: Allocation, stream: int) -> None:
    """Turn the epochs of launches so far into the host's code, and begin with the first epoch again."""
    packed = _SWEEP.pack(allocation.shadow, allocation.units)
    state.driver.launch(state.sweep, _blocks(allocation.units), _THREADS, packed, stream)
    allocation.forget_epochs()


def fill(
    state: ContextState, allocation: Allocation, start: int, end: int, stream: int, code: int = abi.HOST
) -> None:
    """Set the codes of a range of bytes (offsets); a unit that is written in part counts as written."""
    start, end = max(0, start), min(allocation.size, end)
    if start < end:
        first, last = start >> allocation.shift, (end - 1) >> allocation.shift
        state.driver.fill(allocation.shadow + first, code, last + 1 - first, stream)
        _note_user(state, allocation, stream)


def fill_rows(
    state: ContextState,
    allocation: Allocation,
    start: int,
    width: int,
    pitch: int,
    rows: int,
    stream: int,
) -> None:
    """Set the codes of ``rows`` rows of ``width`` bytes."""
    grain = (1 << allocation.shift) - 1
    if start < 0 or start + (rows - 1) * pitch + width > allocation.size:
        return  # out of bounds: the driver will refuse
    if not (start | pitch | width) & grain:
        shift = allocation.shift
        address = allocation.shadow + (start >> shift)
        state.driver.fill_rows(address, pitch >> shift, abi.HOST, width >> shift, rows, stream)
        _note_user(state, allocation, stream)
    elif rows <= _MANY_ROWS:
        for row in range(rows):
            fill(state, allocation, start + row * pitch, start + row * pitch + width, stream)
    else:
        fill(state, allocation, start, start + (rows - 1) * pitch + width, stream)


def carry(
    state: ContextState,
    to: Allocation,
    to_start: int,
    source: Allocation,
    source_start: int,
    nbytes: int,
    stream: int,
) -> None:
    """Copy what is written along with a copy of bytes; both have shadows."""
    if nbytes <= 0 or to_start + nbytes > to.size or source_start + nbytes > source.size:
        return  # out of bounds: the driver will refuse
    packed = _CARRY.pack(to.shadow, to.shift, to_start, source.shadow, source.shift, source_start, nbytes)
    blocks = _blocks((nbytes >> to.shift) + 2)
    state.driver.launch(state.carry, blocks, _THREADS, packed, stream)
    _note_user(state, to, stream)
    _note_user(state, source, stream)


def scan(
    state: ContextState, allocation: Allocation, answer: Answer, first: int, count: int, stream: int,
    width: int = 0, pitch: int = 0,
) -> None:  # fmt: skip
    """Ask for the runs of equal codes from unit ``first`` on, in rows of ``width`` units if given."""
    packed = _SCAN.pack(
        allocation.shadow + first, count, width or count, pitch, answer.scratch, answer.device
    )
    state.driver.launch(state.scan, _blocks(count, 16), _THREADS, packed, stream)
    _note_user(state, allocation, stream)


def _note_user(state: ContextState, allocation: Allocation, stream: int) -> None:
    if stream != state.stream:
        state.streams.add(stream)
        allocation.users[stream] = None
