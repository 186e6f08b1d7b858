"""The test at the start of most kernels, ``if (i >= n) return;``, taken out of the loop over threads.

Under it every access is conditional, and vectors with masks are slow on many processors. So each row of
threads is asked first whether all of them pass, in a loop of arithmetic alone; the body is then run without
the test. Only rows at the border take the masked way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen import body
from pycuda_guard.cpu.codegen.context import prepare
from pycuda_guard.cpu.codegen.emitter import Emitter
from pycuda_guard.cpu.codegen.graph import ENTRY, Branch, Jump, Leave
from pycuda_guard.cpu.codegen.special import THREAD_TYPES, thread_of
from pycuda_guard.cpu.codegen.types import I1

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.context import FunctionContext
    from pycuda_guard.cpu.codegen.fields import Invariants
    from pycuda_guard.cpu.codegen.graph import Block, Graph


@dataclass(frozen=True, slots=True)
class Guard:
    """The blocks from the entry to the last test at which threads may leave.

    ``passes`` maps those that end in such a test to the block where the others go on.
    """

    blocks: list[Block]
    passes: dict[str, str]


def find(context: FunctionContext) -> Guard | None:
    """Return the guard at the start of a kernel, or None if it has none.

    A test that is asked more than once, at the top of a loop, is no guard.
    """
    graph = context.graph
    predecessors = graph.predecessors()
    name = ENTRY
    blocks: list[Block] = []
    passes: dict[str, str] = {}
    length = 0
    while len(predecessors[name]) == bool(blocks):
        block = graph.blocks[name]
        if block.resume is not None or not all(map(context.definitions.is_cheap, block.instructions)):
            break
        blocks.append(block)
        match block.terminator:
            case Jump(target):
                name = target
                continue
            case Branch(_, taken, otherwise) if _leaves(graph, taken):
                name = otherwise
            case Branch(_, taken, otherwise) if _leaves(graph, otherwise):
                name = taken
            case _:
                break
        passes[block.name] = name
        length = len(blocks)
    return Guard(blocks[:length], passes) if passes else None


def _leaves(graph: Graph, name: str) -> bool:
    block = graph.blocks[name]
    return not block.instructions and block.terminator is not None and _is_return(block)


def _is_return(block: Block) -> bool:
    return isinstance(block.terminator, Leave) and block.terminator.how != "trap"


def define(context: FunctionContext, guard: Guard, invariants: Invariants) -> ir.Function:
    """Define the function that says whether a thread passes (``i1``); arguments as of a region."""
    kind = ir.FunctionType(I1, [*THREAD_TYPES, *invariants.types()])
    function = ir.Function(context.module.module, kind, f"{context.flat.name}.guard")
    function.linkage = "internal"
    prepare(function)
    function.attributes.add("alwaysinline")
    arguments = list(function.args)
    known = dict(zip(invariants.keys, arguments[len(THREAD_TYPES) :], strict=True))
    e = Emitter(context, function, thread_of(arguments), known)
    every: ir.Value = ir.Constant(I1, 1)
    for block in guard.blocks:
        for instruction in block.instructions:
            body.emit_instruction(e, instruction)
        if isinstance(block.terminator, Branch):
            holds = body.holds(e, block.terminator.guard)
            is_taken = guard.passes[block.name] == block.terminator.taken
            every = e.builder.and_(every, holds if is_taken else e.builder.not_(holds))
    e.builder.ret(every)
    e.finish()
    return function
