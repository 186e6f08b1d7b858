"""Values that all threads of a launch agree on, as far as their instructions alone tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import Address, Immediate, Instruction, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand

_SPECIAL = re.compile(r"%n(tid|ctaid)\.[xyz]")

#: what computes from its operands alone
_PURE = frozenset(
    {"mov", "cvt", "cvta", "add", "sub", "mul", "mad", "fma", "div", "rem", "neg", "abs", "min", "max"}
    | {"and", "or", "xor", "not", "shl", "shr", "selp", "setp"}
)


class Agreement:
    """Tells what the registers of a function hold that hold the same in all threads of a launch."""

    def __init__(self, function: FlatFunction) -> None:
        parameters = {parameter.name for parameter in function.function.parameters}
        self._made: dict[str, Instruction | None] = {}  # None where that is not one instruction
        self._known: dict[str, bool] = {}
        for entry in function.body:
            if isinstance(entry, Instruction):
                is_known = entry.guard is None and _is_pure(entry, parameters)
                for name in definitions(entry):
                    self._made[name] = entry if is_known and name not in self._made else None

    def on_what_is_stored(self, instruction: Instruction) -> bool:
        """Tell whether all threads that do an instruction store the same number."""
        return instruction.opcode == "st" and self._holds(instruction.operands[1])

    def _holds(self, operand: Operand) -> bool:
        if isinstance(operand, Immediate):
            return True
        if not isinstance(operand, Register) or operand.part or operand.negative:
            return False
        if operand.special:
            return _SPECIAL.fullmatch(operand.name) is not None
        known = self._known.get(operand.name)
        if known is None:
            self._known[operand.name] = False  # of a register that is made of itself, nothing is known
            made = self._made.get(operand.name)
            known = made is not None and (made.opcode == "ld" or all(map(self._holds, made.operands[1:])))
            self._known[operand.name] = known
        return known


def _is_pure(instruction: Instruction, parameters: set[str]) -> bool:
    """Tell whether an instruction makes one number of its operands, or loads a parameter."""
    if len(definitions(instruction)) != 1 or not isinstance(instruction.operands[0], Register):
        return False
    if instruction.opcode == "ld":
        address = instruction.operands[1]
        is_named = isinstance(address, Address) and isinstance(address.base, Symbol)
        return is_named and address.base.name in parameters  # type: ignore[union-attr]
    return instruction.opcode in _PURE and "cc" not in instruction.modifiers
