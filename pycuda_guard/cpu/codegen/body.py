"""Emits blocks of a PTX function into an LLVM function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llvmlite import ir

from pycuda_guard.cpu.codegen import calls, instructions
from pycuda_guard.cpu.codegen.graph import Branch, Cut, Jump, Leave, Switch
from pycuda_guard.cpu.codegen.operands import writes
from pycuda_guard.cpu.codegen.registers import common
from pycuda_guard.cpu.codegen.types import I32, POINTER, VOID
from pycuda_guard.kernels.ptx.ir import Register

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.cpu.codegen.graph import Block
    from pycuda_guard.cpu.codegen.registers import Known
    from pycuda_guard.kernels.ptx.ir import Guard, Instruction


class Ends(Protocol):
    """What the surrounding function does where a thread leaves it."""

    def leave(self, leave: Leave) -> None:
        """Emit the end of the thread's function; terminates the LLVM block."""

    def cut(self, cut: Cut) -> None:
        """Emit what a thread does when it stops; terminates the LLVM block."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Branches that are known to go one way where ``holds`` (``i1``) does: block to successor."""

    holds: ir.Value
    ways: dict[str, str]


def emit(e: Emitter, blocks: list[Block], start: str, ends: Ends, shortcut: Shortcut | None = None) -> None:
    """Emit ``blocks``; the emitter's builder, where it stands, goes on at block ``start``."""
    labels = {block.name: e.function.append_basic_block(block.name) for block in blocks}
    predecessors = _predecessors(blocks, start)
    named = {block.name: block for block in blocks}
    known = {"": e.registers.known()}
    e.builder.branch(labels[start])
    for block in blocks:
        e.builder.position_at_end(labels[block.name])
        _go_on(e, block.name, known, predecessors, named)
        if block.name == start and block.resume is not None and block.resume.instruction is not None:
            e.instruction = block.resume.instruction
            instructions.resume(e, block.resume.instruction)
        for instruction in block.instructions:
            emit_instruction(e, instruction)
        known[block.name] = e.registers.known()
        if shortcut is not None and block.name in shortcut.ways:
            target = shortcut.ways[block.name]
            ordinary = e.function.append_basic_block(f"{block.name}.test")
            e.builder.cbranch(shortcut.holds, labels[target], ordinary)
            e.builder.position_at_end(ordinary)
        _emit_terminator(e, block, labels, ends)


def _predecessors(blocks: list[Block], start: str) -> dict[str, set[str]]:
    """Return from where each block is entered; ``""`` stands for the code before ``start``."""
    places: dict[str, set[str]] = {start: {""}}
    for block in blocks:
        for successor in block.successors(across_cuts=False):
            places.setdefault(successor, set()).add(block.name)
    return places


def _go_on(
    e: Emitter,
    name: str,
    known: dict[str, Known],
    predecessors: dict[str, set[str]],
    blocks: dict[str, Block],
) -> None:
    """Begin a block with what is ``known`` of registers at the ends of those before it."""
    before = predecessors[name]
    later = before - known.keys()
    around = _around(name, later, predecessors)
    if "" in around:
        e.registers.go_on({})  # there is another way to a block that was not emitted yet
    else:
        written = {register for each in around for register in _written(blocks[each])}
        e.registers.go_on(common([known[each] for each in before - later]), without=written)


def _around(head: str, ends: set[str], predecessors: dict[str, set[str]]) -> set[str]:
    """Return the blocks of a loop: ``head``, and all from which its ``ends`` can be reached without it."""
    found = {head, *ends} if ends else set()
    waiting = list(found - {head})
    while waiting:
        for name in predecessors.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def _written(block: Block) -> set[str]:
    """Return the registers that a block writes."""
    resumed = [block.resume.instruction] if block.resume is not None else []
    everything = [*resumed, *block.instructions]
    return {name for instruction in everything if instruction is not None for name in writes(instruction)}


def emit_instruction(e: Emitter, instruction: Instruction) -> None:
    """Emit one instruction that does not suspend, under its guard."""
    e.instruction = instruction
    lower = calls.lower if instruction.opcode == "call" else instructions.lower
    if instruction.guard is None:
        lower(e, instruction)
        return
    inside = e.function.append_basic_block("guarded")
    after = e.function.append_basic_block("after")
    e.builder.cbranch(holds(e, instruction.guard), inside, after)
    known = e.registers.known()
    e.builder.position_at_end(inside)
    e.registers.go_on(known)
    e.registers.written.clear()
    lower(e, instruction)
    e.builder.branch(after)
    e.builder.position_at_end(after)
    e.registers.go_on(known, without=e.registers.written)


def _emit_terminator(e: Emitter, block: Block, labels: dict[str, ir.Block], ends: Ends) -> None:
    match block.terminator:
        case Jump(target):
            e.builder.branch(labels[target])
        case Branch(guard, taken, otherwise):
            e.builder.cbranch(holds(e, guard), labels[taken], labels[otherwise])
        case Switch(index, targets):
            # an index beyond the table is undefined in PTX: the last target takes it
            switch = e.builder.switch(e.read(index, "u32"), labels[targets[-1]])
            for number, target in enumerate(targets[:-1]):
                switch.add_case(ir.Constant(I32, number), labels[target])
        case Leave(how, instruction) as leave:
            e.instruction = instruction
            if how == "trap":
                e.call(e.declare("pg_trap", VOID, [POINTER, I32]), [e.block, e.thread_linear])
                e.builder.unreachable()
            else:
                ends.leave(leave)
        case Cut(_, _, instruction) as cut:
            e.instruction = instruction
            ends.cut(cut)


def holds(e: Emitter, guard: Guard) -> ir.Value:
    """Return whether a guard holds (``i1``)."""
    value = e.read(Register(guard.register), "pred")
    return e.builder.not_(value) if guard.negated else value
