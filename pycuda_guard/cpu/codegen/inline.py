"""Inlines, as PTX, the device functions in which threads stop.

Threads have no stacks that could be kept across a cut, so a function with a barrier or a warp operation (or
with ``exit``) becomes part of each kernel that calls it. Its parameters are then local variables. Recursion
through such a function cannot be inlined and is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen import calls, stack
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.cpu.codegen.operands import is_suspension, is_volatile_shared_store
from pycuda_guard.kernels.ptx.ir import Address, FlatFunction, Instruction, Label, Space, Symbol
from pycuda_guard.kernels.ptx.renaming import renamed

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.layout import ModuleLayout


class Inliner:
    """Expands calls in the functions of one module."""

    def __init__(self, layout: ModuleLayout) -> None:
        self._layout = layout
        self._stops: dict[str, bool] = {}
        self._copies = 0

    def expand(self, name: str) -> FlatFunction:
        """Return a function with the calls in which threads may stop expanded. Raises Unsupported."""
        return stack.with_top(self._expand(name, ()))

    def stops(self, name: str) -> bool:
        """Whether a thread may stop or exit in a function or in those that it calls by name."""
        known = self._stops.get(name)
        if known is None:
            self._stops[name] = False  # while it is looked at: recursion adds nothing
            known = self._stops[name] = any(self._may_stop(i) for i in _instructions(self._layout.flat[name]))
        return known

    def _may_stop(self, instruction: Instruction) -> bool:
        if instruction.opcode == "call":
            callee = _callee(instruction)
            return callee in self._layout.flat and self.stops(callee)
        return (
            instruction.opcode == "exit"
            or is_suspension(instruction)
            or is_volatile_shared_store(instruction)
        )

    def _expand(self, name: str, path: tuple[str, ...]) -> FlatFunction:
        if name in path:
            raise Unsupported(f"recursion through {name}, in which threads wait for each other")
        flat = self._layout.flat[name]
        if not any(self._is_expanded(i) for i in _instructions(flat)):
            return flat
        result = replace(
            flat,
            registers=dict(flat.registers),
            variables=dict(flat.variables),
            tables=dict(flat.tables),
            prototypes=dict(flat.prototypes),
            body=[],
        )
        localized: set[str] = set()
        for statement in flat.body:
            if isinstance(statement, Instruction) and self._is_expanded(statement):
                callee = self._expand(_callee(statement), (*path, name))
                self._insert(result, statement, callee, localized)
            else:
                result.body.append(statement)
        for variable in localized:
            result.variables[variable] = replace(result.variables[variable], space=Space.LOCAL)
        result.body = [_localize(statement, localized) for statement in result.body]
        return result

    def _is_expanded(self, instruction: Instruction) -> bool:
        callee = _callee(instruction)
        return callee in self._layout.flat and self.stops(callee)

    def _insert(
        self, result: FlatFunction, call: Instruction, callee: FlatFunction, localized: set[str]
    ) -> None:
        """Append the body of ``callee`` in the place of ``call``, under names of its own."""
        self._copies += 1
        suffix = f"@{self._copies}"
        returned, _, arguments = calls.split(call)
        names = {name: name + suffix for name in (*callee.registers, *callee.tables, *callee.prototypes)}
        for name, variable in callee.variables.items():
            if variable.space in (Space.LOCAL, Space.PARAM):
                names[name] = name + suffix
                result.variables[name + suffix] = replace(variable, name=name + suffix)
        declared = (*callee.function.returns, *callee.function.parameters)
        for variable, operand in zip(declared, (*returned, *arguments), strict=True):
            if not isinstance(operand, Symbol) or variable.space is Space.REG:
                raise Unsupported(f"parameter of {callee.name} in a register", call)
            names[variable.name] = operand.name
            localized.add(operand.name)
        names.update((s.name, s.name + suffix) for s in callee.body if isinstance(s, Label))
        for name, kind in callee.registers.items():
            result.registers[name + suffix] = kind
        for name, targets in callee.tables.items():
            result.tables[name + suffix] = tuple(names[target] for target in targets)
        for name, prototype in callee.prototypes.items():
            result.prototypes[name + suffix] = prototype
        end = Label(f"return{suffix}")
        if call.guard is not None:
            skip = replace(call.guard, negated=not call.guard.negated)
            result.body.append(Instruction("bra", (), (Symbol(end.name),), skip, call.span, call.source))
        last = Label(f"last{suffix}")
        body = [
            renamed(statement, lambda name: names.get(name, name), last.name) for statement in callee.body
        ]
        if stack.takes(callee):
            result.registers[f"stack{suffix}"] = "b64"
            save, restore = stack.saved(f"stack{suffix}")
            result.body += [save, *body, last, restore, end]
        else:
            result.body += [*body, last, end]


def _localize(statement: Instruction | Label, localized: set[str]) -> Instruction | Label:
    """Turn accesses to parameters of expanded calls into accesses to local memory."""
    if not isinstance(statement, Instruction) or "param" not in statement.modifiers:
        return statement
    for operand in statement.operands:
        if (
            isinstance(operand, Address)
            and isinstance(operand.base, Symbol)
            and operand.base.name in localized
        ):
            modifiers = tuple("local" if m == "param" else m for m in statement.modifiers)
            return replace(statement, modifiers=modifiers)
    return statement


def _instructions(flat: FlatFunction) -> list[Instruction]:
    return [statement for statement in flat.body if isinstance(statement, Instruction)]


def _callee(instruction: Instruction) -> str:
    """Return the name of the function that an instruction calls by name, or an empty string."""
    if instruction.opcode != "call":
        return ""
    callee = calls.split(instruction)[1]
    return callee.name if isinstance(callee, Symbol) else ""
