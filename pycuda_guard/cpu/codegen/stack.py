"""``alloca``, ``stacksave``, ``stackrestore``: local memory that a function takes while it runs.

Threads have no stacks but the local memory behind the variables of the running function. A function that
takes some keeps the address where the free part begins in a register of its own, like any other: it is saved
where threads stop, and tells the functions that are called where their variables begin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import Instruction, Register, Space, Symbol, Variable, Vector

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Label

#: the register, which PTX cannot name; and the end of the function's variables, where the free part begins
TOP = "%stack@"
_START = "stack@start"

OPCODES = frozenset({"alloca", "stacksave", "stackrestore"})


def takes(flat: FlatFunction) -> bool:
    """Whether a function takes local memory while it runs."""
    return any(isinstance(statement, Instruction) and statement.opcode in OPCODES for statement in flat.body)


def with_top(flat: FlatFunction) -> FlatFunction:
    """Return a function that keeps its register itself: ``alloca`` is given it, the other two are moves."""
    if not takes(flat):
        return flat
    start = Variable(_START, Space.LOCAL, "b8", align=16, dims=(0,))
    begin = Instruction("mov", ("u64",), (Register(TOP), Symbol(_START)))
    return replace(
        flat,
        registers={**flat.registers, TOP: "b64"},
        variables={**flat.variables, _START: start},
        body=[begin, *map(_changed, flat.body)],
    )


def _changed(statement: Instruction | Label) -> Instruction | Label:
    top = Register(TOP)
    match statement:
        case Instruction("alloca", _, (target, *rest)):
            return replace(statement, operands=(Vector((target, top)), top, *rest))
        case Instruction("stacksave", _, (target,)):
            return replace(statement, opcode="mov", operands=(target, top))
        case Instruction("stackrestore", _, (source,)):
            return replace(statement, opcode="mov", operands=(top, source))
    return statement


def saved(name: str) -> tuple[Instruction, Instruction]:
    """Return what to do before and after the body of a function that is inlined: save, and restore."""
    kept = (Register(name),)
    return Instruction("stacksave", ("u64",), kept), Instruction("stackrestore", ("u64",), kept)
