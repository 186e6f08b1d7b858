"""Whether a kernel may be in order with others that run beside it, though nothing else orders them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import Instruction, Register
from pycuda_guard.kernels.ptx.opcodes import definitions, uses

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction

#: what makes an access to memory one that others may wait for
ORDERED = frozenset({"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"})
#: what an instruction names that orders nothing beyond its block
_NEAR = frozenset({"cta", "shared", "shared::cta", "shared::cluster", "local", "param"})
#: what brings values that are not computed from those of other registers
_BRINGING = frozenset({"ld", "ldu", "atom", "call"})


def orders_others(function: FlatFunction) -> bool:
    """Tell whether a kernel may be in order with others that run beside it: by fences, locks, flags.

    A compare-and-swap that puts back what it has computed of the old value, as for a sum or a maximum, is an
    update like other atomics: what makes a lock of it is a fence. Takes a time proportional to the function's
    length, for each compare-and-swap.
    """
    entries = [entry for entry in function.body if isinstance(entry, Instruction)]
    return any(_orders(entry) and not _updates(entries, entry) for entry in entries)


def _orders(instruction: Instruction) -> bool:
    """Tell whether an instruction may order accesses to global memory with those of other kernels."""
    words = {*instruction.modifiers}
    if words & _NEAR:
        return False
    if instruction.opcode in ("membar", "fence"):
        return True
    if instruction.opcode == "atom" and words & {"cas", "exch"}:
        return True
    return instruction.opcode in ("ld", "st", "atom", "red") and not ORDERED.isdisjoint(words)


def _updates(entries: list[Instruction], instruction: Instruction) -> bool:
    """Tell whether an instruction swaps what it compares with for something that was computed of that."""
    words = {*instruction.modifiers}
    if instruction.opcode != "atom" or "cas" not in words or not ORDERED.isdisjoint(words):
        return False
    compared, swapped = instruction.operands[2:4]
    if not isinstance(compared, Register) or not isinstance(swapped, Register):
        return False
    same = {compared.name}
    for entry in reversed(entries):
        if entry.opcode == "mov" and not same.isdisjoint(definitions(entry)):
            same.update(register.name for register in uses(entry))
    found = set(same)
    known = -1
    while known < len(found):
        known = len(found)
        for entry in entries:
            if entry.opcode not in _BRINGING and any(register.name in found for register in uses(entry)):
                found.update(definitions(entry))
    return swapped.name in found - same
