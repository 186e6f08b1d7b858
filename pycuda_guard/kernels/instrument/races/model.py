"""What the host has to know of the variant of a kernel that looks for races."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.races.cells import CELLS

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.model import SharedShadow

#: what the name of the variant ends in
RACES_SUFFIX = "$races"

#: after the ranges of the hidden parameter: address of ORDER_BYTES for each block, zeroed before the
#: launch; 0 where the kernel has no fences
ORDER = struct.Struct("<Q8x")
#: then for each root: address of the cells of its allocation's first word, 0 where nothing is watched;
#: cells stand for ``1 << shift`` bytes
ROOT_CELLS = struct.Struct("<QI4x")
ROOT_CELLS_FIELDS = {"cells": 0, "shift": 8}

#: the least and the largest site that threads wait at, for each of three barriers in turn
BARRIER_SLOT = 8
BARRIER_SLOTS = 3
#: shared memory of the slots, rounded
SLOTS_BYTES = 32


@dataclass(frozen=True, slots=True)
class RaceVariant:
    """The variant of a kernel that looks for races; it also does what the checked one does.

    ``hidden_bytes`` is the size of its hidden parameter. ``sites`` are the numbers, among the module's
    sites, of those that identities name. ``has_fences``: whether it needs memory for what orders
    blocks. ``shadow``: of shared memory, None where races there are not looked for. ``is_partial``:
    it accesses global memory by addresses of unknown origin, which are not watched.
    """

    name: str
    hidden_bytes: int
    sites: tuple[int, ...]
    has_fences: bool
    shadow: SharedShadow | None
    is_partial: bool

    def shared_bytes(self, dynamic: int) -> int:
        """Return the dynamic shared memory to ask for where the program asks for ``dynamic`` bytes."""
        if self.shadow is None:
            return -(-dynamic // 16) * 16 + SLOTS_BYTES + 16
        codes = self.shadow.static // self.shadow.granule + -(-dynamic // self.shadow.granule)
        return self.shadow.size(dynamic) + SLOTS_BYTES + 16 + CELLS * (codes + 16)
