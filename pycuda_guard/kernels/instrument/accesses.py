"""The one table of what a memory instruction accesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Address,
    Immediate,
    Register,
    Space,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import OPCODES, Category, definitions

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import Guard, Instruction, Operand

_SPACES = {
    "global": Space.GLOBAL,
    "shared": Space.SHARED,
    "shared::cta": Space.SHARED,
    "local": Space.LOCAL,
    "param": Space.PARAM,
    "param::entry": Space.PARAM,
    "param::func": Space.PARAM,
    "const": Space.CONST,
}
#: distributed shared memory of a cluster: addresses that only the hardware can tell about
_CLUSTER = "shared::cluster"
_KINDS = {"ld": "read", "ldu": "read", "st": "write", "atom": "atomic", "red": "atomic"}
#: opcodes that touch no memory that could be global, or do nothing where it can't be accessed
_HARMLESS = frozenset(
    {
        *("prefetch", "prefetchu", "applypriority", "createpolicy", "ldmatrix", "stmatrix", "mbarrier"),
        *("membar", "fence", "tex", "tld4", "txq", "suld", "suq", "sust", "sured", "istypep"),
    }
)


@dataclass(frozen=True, slots=True)
class Access:
    """One access of one instruction.

    ``kind`` is ``read``, ``write`` or ``atomic``. ``width`` is in bytes, all elements of a vector
    together; the address must be a multiple of it. ``destinations`` are the registers that get what
    is read. ``element`` is the width of one element.
    """

    instruction: Instruction
    kind: str
    space: Space
    address: Address
    width: int
    element: int
    destinations: tuple[str, ...] = ()

    @property
    def guard(self) -> Guard | None:
        """The guard under which it happens."""
        return self.instruction.guard

    @property
    def reads(self) -> bool:
        """Whether it reads memory."""
        return self.kind != "write"

    @property
    def writes(self) -> bool:
        """Whether it writes memory."""
        return self.kind != "read"


def accesses_of(instruction: Instruction) -> tuple[Access, ...]:
    """Return what an instruction accesses, without parameters; more than one only for ``cp.async``."""
    if instruction.opcode == "cp":
        return _copied(instruction)
    kind = _KINDS.get(instruction.opcode)
    if kind is None or _CLUSTER in instruction.modifiers or "async" in instruction.modifiers:
        return ()
    space = space_of(instruction)
    position = 0 if kind == "write" or instruction.opcode == "red" else 1
    if space is Space.PARAM or len(instruction.operands) <= position:
        return ()
    address = instruction.operands[position]
    element = _element(instruction)
    if not isinstance(address, Address) or not element:
        return ()
    width = element * _count(instruction, instruction.operands[1 - position])
    return (Access(instruction, kind, space, address, width, element, definitions(instruction)),)


def space_of(instruction: Instruction) -> Space:
    """Return the state space that an instruction names, GENERIC where it names none."""
    return next((_SPACES[word] for word in instruction.modifiers if word in _SPACES), Space.GENERIC)


def is_unseen(instruction: Instruction) -> bool:
    """Tell whether an instruction may access global memory in a way that the table lacks."""
    row = OPCODES.get(instruction.opcode)
    if row is None:
        return True
    if instruction.opcode in _HARMLESS or not (row.reads_memory or row.writes_memory):
        return False
    if accesses_of(instruction):
        return False
    if row.category in (Category.MATRIX, Category.BARRIER):
        return (
            space_of(instruction) is not Space.SHARED
            and {"load", "store"} & {*instruction.modifiers} != set()
        )
    if instruction.opcode == "cp":
        return (
            "bulk" in instruction.modifiers or "ca" in instruction.modifiers or "cg" in instruction.modifiers
        )
    return space_of(instruction) not in (Space.PARAM, Space.LOCAL, Space.SHARED)


def _element(instruction: Instruction) -> int:
    """Return the width of one element in bytes; 0 where it is not known."""
    sizes = [TYPE_SIZES[word] for word in instruction.modifiers if word in TYPE_SIZES]
    return sizes[-1] if sizes else 0


def _count(instruction: Instruction, data: Operand) -> int:
    if isinstance(data, Vector):
        return len(data.elements)
    if isinstance(data, Register):
        for word, count in (("v2", 2), ("v4", 4), ("v8", 8)):
            if word in instruction.modifiers:
                return count
    return 1


def _copied(instruction: Instruction) -> tuple[Access, ...]:
    """Return the two sides of ``cp.async.ca.shared.global [to], [from], size{, bytes read}``."""
    operands = instruction.operands
    plain = "async" in instruction.modifiers and "bulk" not in instruction.modifiers
    if not plain or len(operands) < 3 or not {"ca", "cg"} & {*instruction.modifiers}:
        return ()
    to, source, size = operands[:3]
    if not isinstance(to, Address) or not isinstance(source, Address) or not isinstance(size, Immediate):
        return ()
    written = Access(instruction, "write", Space.SHARED, to, size.value, size.value)
    policies = "L2::cache_hint" in instruction.modifiers
    if len(operands) - policies > 3:  # how much it reads is told when it runs
        return (written,)
    return (Access(instruction, "read", Space.GLOBAL, source, size.value, size.value), written)
