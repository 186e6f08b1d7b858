"""Emits blocks of a PTX function into an LLVM function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llvmlite import ir

from pycuda_guard.cpu.codegen import calls, instructions
from pycuda_guard.cpu.codegen.graph import Branch, Cut, Jump, Leave, Switch
from pycuda_guard.cpu.codegen.types import I32, POINTER, VOID
from pycuda_guard.kernels.ptx.ir import Register

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.cpu.codegen.graph import Block
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
    e.builder.branch(labels[start])
    for block in blocks:
        e.builder.position_at_end(labels[block.name])
        if block.name == start and block.resume is not None and block.resume.instruction is not None:
            e.instruction = block.resume.instruction
            instructions.resume(e, block.resume.instruction)
        for instruction in block.instructions:
            emit_instruction(e, instruction)
        if shortcut is not None and block.name in shortcut.ways:
            target = shortcut.ways[block.name]
            ordinary = e.function.append_basic_block(f"{block.name}.test")
            e.builder.cbranch(shortcut.holds, labels[target], ordinary)
            e.builder.position_at_end(ordinary)
        _emit_terminator(e, block, labels, ends)


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
    e.builder.position_at_end(inside)
    lower(e, instruction)
    e.builder.branch(after)
    e.builder.position_at_end(after)


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
