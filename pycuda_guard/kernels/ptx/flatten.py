"""One flat list of a function's instructions, in which every name is unique.

Scopes are dissolved: a register, variable, label or table of an inner scope whose name is taken
elsewhere in the function (or by the module) gets a new name, ``temp$1``. Vectors of registers
become their components: ``.reg .v4 .f32 %v`` is ``%v.x`` to ``%v.w``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Composite,
    FlatFunction,
    Instruction,
    Label,
    Negated,
    Operand,
    Pair,
    Pragma,
    Prototype,
    Register,
    RegisterDeclaration,
    Scope,
    Space,
    Symbol,
    TargetList,
    Variable,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import OPCODES, Category

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.kernels.ptx.ir import Function, Guard, Module, Statement

_COMPONENTS = ("x", "y", "z", "w", "4", "5", "6", "7")
#: which bytes or half-words of a register a video instruction takes
_PART = re.compile(r"[bh]\d+")
_COLOURS = {"r": "x", "g": "y", "b": "z", "a": "w"}


def flatten(function: Function, module: Module) -> FlatFunction:
    """Flatten the body of ``function``, which is one of ``module``'s.

    A declaration gives an empty body. ``.loc`` marks are in the instructions' ``source`` already.
    Instructions of the function are not changed: those in which a name changes are copied.
    """
    flattener = _Flattener(FlatFunction(function, {}, {}, [], {}, {}), module)
    for parameter in (*function.returns, *function.parameters):
        flattener.parameter(parameter)
    flattener.statements(function.body or [])
    return flattener.flat


class _Flattener:
    """The state of flattening: names in use, and new names in force in the open scopes."""

    def __init__(self, flat: FlatFunction, module: Module) -> None:
        self.flat = flat
        self.taken = {*module.variables, *module.functions}
        self.renamed: dict[str, str] = {}
        self.vectors: dict[str, int] = {}  # new name of a vector register → components
        self.copies = 0

    def parameter(self, variable: Variable) -> None:
        """Take the name of a parameter; one in a register is a register of the function."""
        self.taken.add(variable.name)
        if variable.space is Space.REG:
            self.flat.registers[variable.name] = variable.type

    def statements(self, body: Sequence[Statement]) -> None:
        """Flatten the statements of one scope."""
        outer = self.renamed
        self.renamed = dict(outer)
        for statement in body:  # labels may be used before they stand
            if isinstance(statement, Label | TargetList | Prototype):
                self.declare(statement.name)
        for statement in body:
            self.statement(statement)
        self.renamed = outer

    def statement(self, statement: Statement) -> None:
        """Flatten one statement."""
        flat = self.flat
        match statement:
            case Instruction():
                flat.body.append(self.instruction(statement))
            case Label(name):
                flat.body.append(Label(self.name(name)))
            case RegisterDeclaration():
                self.registers(statement)
            case Scope(body):
                self.statements(body)
            case Variable():
                name = self.declare(statement.name)
                flat.variables[name] = statement if name == statement.name else replace(statement, name=name)
            case Pragma():
                flat.pragmas.append((len(flat.body), statement))
            case TargetList(name, _, targets):
                flat.tables[self.name(name)] = tuple(self.name(target) for target in targets)
            case Prototype(name):
                new = self.name(name)
                flat.prototypes[new] = statement if new == name else replace(statement, name=new)

    def registers(self, declaration: RegisterDeclaration) -> None:
        """Add the registers of a declaration."""
        for prefix, count in declaration.names:
            members = [prefix] if count is None else [f"{prefix}{index}" for index in range(count)]
            for member in members:
                name = self.declare(member)
                if declaration.vector == 1:
                    self.flat.registers[name] = declaration.type
                    continue
                self.vectors[name] = declaration.vector
                self.taken.update(components := [f"{name}.{c}" for c in _COMPONENTS[: declaration.vector]])
                self.flat.registers.update(dict.fromkeys(components, declaration.type))

    def declare(self, name: str) -> str:
        """Take a name for something declared as ``name`` in the open scope, and return it."""
        new = name
        while new in self.taken:
            self.copies += 1
            new = f"{name}${self.copies}"
        self.taken.add(new)
        if new != name:
            self.renamed[name] = new
        return new

    def name(self, name: str) -> str:
        """Return the unique name of what ``name`` means here."""
        return self.renamed.get(name, name)

    def instruction(self, instruction: Instruction) -> Instruction:
        """Return the instruction with the names that are in force."""
        if not self.renamed and not self.vectors and not _takes_parts(instruction):
            return instruction
        operands = tuple(map(self.operand, instruction.operands))
        guard = instruction.guard and self.guard(instruction.guard)
        if operands == instruction.operands and guard == instruction.guard:
            return instruction
        return replace(instruction, operands=operands, guard=guard)

    def guard(self, guard: Guard) -> Guard:
        """Return the guard with the name that is in force."""
        return replace(guard, register=self.name(guard.register))

    def operand(self, operand: Operand) -> Operand:
        """Return the operand with the names that are in force."""
        match operand:
            case Register(name, False):
                return self.register(operand)
            case Symbol(name, offset) if name in self.renamed:
                return Symbol(self.renamed[name], offset)
            case Address(Register(_, False) as base, offset):
                return Address(self.scalar(base), offset)
            case Address(Symbol(name, inner), offset) if name in self.renamed:
                return Address(Symbol(self.renamed[name], inner), offset)
            case Vector(elements):
                return Vector(tuple(map(self.operand, elements)))
            case Arguments(elements):
                return Arguments(tuple(map(self.operand, elements)))
            case Composite(elements):
                return Composite(tuple(map(self.operand, elements)))
            case Pair(first, second):
                return Pair(self.operand(first), self.operand(second))
            case Negated(register):
                return Negated(self.scalar(register))
            case _:
                return operand

    def register(self, register: Register) -> Register | Vector:
        """Return a register under its unique name, or the components of a whole vector."""
        name = self.name(register.name)
        if count := self.vectors.get(name):
            return Vector(tuple(Register(f"{name}.{component}") for component in _COMPONENTS[:count]))
        return self.scalar(register)

    def scalar(self, register: Register) -> Register:
        """Return a register, a component of a vector (``%v.x``, ``%v.r``) or a part under its unique name."""
        base, dot, component = register.name.partition(".")
        new = self.name(base)
        if new in self.vectors:
            component = _COLOURS.get(component, component)
        elif _PART.fullmatch(component):
            return replace(register, name=new, part=component)
        elif new == base:
            return register
        return replace(register, name=f"{new}{dot}{component}")


def _takes_parts(instruction: Instruction) -> bool:
    """Tell whether the operands of an instruction may be parts of registers."""
    row = OPCODES.get(instruction.opcode)
    return row is not None and row.category is Category.VIDEO
