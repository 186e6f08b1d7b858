"""Finds groups: accesses of a basic block whose addresses are known before the first of them is done.

The arithmetic that their addresses need is *hoisted* above the first access; all checks then come
before all accesses, and nothing stands between those that was not there before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import Address, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import OPCODES, Category, definitions, uses, writes_carry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction

_PURE = frozenset(
    {Category.ARITHMETIC, Category.LOGIC, Category.COMPARISON, Category.MOVE, Category.CONVERSION}
)
_INSIDE = _PURE | {Category.SPECIAL, Category.VIDEO}
#: accesses and instructions of one group, at most: both of its forms stand in the kernel, and what is to be
#: known of each access is in local memory if the group's check fails
MOST_ACCESSES = 24
_MOST_INSTRUCTIONS = 512


@dataclass(slots=True)
class Group:
    """Instructions of a block: those to do first, and the rest, from the first access to the last."""

    hoisted: list[Instruction]
    rest: list[Instruction]
    accesses: list[Access]


@dataclass(slots=True)
class _Open:
    """A group to which accesses may still be added: its instructions, and which of them are hoisted."""

    body: list[Instruction] = field(default_factory=list)
    hoisted: set[int] = field(default_factory=set)
    accesses: list[Access] = field(default_factory=list)
    end: int = 0  # of the last access, in body
    defined: dict[str, list[int]] = field(default_factory=dict)  # registers → where they are written
    used: dict[str, list[int]] = field(default_factory=dict)

    def append(self, instruction: Instruction) -> None:
        """Take in one more instruction."""
        index = len(self.body)
        self.body.append(instruction)
        for name in definitions(instruction):
            self.defined.setdefault(name, []).append(index)
        for register in uses(instruction):
            self.used.setdefault(register.name, []).append(index)


def find_groups(
    flat: FlatFunction,
    block: Iterable[Instruction],
    member: Callable[[Instruction], Access | None],
    most: int = MOST_ACCESSES,
) -> Iterator[Instruction | Group]:
    """Yield the instructions of straight-line code in order, those of groups as one.

    ``member`` returns the access of an instruction that may be in a group, None for others. A group has at
    most ``most`` accesses.
    """
    parameters = {variable.name for variable in flat.function.parameters} if flat.function.entry else set()
    group: _Open | None = None
    for instruction in block:
        access = member(instruction)
        if access is not None:
            needed = {register.name for register in _steering(access)}
            if group is not None and _full(group, needed, parameters, most):
                yield from _close(group)
                group = None
            if group is None:
                group = _Open()
            group.append(instruction)
            group.accesses.append(access)
            group.end = len(group.body)
        elif group is None:
            yield instruction
        elif stays(instruction, parameters):
            group.append(instruction)
        else:
            yield from _close(group)
            group = None
            yield instruction
    if group is not None:
        yield from _close(group)


def _full(group: _Open, needed: set[str], parameters: set[str], most: int) -> bool:
    """Tell whether a group can't take an access that needs these registers; else hoist what it needs."""
    if len(group.accesses) >= most or len(group.body) >= _MOST_INSTRUCTIONS:
        return True
    hoisted = _hoist(group, needed, parameters)
    if hoisted is None:
        return True
    group.hoisted |= hoisted
    return False


def _steering(access: Access) -> Iterator[Register]:
    """Yield the registers that tell where an access is and whether it is done."""
    if isinstance(access.address.base, Register):
        yield access.address.base
    if access.guard is not None:
        yield Register(access.guard.register)


def stays(instruction: Instruction, parameters: set[str]) -> bool:
    """Tell whether an instruction that is no access may stand in a group."""
    row = OPCODES.get(instruction.opcode)
    return row is not None and (row.category in _INSIDE or is_parameter_load(instruction, parameters))


def is_parameter_load(instruction: Instruction, parameters: set[str]) -> bool:
    """Tell whether an instruction loads a parameter of the kernel."""
    return instruction.opcode == "ld" and any(
        isinstance(operand, Address) and isinstance(operand.base, Symbol) and operand.base.name in parameters
        for operand in instruction.operands
    )


def is_pure(instruction: Instruction, parameters: set[str]) -> bool:
    """Tell whether an instruction may be done earlier, once its operands are known."""
    row = OPCODES.get(instruction.opcode)
    if row is None or instruction.guard is not None or row.reads_carry or writes_carry(instruction):
        return False
    if any("clock" in each.name or "timer" in each.name for each in uses(instruction) if each.special):
        return False
    return row.category in _PURE or is_parameter_load(instruction, parameters)


def _hoist(group: _Open, needed: set[str], parameters: set[str]) -> set[int] | None:
    """Return the instructions to hoist so that registers are known at the start; None if that can't be."""
    wanted: set[int] = set()
    waiting = [(name, len(group.body)) for name in needed]
    while waiting:
        name, before = waiting.pop()
        index = max((at for at in group.defined.get(name, ()) if at < before), default=None)
        if index is None or index in group.hoisted or index in wanted:
            continue
        instruction = group.body[index]
        if not is_pure(instruction, parameters):
            return None
        wanted.add(index)
        waiting += [(register.name, index) for register in uses(instruction) if not register.special]
    first = group.hoisted | wanted
    if any(_conflicts(group, index, first) for index in wanted):
        return None
    return wanted


def _conflicts(group: _Open, index: int, hoisted: set[int]) -> bool:
    """Tell whether an instruction can't be moved above those before it that are not hoisted."""
    instruction = group.body[index]
    for name in definitions(instruction):
        for places in (group.used.get(name, ()), group.defined.get(name, ())):
            if any(at < index and at not in hoisted for at in places):
                return True
    return any(
        at < index and at not in hoisted
        for register in uses(instruction)
        for at in group.defined.get(register.name, ())
    )


def _close(group: _Open) -> Iterator[Instruction | Group]:
    """Yield a group, and what came after its last access."""
    indices = range(len(group.body))
    yield Group(
        [group.body[index] for index in indices if index in group.hoisted],
        [group.body[index] for index in indices if index < group.end and index not in group.hoisted],
        group.accesses,
    )
    for index in indices[group.end :]:
        if index not in group.hoisted:
            yield group.body[index]
