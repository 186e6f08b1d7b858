"""What the host has to know of the variant of a kernel that looks for races."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pycuda_guard.events.formulas import Condition, Polynomial, Uniform
from pycuda_guard.kernels.instrument.races.cells import CELLS

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.footprints import Tracing
    from pycuda_guard.kernels.instrument.model import SharedShadow

#: what the name of the variant ends in
RACES_SUFFIX = "$races"

#: after the ranges of the hidden parameter: address of ORDER_BYTES for each block, zeroed before the
#: launch, 0 where the kernel has no fences; address and entries of the table of allocations with cells
ORDER = struct.Struct("<QQI12x")
ORDER_FIELDS = {"order": 0, "rows": 8, "rows_count": 16}
#: then for each root: address of the cells of its allocation's first word, 0 where nothing is watched;
#: cells stand for ``1 << shift`` bytes
ROOT_CELLS = struct.Struct("<QI4x")
ROOT_CELLS_FIELDS = {"cells": 0, "shift": 8}

#: the least and the largest site that threads wait at, for each of three barriers in turn
BARRIER_SLOT = 8
BARRIER_SLOTS = 3
#: shared memory of the slots, rounded
SLOTS_BYTES = 32


class Place(msgspec.Struct, frozen=True):
    """``width`` bytes that each thread accesses for which all conditions hold.

    ``offset`` is their address, or in shared memory their offset in the variable.
    """

    offset: Polynomial
    width: int
    writes: bool
    conditions: tuple[Condition, ...]


class RootUse(msgspec.Struct, frozen=True):
    """What a kernel does through the root at ``position``.

    ``is_harmless``: its accesses can't race with one another. ``places`` is empty where some are unknown.
    """

    position: int
    writes: bool
    is_harmless: bool
    places: tuple[Place, ...]


class Exclusion(msgspec.Struct, frozen=True):
    """What must be apart in a launch for it to have no races.

    ``numbers`` are the integers among the parameters: position, offset in bytes, bytes, whether signed.
    ``shared``: accesses to one variable between the same two barriers. ``uses_variables``: the kernel
    accesses variables of the module, which must not be what an argument points to.
    """

    uniforms: tuple[Uniform, ...]
    numbers: tuple[tuple[int, int, int, bool], ...]
    roots: tuple[RootUse, ...]
    shared: tuple[tuple[Place, ...], ...]
    uses_variables: bool


@dataclass(frozen=True, slots=True)
class RaceVariant:
    """The variant of a kernel that looks for races; it also does what the checked one does.

    ``hidden_bytes`` is the size of its hidden parameter. ``sites`` are the numbers, among the module's
    sites, of those that identities name. ``has_fences``: whether it needs memory for what orders
    blocks. ``shadow``: of shared memory, None where races there are not looked for. ``looks_up``: it has
    accesses that find their cells by the table. ``writes_variables``: to variables of the module.
    ``narrowest`` is the width in bytes of the narrowest write by an address of unknown origin, 0 if it has
    none: such writes may be to any allocation. ``misses_shared``: races in shared memory are possible and
    can't be looked for. ``around``: pairs of sites, by their position in ``sites``, that no barrier is
    between where a loop begins its next round, and whether none is in one round either. ``exclusion`` is
    what the host can find out to know that a launch has no races; None where it can't. ``watchdog_bytes``
    is the shared memory for looking after waits that may not end, 0 where there are none. ``tracing`` is what
    it needs to note what it touches; None where it does not.
    """

    name: str
    hidden_bytes: int
    sites: tuple[int, ...]
    has_fences: bool
    shadow: SharedShadow | None
    looks_up: bool
    writes_variables: bool
    narrowest: int
    misses_shared: bool
    around: tuple[tuple[int, int, bool], ...]
    exclusion: Exclusion | None
    watchdog_bytes: int = 0
    tracing: Tracing | None = None

    def shared_bytes(self, dynamic: int) -> int:
        """Return the dynamic shared memory to ask for where the program asks for ``dynamic`` bytes."""
        if self.shadow is None:
            return -(-dynamic // 16) * 16 + SLOTS_BYTES + self.watchdog_bytes + 16
        codes = self.shadow.static // self.shadow.granule + -(-dynamic // self.shadow.granule)
        behind = SLOTS_BYTES + self.watchdog_bytes + 16
        return self.shadow.size(dynamic) + behind + CELLS * (codes + 16)
