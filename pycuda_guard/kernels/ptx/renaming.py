"""Statements under other names, for a copy of a device function in the place of its call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Composite,
    Guard,
    Instruction,
    Label,
    Negated,
    Pair,
    Register,
    Symbol,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.kernels.ptx.ir import Operand


def renamed(statement: Instruction | Label, name: Callable[[str], str], end: str) -> Instruction | Label:
    """Return a statement of a function under new names; what returns goes to the label ``end``.

    ``name`` gives each name its new one, which may be the old one.
    """
    if isinstance(statement, Label):
        return Label(name(statement.name))
    guard = statement.guard and Guard(name(statement.guard.register), statement.guard.negated)
    if statement.opcode == "ret":
        return replace(statement, opcode="bra", modifiers=(), operands=(Symbol(end),), guard=guard)
    operands = tuple(_renamed(operand, name) for operand in statement.operands)
    return replace(statement, operands=operands, guard=guard)


def _renamed(operand: Operand, name: Callable[[str], str]) -> Operand:
    match operand:
        case Register(old, False):
            return replace(operand, name=name(old))
        case Symbol(old, offset):
            return Symbol(name(old), offset)
        case Negated(register):
            return Negated(Register(name(register.name), register.special))
        case Address(base, offset):
            other = _renamed(base, name)
            assert isinstance(other, type(base))
            return Address(other, offset)
        case Pair(first, second):
            return Pair(_renamed(first, name), _renamed(second, name))
        case Vector(elements) | Arguments(elements) | Composite(elements):
            return type(operand)(tuple(_renamed(element, name) for element in elements))
    return operand
