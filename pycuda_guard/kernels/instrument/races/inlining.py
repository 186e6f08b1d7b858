"""Puts the device functions that a kernel calls in the place of the calls.

What is then one function has one identity of its threads, whose time goes on at the barriers of all, and
addresses whose origin is known from the kernel's parameters on. Parameters that are one number become
registers, others local memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Address,
    Arguments,
    FlatFunction,
    Guard,
    Instruction,
    Label,
    Register,
    Space,
    Symbol,
    Variable,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import called
from pycuda_guard.kernels.ptx.renaming import renamed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycuda_guard.kernels.ptx.ir import Operand

_MOST_INSTRUCTIONS = 20_000
#: what a function's own copy shares with all others
_SHARED = (Space.SHARED, Space.GLOBAL, Space.CONST)
_PASSED = frozenset({"param", "param::func"})


class _NotPossibleError(Exception):
    """A function can't be put in the place of a call."""


def inlined(flat: FlatFunction, functions: Mapping[str, FlatFunction]) -> FlatFunction | None:
    """Return a kernel without calls of ``functions``, none of them recursive; None where that can't be."""
    try:
        return _Inliner(flat, functions).run()
    except _NotPossibleError:
        return None


class _Inliner:
    def __init__(self, flat: FlatFunction, functions: Mapping[str, FlatFunction]) -> None:
        self.functions = functions
        self.kernel = flat
        self.body: list[Instruction | Label] = []
        self.registers = dict(flat.registers)
        self.variables = dict(flat.variables)
        self.tables = dict(flat.tables)
        self.copies = 0
        #: what a parameter of a call has become: a register, or a variable in local memory
        self.passed: dict[str, Register | Variable] = {}

    def run(self) -> FlatFunction:
        self.add(self.kernel.body)
        body = [self.with_passed(entry) if isinstance(entry, Instruction) else entry for entry in self.body]
        for name in self.passed:
            self.variables.pop(name, None)
        return FlatFunction(
            self.kernel.function, self.registers, self.variables, body, self.tables, self.kernel.prototypes
        )

    def add(self, body: list[Instruction | Label]) -> None:
        """Add statements, each call of a function as that function's own."""
        for entry in body:
            callee = called(entry) if isinstance(entry, Instruction) else None
            if (
                isinstance(entry, Instruction)
                and isinstance(callee, Symbol)
                and callee.name in self.functions
            ):
                self.add_call(entry, self.functions[callee.name])
            elif isinstance(callee, Register):
                raise _NotPossibleError
            else:
                self.body.append(entry)
        if len(self.body) > _MOST_INSTRUCTIONS:
            raise _NotPossibleError

    def add_call(self, call: Instruction, function: FlatFunction) -> None:
        self.copies += 1
        copy = _Copy(function, f"$i{self.copies}")
        end = f"$pg_returned{self.copies}"
        given = [operand.elements for operand in call.operands if isinstance(operand, Arguments)]
        position = next(index for index, operand in enumerate(call.operands) if isinstance(operand, Symbol))
        has_returns = position > 0
        returned = given[0] if has_returns else ()
        arguments = given[has_returns] if len(given) > has_returns else ()
        own = (*function.function.returns, *function.function.parameters)
        outer = (*returned, *arguments)
        if len(own) != len(outer):
            raise _NotPossibleError
        for parameter, argument in zip(own, outer, strict=True):
            if not isinstance(argument, Symbol) or parameter.space is Space.REG:
                raise _NotPossibleError
            place = self.new_place(parameter)
            self.passed[argument.name] = self.passed[copy.name(parameter.name)] = place
        self.registers.update({copy.name(name): kind for name, kind in function.registers.items()})
        for name, variable in function.variables.items():
            self.variables[copy.name(name)] = replace(variable, name=copy.name(name))
        for name, targets in function.tables.items():
            self.tables[copy.name(name)] = tuple(map(copy.name, targets))
        if function.prototypes:
            raise _NotPossibleError
        if call.guard is not None:
            around = Guard(call.guard.register, not call.guard.negated)
            self.body.append(Instruction("bra", (), (Symbol(end),), around, source=call.source))
        self.add([renamed(entry, copy.name, end) for entry in function.body])
        self.body.append(Label(end))

    def new_place(self, parameter: Variable) -> Register | Variable:
        """Return where a parameter is handed over."""
        name = f"pg_passed_{len(self.passed)}"
        if not parameter.dims and parameter.vector == 1 and parameter.size in (2, 4, 8):
            register = Register(f"%{name}")
            self.registers[register.name] = f"b{8 * parameter.size}"
            return register
        variable = Variable(
            name, Space.LOCAL, "b8", align=max(parameter.alignment, 8), dims=(parameter.size,)
        )
        self.variables[name] = variable
        return variable

    def with_passed(self, instruction: Instruction) -> Instruction:
        """Return an instruction with parameters of calls where they are handed over."""
        bases = [each.base if isinstance(each, Address) else each for each in instruction.operands]
        touched = [base.name for base in bases if isinstance(base, Symbol)]
        places = [self.passed[name] for name in touched if name in self.passed]
        if not places:
            return instruction
        place = places[0]
        position = 1 if instruction.opcode == "ld" else 0
        address = instruction.operands[position] if len(instruction.operands) == 2 else None
        if instruction.opcode not in ("ld", "st") or not isinstance(address, Address) or len(places) > 1:
            raise _NotPossibleError
        assert isinstance(address.base, Symbol)
        offset = address.base.offset + address.offset
        if isinstance(place, Variable):
            modifiers = tuple("local" if word in _PASSED else word for word in instruction.modifiers)
            operands = list(instruction.operands)
            operands[position] = Address(Symbol(place.name), offset)
            return replace(instruction, modifiers=modifiers, operands=tuple(operands))
        kind = instruction.modifiers[-1]
        other = instruction.operands[1 - position]
        if offset or isinstance(other, Vector) or f"b{8 * TYPE_SIZES[kind]}" != self.registers[place.name]:
            raise _NotPossibleError
        moved: tuple[Operand, ...] = (place, other) if position == 0 else (other, place)
        return replace(instruction, opcode="mov", modifiers=(kind,), operands=moved)


class _Copy:
    """One copy of a device function, in which all names of its own are new."""

    def __init__(self, function: FlatFunction, suffix: str) -> None:
        self.suffix = suffix
        kept = {name for name, variable in function.variables.items() if variable.space in _SHARED}
        labels = {entry.name for entry in function.body if isinstance(entry, Label)}
        parameters = {each.name for each in (*function.function.returns, *function.function.parameters)}
        own = {*function.registers, *function.variables, *function.tables, *labels, *parameters}
        self.own = own - kept

    def name(self, name: str) -> str:
        """Return what a name of the function is in this copy."""
        return name + self.suffix if name in self.own else name
