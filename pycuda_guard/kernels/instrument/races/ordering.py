"""The one table of what orders accesses in a kernel, and how strong an access is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.races.identity import Strength

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.ptx.ir import Instruction

_STRONG = frozenset({"relaxed", "acquire", "release", "acq_rel", "mmio"})
_RELEASING = frozenset({"release", "acq_rel"})
_ATOMIC = frozenset({"atom", "red"})
_COLLECTIVE = frozenset({"shfl", "vote", "match", "redux", "elect"})
_ALL_LANES = 0xFFFFFFFF


def is_block_barrier(instruction: Instruction) -> bool:
    """Tell whether threads of a block wait for one another there, or say that they have come."""
    return instruction.opcode in ("bar", "barrier") and not {"warp", "cluster"} & {*instruction.modifiers}


def is_full_barrier(instruction: Instruction) -> bool:
    """Tell whether it is barrier 0 of all threads of the block."""
    if not is_block_barrier(instruction) or "arrive" in instruction.modifiers:
        return False
    if "red" in instruction.modifiers:
        return len(instruction.operands) == 3 and _is_zero(instruction, 1)
    return len(instruction.operands) == 1 and _is_zero(instruction, 0)


def without_alignment(instruction: Instruction) -> Instruction:
    """Return a barrier of the block that lanes of one warp may come to in different places.

    ``bar.sync`` promises that they come together, and a GPU may hang where they don't.
    """
    kept = tuple(word for word in instruction.modifiers if word != "aligned")
    return replace(instruction, opcode="barrier", modifiers=kept)


def _is_zero(instruction: Instruction, position: int) -> bool:
    return getattr(instruction.operands[position], "value", None) == 0


def is_warp_barrier(instruction: Instruction) -> bool:
    """Tell whether it is ``__syncwarp``."""
    return instruction.opcode in ("bar", "barrier") and "warp" in instruction.modifiers


def waits_for_lanes(instruction: Instruction) -> bool:
    """Tell whether lanes of a warp wait there for those that a mask names, the last operand."""
    if is_warp_barrier(instruction):
        return True
    return instruction.opcode in _COLLECTIVE and "sync" in instruction.modifiers


def is_for_whole_warp(instruction: Instruction) -> bool:
    """Tell whether a ``__syncwarp`` surely is for all lanes."""
    return getattr(instruction.operands[0], "value", 0) & _ALL_LANES == _ALL_LANES


def is_release(instruction: Instruction) -> bool:
    """Tell whether what a thread did before is seen by whoever sees what it does after."""
    if instruction.opcode in ("membar", "fence"):
        return not any(word.startswith(("proxy", "mbarrier")) for word in instruction.modifiers)
    return instruction.opcode in ("st", *_ATOMIC) and not _RELEASING.isdisjoint(instruction.modifiers)


def strength_of(access: Access, *, in_shared: bool) -> Strength:
    """Return how strong an access is. A volatile one is only in global memory, where flags are polled."""
    modifiers = {*access.instruction.modifiers}
    atomic = access.instruction.opcode in _ATOMIC
    if not atomic and not modifiers & _STRONG and (in_shared or "volatile" not in modifiers):
        return Strength.PLAIN
    return Strength.BLOCK if "cta" in modifiers or in_shared else Strength.DEVICE


def is_acquire(access: Access) -> bool:
    """Tell whether an access may see what another block has released."""
    return access.reads and strength_of(access, in_shared=False) is not Strength.PLAIN
