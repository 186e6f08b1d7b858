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
    from collections.abc import Callable, Iterator

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.ptx.ir import FlatFunction


class _Piece:
    """Instructions without a barrier: their accesses, and the pieces that may follow without one."""

    def __init__(self) -> None:
        self.accesses: list[Access] = []
        self.after: list[_Piece] = []


def intervals(function: FlatFunction, is_member: Callable[[Access], bool]) -> Iterator[list[Access]]:
    """Yield, for each barrier and the beginning, the accesses that may come before the next barrier."""
    flow = flow_of(function)
    first: list[_Piece] = []
    last: list[_Piece] = []
    starts: list[_Piece] = []
    for block in flow.blocks:
        piece = _Piece()
        first.append(piece)
        for instruction in block:
            if is_full_barrier(instruction):
                piece = _Piece()
                starts.append(piece)
            piece.accesses += filter(is_member, accesses_of(instruction))
        last.append(piece)
    for edge in flow.edges:
        if edge.target != EXIT:
            last[edge.source].after.append(first[edge.target])
    for start in [first[0], *starts]:
        yield _reached(start)


def _reached(start: _Piece) -> list[Access]:
    found: list[Access] = []
    seen = {id(start)}
    pending = [start]
    while pending:
        piece = pending.pop()
        found += piece.accesses
        for following in piece.after:
            if id(following) not in seen:
                seen.add(id(following))
                pending.append(following)
    return found
