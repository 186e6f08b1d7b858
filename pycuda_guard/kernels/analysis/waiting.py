"""Loops in which threads may wait for what threads of other blocks write.

They end only if those other blocks run at the same time. As many as a program counts on must then be
resident, however many registers and however much shared memory its kernel takes with checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.flow import EXIT, OPAQUE, flow_of
from pycuda_guard.kernels.ptx.ir import Immediate
from pycuda_guard.kernels.ptx.opcodes import definitions, uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.analysis.flow import Flow
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction

_ORDERED = frozenset({"volatile", "relaxed", "acquire", "mmio"})
_ELSEWHERE = frozenset({"shared", "local", "param", "const"})
#: atomics that leave what is there as it is, where their operand is 0
_KEEPING = frozenset({"add", "or", "xor"})


def waits_for_blocks(function: FlatFunction) -> bool:
    """Tell whether a loop may go on until a thread of another block has written something.

    The retry loop around a compare-and-swap and the wait for a lock are none: who holds it runs.
    """
    flow = flow_of(function)
    polls = {
        number: {name for instruction in block if _polls(instruction) for name in definitions(instruction)}
        for number, block in enumerate(flow.blocks)
    }
    if not any(polls.values()):
        return False
    return any(
        _decides(flow, loop, polls[number]) for loop in _loops(flow) for number in loop if polls[number]
    )


def _polls(instruction: Instruction) -> bool:
    """Tell whether an instruction reads, and only reads, what other threads may be about to write."""
    words = {*instruction.modifiers}
    if words & _ELSEWHERE:
        return False
    if instruction.opcode in ("ld", "ldu"):
        return bool(words & _ORDERED)
    if instruction.opcode != "atom":
        return False
    given = instruction.operands[2:]
    if "cas" in words:
        return len(given) == 2 and given[0] == given[1]
    return bool(words & _KEEPING) and all(isinstance(o, Immediate) and o.value == 0 for o in given)


def _decides(flow: Flow, loop: set[int], read: set[str]) -> bool:
    """Tell whether registers that are read in a loop decide on leaving it."""
    instructions = [instruction for block in loop for instruction in flow.blocks[block]]
    found = set(read)
    known = 0
    while known != len(found):
        known = len(found)
        for instruction in instructions:
            if any(register.name in found for register in uses(instruction)):
                found.update(definitions(instruction))
    return any(
        edge.guard is not None and (edge.guard == OPAQUE or edge.guard.register in found)
        for edge in flow.edges
        if edge.source in loop and edge.target not in loop
    )


def _loops(flow: Flow) -> Iterator[set[int]]:
    """Yield the blocks of each loop: those from which its end is reached past its beginning."""
    after: list[list[int]] = [[] for _ in flow.blocks]
    before: list[list[int]] = [[] for _ in flow.blocks]
    for edge in flow.edges:
        if edge.target != EXIT:
            after[edge.source].append(edge.target)
            before[edge.target].append(edge.source)
    reached = _reach(after, 0, -1)
    for first in range(len(flow.blocks)):
        around = _reach(after, 0, first) if before[first] else reached
        for last in before[first]:
            # the beginning is on every way to the end
            if last in reached and (last not in around or last == first):
                yield _reach(before, last, first) | {first}


def _reach(ways: list[list[int]], start: int, without: int) -> set[int]:
    """Return the blocks that ways from a block lead to, itself too, without going through another."""
    found = {start} - {without}
    pending = [*found]
    while pending:
        for block in ways[pending.pop()]:
            if block not in found and block != without:
                found.add(block)
                pending.append(block)
    return found
