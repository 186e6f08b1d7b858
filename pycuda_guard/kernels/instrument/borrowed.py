"""Variables of another module: a function is told where they are, and has no variables of its own.

What was at a variable by name is at an address that the host writes into the hidden parameter. Constant
memory is read as global memory then, which it is a cached view of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.builder import at
from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Address,
    Arguments,
    Composite,
    Immediate,
    Instruction,
    Pair,
    Register,
    RegisterDeclaration,
    Scope,
    Space,
    Symbol,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pycuda_guard.kernels.analysis.provenance import Provenance
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Function, Operand, Statement, Variable

_SPACES = (Space.GLOBAL, Space.CONST)
_REGISTER = "%pg_variable"
_WORD = 8


def is_literal(variable: Variable) -> bool:
    """Tell whether a variable is a text of the compiler's, such as a format: nobody writes to it."""
    return variable.space is Space.GLOBAL and variable.name.startswith("$") and not variable.linkage


def borrowed_variables(
    flat: FlatFunction, provenance: Provenance, variables: Mapping[str, Variable]
) -> tuple[str, ...] | None:
    """Return which of the module's ``variables`` a kernel names; None where it can't do with addresses."""
    if any(variable.space in _SPACES for variable in flat.variables.values()):
        return None
    others = {name for name, each in variables.items() if each.space in _SPACES and not is_literal(each)}
    found: dict[str, None] = {}
    for entry in flat.body:
        if not isinstance(entry, Instruction):
            continue
        named = [name for name in _names(entry.operands) if name in others]
        found.update(dict.fromkeys(named))
        if named and not _takes_address(entry):
            return None
        if entry.opcode == "isspacep" and "const" in entry.modifiers:
            return None
        for access in accesses_of(entry):
            if access.space is Space.CONST:
                origin = provenance.origin(access.address)
                if origin is None or getattr(origin.source, "name", "") not in others:
                    return None
    return tuple(found)


def with_borrowed(function: Function, names: Sequence[str], start: int) -> Function:
    """Return a kernel in which variables are at addresses told from ``start`` on in the hidden parameter."""
    if not names:
        return function
    places = {name: start + _WORD * index for index, name in enumerate(names)}
    borrower = _Borrower(places)
    body = list(borrower.statements(function.body or ()))
    declared = RegisterDeclaration("b64", ((_REGISTER, borrower.count),))
    return replace(function, body=[declared, *body] if borrower.count else body)


class _Borrower:
    def __init__(self, places: Mapping[str, int]) -> None:
        self.places = places
        self.count = 0

    def statements(self, body: Iterable[Statement]) -> Iterator[Statement]:
        """Yield statements with addresses in the place of variables."""
        for statement in body:
            if isinstance(statement, Scope):
                yield Scope(list(self.statements(statement.body)))
            elif isinstance(statement, Instruction):
                yield from self.instruction(statement)
            else:
                yield statement

    def instruction(self, instruction: Instruction) -> Iterator[Instruction]:
        """Yield an instruction, after those that load the addresses that it needs."""
        operands: list[Operand] = []
        for operand in instruction.operands:
            base = operand.base if isinstance(operand, Address) else operand
            if not isinstance(base, Symbol) or base.name not in self.places:
                operands.append(operand)
                continue
            address = self.register()
            place = at(Symbol(abi.LAUNCH_PARAMETER), self.places[base.name])
            yield Instruction("ld", ("param", "b64"), (address, place))
            if isinstance(operand, Address):
                operands.append(Address(address, base.offset + operand.offset))
                continue
            if base.offset:
                moved = self.register()
                yield Instruction("add", ("s64",), (moved, address, Immediate("int", base.offset)))
                address = moved
            operands.append(address)
        yield _in_global(replace(instruction, operands=tuple(operands)))

    def register(self) -> Register:
        """Return a new register for an address."""
        self.count += 1
        return Register(f"{_REGISTER}{self.count - 1}")


def _in_global(instruction: Instruction) -> Instruction:
    """Return an instruction for global memory in the place of one for constant memory."""
    if "const" not in instruction.modifiers:
        return instruction
    if instruction.opcode == "cvta":  # addresses of global memory are generic ones
        return replace(instruction, opcode="mov", modifiers=instruction.modifiers[-1:])
    modifiers = tuple("global" if word == "const" else word for word in instruction.modifiers)
    return replace(instruction, modifiers=modifiers)


def _takes_address(instruction: Instruction) -> bool:
    """Tell whether the symbols that an instruction names are addresses, in forms that registers have too."""
    is_wide = bool(instruction.modifiers) and TYPE_SIZES.get(instruction.modifiers[-1]) == _WORD
    for operand in instruction.operands:
        if isinstance(operand, Pair | Vector | Arguments | Composite) and any(_names((operand,))):
            return False
        if isinstance(operand, Symbol) and not is_wide:
            return False
    return instruction.opcode != "call"


def _names(operands: Iterable[Operand]) -> Iterator[str]:
    """Yield the symbols in operands."""
    for operand in operands:
        match operand:
            case Symbol(name) | Address(Symbol(name)):
                yield name
            case Pair(first, second):
                yield from _names((first, second))
            case Vector(elements) | Arguments(elements) | Composite(elements):
                yield from _names(elements)
