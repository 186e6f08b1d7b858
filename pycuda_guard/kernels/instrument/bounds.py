"""Bounds of addresses that the host computes for each launch, so that the kernel only compares.

A :class:`Bound` says what is accessed around an address; the two words that the host makes of it are
``low`` and ``extent``: all of it is right where ``address - low < extent``, unsigned. A relative one is
about a number that is added to several roots: where one check of it is enough for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = 1 << 64
#: what nothing is outside of, for launches that are not watched
UNBOUNDED = (0, _WORD - 1)


@dataclass(frozen=True, slots=True)
class Reach:
    """Bytes that are accessed through one root, from ``low`` up to ``high`` after an address.

    The root itself must be a multiple of ``alignment``.
    """

    root: int
    low: int
    high: int
    alignment: int


@dataclass(frozen=True, slots=True)
class Bound:
    """What is accessed around an address, or where ``relative`` around each root plus a number."""

    reaches: tuple[Reach, ...]
    relative: bool

    def words(self, roots: Sequence[int], ranges: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Return ``low`` and ``extent``; extent 0 where no address is right.

        ``roots`` are the values of the kernel's roots, ``ranges`` the address and size in bytes of the
        allocation of each, size 0 for none.
        """
        first, end = -_WORD, _WORD
        for reach in self.reaches:
            address, size = ranges[reach.root]
            value = roots[reach.root]
            if value % reach.alignment:
                return 0, 0
            if self.relative:
                address -= value
            first = max(first, address - reach.low)
            end = min(end, address + size - reach.high + 1)
        return (first % _WORD, end - first) if first < end else (0, 0)
