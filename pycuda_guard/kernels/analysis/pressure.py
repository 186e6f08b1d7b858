"""How many registers a function needs: the most that are alive at once, before ptxas has its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Instruction, Label, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions, is_partial, uses

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction

_ENDS = frozenset({"bra", "brx", "ret", "exit", "trap"})


@dataclass(slots=True)
class _Block:
    instructions: list[Instruction] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)  # at its start


def register_pressure(flat: FlatFunction) -> int:
    """Return how many registers of 32 bits are alive at once at most; predicates do not count.

    Takes time linear in the length of the function for each level of loops.
    """
    blocks = _blocks(flat)
    waiting = list(range(len(blocks)))
    predecessors: dict[int, list[int]] = {}
    for index, block in enumerate(blocks):
        for successor in block.successors:
            predecessors.setdefault(successor, []).append(index)
    while waiting:
        index = waiting.pop()
        block = blocks[index]
        alive = _alive_after(block, blocks)
        for instruction in reversed(block.instructions):
            _step(alive, instruction)
        if alive != block.alive:
            block.alive = alive
            waiting += predecessors.get(index, ())
    words = {name: -(-TYPE_SIZES[kind] // 4) for name, kind in flat.registers.items() if kind != "pred"}
    most = 0
    for block in blocks:
        alive = _alive_after(block, blocks)
        for instruction in reversed(block.instructions):
            written = alive | {*definitions(instruction)}
            most = max(most, sum(words.get(name, 0) for name in written))
            _step(alive, instruction)
    return most


def _step(alive: set[str], instruction: Instruction) -> None:
    """Go from what is alive after an instruction to what is before it."""
    if not is_partial(instruction):
        alive.difference_update(definitions(instruction))
    alive.update(register.name for register in uses(instruction) if not register.special)


def _alive_after(block: _Block, blocks: list[_Block]) -> set[str]:
    return set[str]().union(*(blocks[successor].alive for successor in block.successors))


def _blocks(flat: FlatFunction) -> list[_Block]:
    """Divide a body at labels and after what leaves it or branches."""
    blocks = [_Block()]
    starts: dict[str, int] = {}
    for statement in flat.body:
        if isinstance(statement, Label):
            blocks.append(_Block())
            starts[statement.name] = len(blocks) - 1
            continue
        blocks[-1].instructions.append(statement)
        if statement.opcode in _ENDS:
            blocks.append(_Block())
    for index, block in enumerate(blocks):
        last = block.instructions[-1] if block.instructions else None
        falls = last is None or last.opcode not in _ENDS or last.guard is not None
        if falls and index + 1 < len(blocks):
            block.successors.append(index + 1)
        for operand in last.operands if last is not None and last.opcode in _ENDS else ():
            names = flat.tables.get(operand.name, (operand.name,)) if isinstance(operand, Symbol) else ()
            block.successors += [starts[name] for name in names if name in starts]
    return blocks
