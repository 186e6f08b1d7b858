"""What one instruction reads and writes, as the code generator asks for it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx import opcodes
from pycuda_guard.kernels.ptx.ir import Negated, Register, Space, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_SPACES = {space.value: space for space in Space if space not in (Space.GENERIC, Space.REG)}

#: which operands the second half of a warp operation may read; the others are given before the cut
_READ_AFTER: dict[str, tuple[int, ...]] = {
    "shfl": (2, 3, 4),
    "vote": (2,),
    "redux": (2,),
    "ldmatrix": (),
    "stmatrix": (1,),
    "movmatrix": (),
    "mma": (3,),
    "bar": (),
    "barrier": (),
}


def reads(instruction: Instruction) -> Iterator[str]:
    """Yield the names of the declared registers that an instruction reads, its guard included."""
    return (register.name for register in opcodes.uses(instruction) if not register.special)


def writes(instruction: Instruction) -> tuple[str, ...]:
    """Return the names of the registers that an instruction may write."""
    return opcodes.definitions(instruction)


def reads_after_cut(instruction: Instruction) -> list[str]:
    """Return the registers that the second half of an instruction with two halves may read."""
    places = _READ_AFTER.get(instruction.opcode)
    if places is None:
        return list(reads(replace(instruction, guard=None)))
    return [
        name
        for place in places
        if place < len(instruction.operands)
        for name in _names(instruction.operands[place])
    ]


def _names(operand: Operand) -> Iterator[str]:
    if isinstance(operand, Negated):
        operand = operand.operand
    if isinstance(operand, Vector):
        for element in operand.elements:
            yield from _names(element)
    if isinstance(operand, Register) and not operand.special:
        yield operand.name


def is_suspension(instruction: Instruction) -> bool:
    """Whether a thread stops at an instruction until others have come; at ``bar.arrive``, to be counted.

    At ``activemask`` too: it names the lanes that are there together, so they must meet.
    """
    if instruction.opcode in ("bar", "barrier") and "arrive" in instruction.modifiers:
        return "cluster" not in instruction.modifiers
    return opcodes.suspends(instruction) or instruction.opcode == "activemask"


def is_matrix_operation(instruction: Instruction) -> bool:
    """Whether the lanes of a warp lend each other the parts of matrices that they hold."""
    row = opcodes.OPCODES.get(instruction.opcode)
    return row is not None and row.category is opcodes.Category.MATRIX and row.supported


def is_volatile_shared_store(instruction: Instruction) -> bool:
    """Whether this is a volatile store that may go to shared memory."""
    return (
        instruction.opcode == "st"
        and "volatile" in instruction.modifiers
        and space_of(instruction) in (Space.SHARED, Space.GENERIC)
    )


def space_of(instruction: Instruction) -> Space:
    """Return the state space that an instruction names, or GENERIC."""
    return _space(instruction.modifiers)


@lru_cache(maxsize=1024)
def _space(modifiers: tuple[str, ...]) -> Space:
    for modifier in modifiers:
        found = _SPACES.get(modifier.split("::")[0])
        if found is not None:
            return found
    return Space.GENERIC
