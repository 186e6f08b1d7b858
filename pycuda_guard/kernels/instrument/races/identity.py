"""The identity of an access: 64 bits that say which thread did it, when, where in the kernel, and how.

A *cell* holds the identity of the last write of a word of memory, or of its readers; 0 is nobody. Time is
counted in epochs: a thread's block epoch grows at each barrier of its block, its warp epoch at each
``__syncwarp`` since then. Fields that have reached their largest value say "at least that": then the
order of two accesses is not known, and they count as ordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class Field:
    """Some bits of an identity."""

    shift: int
    bits: int

    @property
    def largest(self) -> int:
        """The largest value."""
        return (1 << self.bits) - 1

    @property
    def mask(self) -> int:
        """The bits, in place."""
        return self.largest << self.shift

    def of(self, identity: int) -> int:
        """Return the field's value."""
        return identity >> self.shift & self.largest

    def put(self, value: int) -> int:
        """Return the bits for a value, which must fit."""
        if not 0 <= value <= self.largest:
            raise ValueError(f"{value} has more than {self.bits} bits")
        return value << self.shift


THREAD = Field(0, 10)  # index in the block, x fastest
BLOCK_EPOCH = Field(10, 12)  # from 1 up
WARP_EPOCH = Field(22, 4)
SITE = Field(26, 10)  # of the kernel's race sites
STRENGTH = Field(36, 2)
RELEASES = Field(38, 2)  # of the block so far
READERS = Field(40, 2)
BLOCK = Field(42, 22)  # index in the grid, x fastest

#: a warp's threads differ in these bits of their index alone
LANES = 31


class Strength(IntEnum):
    """How strong an access is: two that are strong enough for their distance don't race."""

    PLAIN = 0
    BLOCK = 1  # atomic within the block
    DEVICE = 2  # atomic on the device


class Readers(IntEnum):
    """Whom the cell of a word's readers stands for."""

    ONE = 0
    WARP = 1  # several threads of the warp, in the same epochs
    BLOCK = 2  # threads of several warps of the block, in the same block epoch
    GRID = 3  # threads of several blocks


@dataclass(frozen=True, slots=True)
class Accessor:
    """An identity, taken apart. ``block`` and ``thread`` are linear indices, x fastest."""

    block: int
    thread: int
    site: int
    readers: Readers
    strength: Strength


def decode(identity: int) -> Accessor:
    """Return what an identity says."""
    return Accessor(
        BLOCK.of(identity),
        THREAD.of(identity),
        SITE.of(identity),
        Readers(READERS.of(identity)),
        Strength(min(STRENGTH.of(identity), Strength.DEVICE)),
    )
