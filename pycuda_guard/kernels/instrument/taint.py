"""Which registers may hold uninitialized bits, and whether as copies of memory or computed from them.

A forward slice over the whole function, without control flow: a register is in it if any of its
definitions may put such bits there. What is not in it needs no code in the checked variant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.masks import WIDTHS, width_of
from pycuda_guard.kernels.instrument.propagation import RULES, Flow, destinations, is_float, sources
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Immediate, Instruction, Negated, Register, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand


class State(IntFlag):
    """What uninitialized bits in a register may be."""

    COPIED = 1  # moved from memory, whole or in part
    SHIFTED = 2  # a copy that was shifted: still one once it is put together with others
    COMPUTED = 4  # the outcome of arithmetic

    @property
    def is_mixed(self) -> bool:
        """Whether only the run can tell if the bits are copies."""
        return bool(self & State.COPIED) and bool(self & (State.SHIFTED | State.COMPUTED))

    @property
    def is_computed(self) -> bool:
        """Whether the bits are no copies for certain."""
        return not self & State.COPIED and bool(self)


@dataclass(slots=True)
class Taint:
    """The registers of a function that may hold uninitialized bits.

    ``states`` says what those bits may be. Registers between which bits may travel are in the same
    *group*: :meth:`group` returns the name of one register that stands for it.
    """

    states: dict[str, State] = field(default_factory=dict)
    _parents: dict[str, str] = field(default_factory=dict)

    def of(self, operand: Operand) -> State:
        """Return what uninitialized bits an operand may hold."""
        found = State(0)
        for register in registers_in(operand):
            found |= self.states.get(register.name, State(0))
        return found

    def group(self, name: str) -> str:
        """Return the register that stands for the group of one."""
        parents = self._parents
        while (parent := parents.get(name, name)) != name:
            parents[name] = parents.get(parent, parent)
            name = parent
        return name

    def join(self, one: str, other: str) -> None:
        """Make the groups of two registers one."""
        first, second = self.group(one), self.group(other)
        if first != second:
            self._parents[second] = first


def find_taint(flat: FlatFunction, loads: Mapping[int, State]) -> Taint:
    """Return which registers may hold bits that the instructions in ``loads`` brought.

    ``loads`` has their positions in the function's body, and what they bring.
    """
    taint = Taint()
    instructions = [(at, entry) for at, entry in enumerate(flat.body) if isinstance(entry, Instruction)]
    holders = {name for name, kind in flat.registers.items() if width_of(kind) in WIDTHS}
    changed = True
    while changed:
        changed = False
        for at, instruction in instructions:
            state = loads.get(at) or _result(instruction, taint)
            if not state:
                continue
            for register in destinations(instruction):
                known = taint.states.get(register.name, State(0))
                if register.name in holders and state | known != known:
                    taint.states[register.name] = known | state
                    changed = True
    for at, instruction in instructions:
        _join_groups(instruction, taint, at in loads)
    return taint


def _join_groups(instruction: Instruction, taint: Taint, is_load: bool) -> None:
    if instruction.opcode not in RULES and not is_load:
        return
    names = [register.name for register in destinations(instruction)]
    if not is_load:
        names += [register.name for operand in sources(instruction) for register in registers_in(operand)]
        if instruction.guard is not None:
            names.append(instruction.guard.register)
    watched = [name for name in names if name in taint.states]
    for name in watched[1:]:
        taint.join(watched[0], name)


def _result(instruction: Instruction, taint: Taint) -> State:
    """Return what an instruction that is no load puts into its destinations."""
    rule = RULES.get(instruction.opcode)
    if rule is None:
        return State(0)
    moved, steering = State(0), State(0)
    for at, operand in enumerate(instruction.operands):
        if at:
            if at in rule.control:
                steering |= taint.of(operand)
            else:
                moved |= taint.of(operand)
    if instruction.guard is not None:
        steering |= taint.states.get(instruction.guard.register, State(0))
    return _after(instruction, rule.flow, moved) | (State.COMPUTED if steering else State(0))


def _after(instruction: Instruction, flow: Flow, moved: State) -> State:
    """Return what becomes of what an instruction moves."""
    if not moved:
        return moved
    match flow:
        case Flow.MOVE if computes(instruction):
            return State.COMPUTED
        case Flow.MOVE:
            return moved
        case Flow.JOIN:
            return moved & ~State.SHIFTED | (State.COPIED if moved & State.SHIFTED else State(0))
        case Flow.SHIFT if State.COPIED in moved and not moves_bytes(instruction):
            return moved & ~State.COPIED | State.SHIFTED
        case Flow.SHIFT:
            return moved
        case _:
            return State.COMPUTED


def computes(instruction: Instruction) -> bool:
    """Tell whether a conversion is more than widening and narrowing of integers."""
    if instruction.opcode != "cvt":
        return False
    types = [word for word in instruction.modifiers if word in TYPE_SIZES]
    return len(types) != 2 or any(map(is_float, types)) or "sat" in instruction.modifiers


def moves_bytes(instruction: Instruction) -> bool:
    """Tell whether a shift is one by whole bytes, by a distance that is known."""
    distance = instruction.operands[2]
    return isinstance(distance, Immediate) and distance.value % 8 == 0


def registers_in(operand: Operand) -> Iterator[Register]:
    """Yield the registers that an operand holds data in; not those of addresses."""
    match operand:
        case Register():
            yield operand
        case Negated(register):
            yield register
        case Vector(elements):
            for element in elements:
                yield from registers_in(element)
        case _:
            return
