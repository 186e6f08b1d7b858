"""What copies and memsets of the same operands have in common."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from pycuda_guard.checks.state.footprints import of_extent
from pycuda_guard.events.model import CopyKind, DeviceOperand, HostKind, HostOperand, MemoryKind, OddOperand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.checks.state.allocations import Memory, Region
    from pycuda_guard.checks.state.clocks import Track
    from pycuda_guard.checks.state.conflicts import Access
    from pycuda_guard.checks.state.footprints import Range
    from pycuda_guard.checks.state.plans import Touch
    from pycuda_guard.events.model import Copy, Memset, Operand
    from pycuda_guard.events.patterns import Pattern

_MAX_KNOWN = 1024

PAGE_LOCKED = frozenset({MemoryKind.PINNED, MemoryKind.REGISTERED})
_ASYNCHRONOUS_HOST = frozenset({HostKind.PINNED, HostKind.REGISTERED})
_PEER = CopyKind.PEER  # reading a member off an Enum class is slow enough to matter here
_PAGEABLE = HostKind.PAGEABLE


class Wait(Enum):
    """What the host waits for with a copy; where the driver's documentation leaves it open, it waits."""

    NOTHING = "nothing"
    EARLIER = "all that its stream was given before"
    ISSUED = "that and the copy itself"
    EVERYTHING = "all work of all contexts"


_NOTHING = Wait.NOTHING
_ISSUED = Wait.ISSUED


@dataclass(slots=True, eq=False)
class Move:
    """What is known of a copy or memset before it is made, and of all that equal it.

    As of a ``version`` of the memory, ``destination`` and ``source`` are the live memory at its ends (None
    for host memory and for addresses in no live memory), and ``touches`` is what it certainly touches in live
    memory, the destination first; ``stray`` tells that an address is in none, and ``inside`` that every
    operand stays within the bounds of its memory. All that holds as long as ``regions`` are live; None if
    nobody knows how long. ``written`` are the bytes of the destination.
    ``fills_base``: it copies a host array to the start of its memory. ``goes_on``: it uses host memory while
    the host goes on. ``is_staged``: the driver may have read its source when the call returns.

    ``is_settled``: the rules that look at nothing but all this
    (:attr:`~pycuda_guard.checks.base.Rule.only_new`) have looked at such a move and said nothing; where it
    ``varies``, they may still say something of the next. ``track`` and ``accesses`` are the last one's.
    ``owner`` knows it.
    """

    waits: Wait = Wait.NOTHING
    goes_on: bool = False
    is_staged: bool = False
    version: int = -1
    destination: Region | None = None
    source: Region | None = None
    stray: bool = False
    inside: bool = True
    touches: tuple[Touch, ...] = ()
    regions: tuple[Region, ...] | None = None
    written: Range | None = None
    fills_base: bool = False
    is_settled: bool = False
    varies: bool = False
    track: Track | None = None
    accesses: Sequence[Access] = ()
    owner: object = None


class Moves:
    """The moves by their operands. What comes for the first time need not come again, so it is only noted."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._copies: dict[tuple[Operand, Operand, CopyKind, bool], Move] = {}
        self._memsets: dict[Operand, Move] = {}
        self._once: dict[object, None] = {}

    def of_copy(self, event: Copy, pattern: Pattern | None = None) -> Move:
        """Return what is known of a copy, which equals all others of the same ``pattern``."""
        if pattern is not None:
            known: Move | None = pattern.plan
            if known is None or known.owner is not self:
                known = pattern.plan = self.of_copy(event)
                known.owner = self
            elif known.version != self._memory.version and not self._holds(known):
                self._relocate(known, event)
            return known
        key = (event.destination, event.source, event.kind, event.asynchronous)
        move = self._copies.get(key)
        if move is None:
            source = event.source
            is_staged = type(source) is HostOperand and source.kind is _PAGEABLE
            move = Move(_waits(event), event.asynchronous and _goes_on(event), is_staged)
            if self._is_again(key):
                _keep(self._copies, key, move)
        if move.version != self._memory.version and not self._holds(move):
            self._relocate(move, event)
        return move

    def _relocate(self, move: Move, event: Copy) -> None:
        self._locate(move, event.destination, event.source)
        if event.kind is _PEER:
            move.touches = ()

    def of_memset(self, event: Memset) -> Move:
        """Return what is known of a memset."""
        move = self._memsets.get(event.destination)
        if move is None:
            move = Move()
            if self._is_again(event.destination):
                _keep(self._memsets, event.destination, move)
        if move.version != self._memory.version and not self._holds(move):
            self._locate(move, event.destination)
            is_locked = any(region.kind in PAGE_LOCKED for _, _, region in move.touches)
            move.waits = _ISSUED if is_locked else _NOTHING
        return move

    def _is_again(self, key: object) -> bool:
        """Tell whether something comes for the second time."""
        if key in self._once:
            del self._once[key]
            return True
        _keep(self._once, key, None)
        return False

    def _holds(self, move: Move) -> bool:
        """Tell whether what was found holds still, though memory has come or gone."""
        if move.regions is None:
            return False
        for region in move.regions:
            if not region.is_live:
                return False
        move.version = self._memory.version
        return True

    def _locate(self, move: Move, destination: Operand, source: Operand | None = None) -> None:
        """Look up what a move is about, now that memory has come or gone."""
        move.stray, move.inside = False, True
        touches: list[Touch] = []
        move.destination = self._look_at(move, "write", destination, touches)
        move.source = None if source is None else self._look_at(move, "read", source, touches)
        move.touches = tuple(touches)
        ends = (destination, source)
        pinned = [end for end in ends if type(end) is HostOperand and end.kind in _ASYNCHRONOUS_HOST]
        is_found = move.inside and len(touches) == len(pinned) + sum(
            type(end) is DeviceOperand for end in ends
        )
        move.regions = tuple([region for _, _, region in touches]) if is_found else None
        if type(destination) is DeviceOperand:
            base = None if move.destination is None else move.destination.base
            move.written = of_extent(destination.address, destination.extent)
            move.fills_base = type(source) is HostOperand and destination.address == base
        move.is_settled = move.varies = False
        move.track = None
        move.version = self._memory.version

    def _look_at(self, move: Move, kind: str, operand: Operand, touches: list[Touch]) -> Region | None:
        """Return the memory of an operand; note whether it stays within that, and what is touched there."""
        if type(operand) is OddOperand:
            return None
        extent = operand.extent  # type: ignore[union-attr]
        width, offset = extent.width, extent.offset
        end = offset + width if extent.rows == 1 and extent.slices == 1 else extent.end
        if width < 0 or offset < 0:
            move.inside = False
        if type(operand) is DeviceOperand:
            region = self._memory.find(operand.address)
            if region is None:
                move.stray, move.inside = True, False
            elif operand.address + end > region.end:
                move.inside = False
            self._touch(kind, operand, region if offset == 0 else None, touches)
            return region
        if end > operand.nbytes:  # type: ignore[union-attr]
            move.inside = False
        if type(operand) is HostOperand and operand.kind in _ASYNCHRONOUS_HOST:
            self._touch(kind, operand, None, touches)
        return None

    def _touch(
        self, kind: str, operand: DeviceOperand | HostOperand, region: Region | None, touches: list[Touch]
    ) -> None:
        """Note what is touched of an operand, as far as it is in live memory, ``region`` if given."""
        touched = of_extent(operand.address, operand.extent)
        if touched is None:
            return
        region = region or self._memory.find(touched.start)
        if region is not None and touched.end <= region.end:
            touches.append((kind, touched, region))


def _keep(table: dict[Any, Any], key: object, value: object) -> None:
    """Enter something into a table that must not grow for ever."""
    if len(table) >= _MAX_KNOWN:
        table.clear()
    table[key] = value


def _waits(event: Copy) -> Wait:
    """Return what the host waits for with a copy."""
    if event.kind is _PEER:
        return Wait.EVERYTHING
    destination, source = event.destination, event.source
    host = destination if type(destination) is HostOperand else source
    if type(host) is not HostOperand or (event.asynchronous and host.kind in _ASYNCHRONOUS_HOST):
        return _NOTHING
    return Wait.EARLIER if host is source and host.kind is _PAGEABLE else _ISSUED


def _goes_on(event: Copy) -> bool:
    """Tell whether an asynchronous copy uses host memory that it can go on with while the host does."""
    ends = (event.destination, event.source)
    return any(type(end) is HostOperand and end.kind in _ASYNCHRONOUS_HOST for end in ends)
