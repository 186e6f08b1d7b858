"""Lowering of PTX instructions to LLVM IR, one family of opcodes a module.

:func:`lower` does it for one instruction; those at which threads wait for each other have two halves,
:func:`suspend` and :func:`resume`. Control flow (``bra``, ``ret``, ``exit``, ``trap`` and the like) is not
lowered here, nor are calls.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.instructions.registry import ENTRIES, Modifiers

if TYPE_CHECKING:
    from pycuda_guard.cpu.abi import Suspension
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction

FAMILIES = (
    "integer",
    "bits",
    "floating",
    "transcendental",
    "half",
    "comparison",
    "conversion",
    "addresses",
    "moves",
    "memory",
    "atomic",
    "video",
    "warp",
    "mma",
    "wmma",
    "ldmatrix",
    "mbarrier",
    "control",
)

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")

#: opcodes with a lowering
SUPPORTED: frozenset[str] = frozenset(ENTRIES)


def lower(e: Emitter, instruction: Instruction) -> None:
    """Emit an instruction; Unsupported if the CPU device does not know it or one of its modifiers."""
    entry = ENTRIES.get(instruction.opcode)
    lowering = entry.lowering(instruction) if entry else None
    if lowering is None:
        e.unsupported("instruction that the CPU device does not know")
    modifiers = Modifiers(e, instruction)
    lowering(e, instruction, modifiers)
    modifiers.finish()


def suspend(e: Emitter, instruction: Instruction) -> Suspension:
    """Emit the half of an instruction before its suspension point; return why the thread stops."""
    entry = ENTRIES.get(instruction.opcode)
    if entry is None or entry.suspend is None:
        e.unsupported("instruction that the CPU device does not know")
    modifiers = Modifiers(e, instruction)
    kind = entry.suspend(e, instruction, modifiers)
    modifiers.finish()
    return kind


def resume(e: Emitter, instruction: Instruction) -> None:
    """Emit the half of an instruction after its suspension point."""
    entry = ENTRIES.get(instruction.opcode)
    if entry is None or entry.resume is None:
        e.unsupported("instruction that the CPU device does not know")
    modifiers = Modifiers(e, instruction)
    entry.resume(e, instruction, modifiers)
    modifiers.finish()


__all__ = ["FAMILIES", "SUPPORTED", "lower", "resume", "suspend"]
