"""What the grammar lets through and no assembler takes: operands that lack, registers nobody declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.opcodes import definitions, fewest_operands, uses

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction


def why_malformed(instruction: Instruction, flat: FlatFunction) -> str:
    """Return what is wrong with an instruction of a function; empty if it can be worked on.

    Takes time linear in the number of operands. Raises nothing.
    """
    needed = fewest_operands(instruction)
    if len(instruction.operands) < needed:
        return f"{instruction.opcode} lacks operands: {len(instruction.operands)} of {needed}"
    for name in definitions(instruction):
        if name not in flat.registers:
            return f"the register {name} is not declared"
    for register in uses(instruction):
        if not register.special and register.name not in flat.registers:
            return f"the register {register.name} is not declared"
    return ""
