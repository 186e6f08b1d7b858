"""Which accesses to shared memory may come between the same two barriers.

Two threads of a block that wait at the same barriers are, at any time, behind the same one, or at the
beginning. So two accesses can race only if both can be come to from one barrier without another between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.flow import EXIT, flow_of
from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.races.ordering import is_full_barrier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.ptx.ir import FlatFunction

#: accesses of a kernel, at most, whose pairs are looked at
_MOST_ACCESSES = 200


class _Piece:
    """Instructions without a barrier: their accesses, and the pieces that may follow without one."""

    def __init__(self, number: int, *, is_start: bool = False) -> None:
        self.number = number  # in the order of the text
        self.is_start = is_start
        self.accesses: list[Access] = []
        self.after: list[_Piece] = []

    def reach(self, *, forward: bool = False) -> dict[int, _Piece]:
        """Return the pieces that may come without a barrier, itself first. ``forward``: in one round."""
        seen = {self.number: self}
        pending = [self]
        while pending:
            piece = pending.pop()
            for following in piece.after:
                if following.number not in seen and not (forward and following.number < piece.number):
                    seen[following.number] = following
                    pending.append(following)
        return seen


def intervals(function: FlatFunction, is_member: Callable[[Access], bool]) -> Iterator[list[Access]]:
    """Yield, for each barrier and the beginning, the accesses that may come before the next barrier."""
    for piece in _pieces(function, is_member):
        if piece.is_start:
            yield [access for each in piece.reach().values() for access in each.accesses]


def around_loops(function: FlatFunction, numbers: Mapping[int, int]) -> tuple[tuple[int, int, bool], ...]:
    """Return pairs of accesses that no barrier is between where a loop begins its next round.

    Accesses are told by ``numbers``, given by the identity of their instructions. Last comes whether they
    are without a barrier between them in one round, too.
    """
    pieces = _pieces(function, lambda access: id(access.instruction) in numbers)
    pieces = [piece for piece in pieces if piece.accesses]
    if sum(len(piece.accesses) for piece in pieces) > _MOST_ACCESSES:
        return ()
    ahead = {piece.number: piece.reach(forward=True) for piece in pieces}
    anywhere = {piece.number: _followers(piece) for piece in pieces}
    found = []
    for index, first in enumerate(pieces):
        for second in pieces[index:]:
            if first.number in anywhere[second.number]:
                found += [
                    (
                        numbers[id(one.instruction)],
                        numbers[id(other.instruction)],
                        second.number in ahead[first.number],
                    )
                    for one in first.accesses
                    for other in second.accesses
                    if one.writes or other.writes
                ]
    return tuple(found)


def _followers(piece: _Piece) -> set[int]:
    """Return the pieces that may come after one without a barrier; itself where a loop leads back to it."""
    return {number for following in piece.after for number in following.reach()}


def _pieces(function: FlatFunction, is_member: Callable[[Access], bool]) -> list[_Piece]:
    """Divide a function into pieces, in the order of the text."""
    flow = flow_of(function)
    pieces: list[_Piece] = []
    first: list[_Piece] = []
    last: list[_Piece] = []
    for block in flow.blocks:
        pieces.append(_Piece(len(pieces), is_start=not pieces))
        first.append(pieces[-1])
        for instruction in block:
            if is_full_barrier(instruction):
                pieces.append(_Piece(len(pieces), is_start=True))
            pieces[-1].accesses += filter(is_member, accesses_of(instruction))
        last.append(pieces[-1])
    for edge in flow.edges:
        if edge.target != EXIT:
            last[edge.source].after.append(first[edge.target])
    return pieces
