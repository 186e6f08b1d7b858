"""Registers that are computed again after a cut instead of being kept in memory.

Most of what lives across a barrier is cheap: indices made from special registers, pointers made from kernel
parameters. A pure register with a single definition is recomputed where that definition dominates the
place where threads go on. Only instructions with one destination qualify: to run one with two again would
overwrite the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.definitions import Definitions

#: longest chain of instructions that is run again for one register
LONGEST = 24


def split(live: list[str], start: str, definitions: Definitions) -> tuple[list[str], list[str]]:
    """Split the registers live at the start of block ``start`` into those to keep and those to recompute."""
    kept = []
    recomputed = []
    for name in live:
        if (
            definitions.is_pure(name)
            and definitions.dominates(name, start)
            and len(definitions.closure({name})) <= LONGEST
        ):
            recomputed.append(name)
        else:
            kept.append(name)
    return kept, recomputed
