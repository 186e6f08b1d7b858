"""Finds regions: blocks one after the other, with branches forward among them, that one check can serve.

All addresses in a region follow from what is known where it begins. So the addresses of accesses that
may be done, or may not, can be looked at before the first branch: where all would be right, nothing in
the region needs a check of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.groups import is_parameter_load, is_pure, stays
from pycuda_guard.kernels.ptx.ir import Instruction, Label, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions, uses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.ptx.ir import FlatFunction

#: a region stands in the kernel twice
_MOST_STATEMENTS, _MOST_ACCESSES = 256, 64


@dataclass(slots=True)
class Region:
    """Statements with several blocks in which memory is accessed.

    ``slices`` has, for each access by the identity of its instruction, the indices in ``body`` of the
    instructions that its address takes, in order.
    """

    body: list[Instruction | Label] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    slices: dict[int, list[int]] = field(default_factory=dict)


def find_regions(
    flat: FlatFunction, body: Sequence[object], member: Callable[[Instruction], Access | None]
) -> dict[int, Region]:
    """Return the regions of a body by the index of their first statement.

    ``member`` returns the access of an instruction if it can be checked early, None for others.
    """
    sources: dict[str, list[int]] = {}
    for index, statement in enumerate(body):
        if isinstance(statement, Instruction) and statement.opcode in ("bra", "brx", "call"):
            for operand in statement.operands:
                names = flat.tables.get(operand.name, (operand.name,)) if isinstance(operand, Symbol) else ()
                for name in names:
                    sources.setdefault(name, []).append(index)
    found: dict[int, Region] = {}
    start = 0
    while start < len(body):
        region = _Growing(flat, body, start, sources, member).grow()
        if region is None:
            start = _next_start(body, start)
        else:
            found[start] = region
            start += len(region.body)
    return found


def _next_start(body: Sequence[object], start: int) -> int:
    """Return the index after the next statement that a region can't go over, or that ends a block."""
    for index in range(start, len(body)):
        statement = body[index]
        if not isinstance(statement, Instruction) or statement.opcode in ("bra", "call", "bar", "barrier"):
            return index + 1
    return len(body)


class _Growing:
    """A region from one statement on."""

    def __init__(
        self,
        flat: FlatFunction,
        body: Sequence[object],
        start: int,
        sources: dict[str, list[int]],
        member: Callable[[Instruction], Access | None],
    ) -> None:
        self.body = body
        self.start = start
        self.sources = sources
        self.member = member
        self.parameters = (
            {variable.name for variable in flat.function.parameters} if flat.function.entry else set()
        )
        self.region = Region()
        self.pending: set[str] = set()  # labels that have been branched to and not come yet
        self.block = 0
        #: where each register is written: index, block, whether all ways lead through it
        self.written: dict[str, list[tuple[int, int, bool]]] = {}
        self.blocks: list[int] = []

    def grow(self) -> Region | None:
        """Return the region, None where a group is as good."""
        size, accesses = 0, 0
        for statement in self.body[self.start : self.start + _MOST_STATEMENTS]:
            if not self._take(statement):
                break
            if not self.pending:
                size, accesses = len(self.region.body), len(self.region.accesses)
        self.region.body = self.region.body[:size]
        self.region.accesses = self.region.accesses[:accesses]
        kept = {id(access.instruction) for access in self.region.accesses}
        self.region.slices = {key: needed for key, needed in self.region.slices.items() if key in kept}
        if len({*self.blocks[:accesses]}) < 2:
            return None
        return self.region

    def _take(self, statement: object) -> bool:
        """Take in a statement if the region can go on over it."""
        index = len(self.region.body)
        if isinstance(statement, Label):
            here = range(self.start, self.start + index)
            if not all(source in here for source in self.sources.get(statement.name, ())):
                return False
            self.pending.discard(statement.name)
            self.block += 1
        elif not isinstance(statement, Instruction) or not self._take_instruction(statement):
            return False
        else:
            for name in definitions(statement):
                self.written.setdefault(name, []).append((index, self.block, not self.pending))
        self.region.body.append(statement)
        return True

    def _take_instruction(self, instruction: Instruction) -> bool:
        if instruction.opcode == "bra":
            target = instruction.operands[0]
            if isinstance(target, Symbol):
                self.pending.add(target.name)
                self.block += 1
            return isinstance(target, Symbol)
        if accesses_of(instruction):
            return self._take_access(instruction)
        return stays(instruction, self.parameters)

    def _take_access(self, instruction: Instruction) -> bool:
        access = self.member(instruction)
        if access is None or len(self.region.accesses) >= _MOST_ACCESSES:
            return False
        found: set[int] = set()
        base = access.address.base
        if isinstance(base, Register) and not self._slice(base, len(self.region.body), self.block, found):
            return False
        self.region.slices[id(instruction)] = sorted(found)
        self.region.accesses.append(access)
        self.blocks.append(self.block)
        return True

    def _slice(self, register: Register, before: int, block: int, found: set[int]) -> bool:
        """Collect what a register's value at a place takes; False where it is not known at the start."""
        if register.special:
            return True
        places = [place for place in self.written.get(register.name, ()) if place[0] < before]
        if not places:
            return True
        index, where, is_certain = places[0]
        if len(places) > 1 or not (is_certain or where == block):
            return False
        if index in found:
            return True
        instruction = self.region.body[index]
        assert isinstance(instruction, Instruction)
        if not is_pure(instruction, self.parameters):
            return False
        found.add(index)
        if is_parameter_load(instruction, self.parameters):
            return True
        return all(self._slice(each, index, where, found) for each in uses(instruction))
