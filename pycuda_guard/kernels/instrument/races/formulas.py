"""Where a kernel's accesses are, as formulas that hold from one round of a loop to the next.

A register that a loop counts up is where it began plus some number of its steps. How many is private to
a thread and to the moment: a symbol that stands for any number, see :data:`FIRST_COUNT`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.formulas import Polynomial
from pycuda_guard.kernels.analysis.polynomials import plus, symbol, times
from pycuda_guard.kernels.analysis.values import Value, Values
from pycuda_guard.kernels.ptx.ir import Instruction, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from collections.abc import Collection

    from pycuda_guard.kernels.ptx.ir import Address, FlatFunction, Operand

#: symbols from here up: addresses of variables
FIRST_VARIABLE = 1 << 20
#: registers that several instructions write, while what they hold is being found out
_FIRST_CARRIED = 1 << 24
#: numbers of rounds: any integer, another at each access
FIRST_COUNT = 1 << 28

_MOST_CARRIED = 200
_MOST_TERMS = 48
_DEEPEST = 8


class Formulas(Values):
    """The formulas of a function's registers, loops and addresses of variables included."""

    def __init__(self, function: FlatFunction, variables: Collection[str]) -> None:
        self._variables = {name: FIRST_VARIABLE + index for index, name in enumerate(variables)}
        self._written = _written_often(function)
        self._carried = {name: _FIRST_CARRIED + index for index, name in enumerate(self._written)}
        self._solved: dict[int, Polynomial | None] = {}
        self._names = {number: name for name, number in self._carried.items()}
        self._counts = FIRST_COUNT
        super().__init__(function)

    def read(self, operand: Operand) -> Value:
        """Return the value of an operand."""
        if isinstance(operand, Symbol) and operand.name in self._variables:
            return plus(symbol(self._variables[operand.name]), Polynomial(_number(operand.offset)))
        if isinstance(operand, Register) and operand.name in self._carried:
            return symbol(self._carried[operand.name])
        return super().read(operand)

    def place(self, address: Address, variable: str | None = None) -> Polynomial | None:
        """Return where an address points, in a variable if one is named; None where that is not known."""
        found = self.address(address)
        found = None if found is None else self._expanded(found, ())
        if found is None or variable is None:
            return found
        start = (1, (self._variables.get(variable, -1),))
        if start not in found.terms:
            return None
        return Polynomial(tuple(term for term in found.terms if term != start))

    def _expanded(self, polynomial: Polynomial, active: tuple[int, ...]) -> Polynomial | None:
        """Return a polynomial without registers that loops carry, but for those that are looked at now."""
        total = Polynomial()
        for factor, symbols in polynomial.terms:
            product = Polynomial(_number(factor))
            for each in symbols:
                value: Polynomial | None = symbol(each)
                if each in self._names and each not in active:
                    value = self._solve(each, active)
                if value is None:
                    return None
                product = times(product, value)
            total = plus(total, product)
            if len(total.terms) > _MOST_TERMS:
                return None
        return total

    def _solve(self, number: int, active: tuple[int, ...]) -> Polynomial | None:
        """Return what a carried register holds: its one beginning, and any number of each step."""
        if number in self._solved and not active:
            return self._solved[number]
        if len(active) >= _DEEPEST:
            return None
        solution = self._begun_and_stepped(number, (*active, number))
        if not active:
            self._solved[number] = solution
        return solution

    def _begun_and_stepped(self, number: int, active: tuple[int, ...]) -> Polynomial | None:
        begun: set[Polynomial] = set()
        steps: set[Polynomial] = set()
        for instruction in self._written[self._names[number]]:
            value = self._compute(instruction)
            expanded = self._expanded(value, active) if isinstance(value, Polynomial) else None
            if expanded is None:
                return None
            own = [term for term in expanded.terms if number in term[1]]
            if not own:
                begun.add(expanded)
            elif own == [(1, (number,))]:
                steps.add(Polynomial(tuple(term for term in expanded.terms if term not in own)))
            else:
                return None
        if len(begun) != 1:
            return None
        solution = begun.pop()
        for step in sorted(steps, key=lambda each: each.terms):
            self._counts += 1
            solution = plus(solution, times(step, symbol(self._counts)))
        return solution


def _number(value: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    return ((value, ()),) if value else ()


def _written_often(function: FlatFunction) -> dict[str, list[Instruction]]:
    """Return the instructions that write a register, for those that several write, none under a guard."""
    found: dict[str, list[Instruction]] = {}
    for entry in function.body:
        if isinstance(entry, Instruction):
            for name in definitions(entry):
                found.setdefault(name, []).append(entry)
    often = {
        name: entries
        for name, entries in found.items()
        if len(entries) > 1
        and all(entry.guard is None and len(definitions(entry)) == 1 for entry in entries)
        and function.registers.get(name) != "pred"
    }
    return often if len(often) <= _MOST_CARRIED else {}
