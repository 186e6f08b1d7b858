"""Where the threads of a kernel stop, and what of their state is kept meanwhile.

A kernel is cut at its barriers, its warp operations and around its volatile shared stores; each place where
threads go on starts a *region*, the code up to the next cuts. All threads of a block run a region one after
the other, in a loop that LLVM can vectorize, and need no stacks of their own.

Loop headers are cuts as well where the kernel needs that:

- *Spin waits* (SPIN). A thread that waits in a loop for another thread's store would wait for ever if that
  thread could not run: loops whose exit depends on a volatile or atomic access. Not so for the retry loop
  around ``atom.cas``, which goes round only because another thread got through.
- *Grid-stride loops* (YIELD). Each thread strides over the whole array, so thread after thread reads all of
  memory again and again; threads that take turns read it once, line by line. Told by a step that depends on
  the size of the block or the grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.abi import Suspension
from pycuda_guard.cpu.codegen import graph as graphs, rematerialize
from pycuda_guard.cpu.codegen.graph import ENTRY, Branch, Switch
from pycuda_guard.cpu.codegen.liveness import Liveness
from pycuda_guard.cpu.codegen.operands import reads, space_of, writes
from pycuda_guard.cpu.codegen.types import width
from pycuda_guard.kernels.ptx import opcodes
from pycuda_guard.kernels.ptx.ir import Immediate, Register, Space

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.cpu.codegen.context import FunctionContext
    from pycuda_guard.cpu.codegen.graph import Graph
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction

_ORDERED = frozenset({"volatile", "relaxed", "acquire", "acq_rel", "mmio"})
_EXTENTS = ("%ntid", "%nctaid")


class Regions:
    """The regions of a kernel: region ``i`` starts at block ``starts[i]``, region 0 at the entry.

    ``kept`` and ``recomputed`` are the live registers of each start; ``slots`` the frame slot of each kept
    one.
    """

    def __init__(self, context: FunctionContext) -> None:
        graph = context.graph
        self.starts = [ENTRY, *(cut.target for _, cut in graph.cuts())]
        self.number = {start: number for number, start in enumerate(self.starts)}
        self.liveness = Liveness(graph, context.extra_reads)
        self.kept: dict[str, list[str]] = {ENTRY: []}
        self.recomputed: dict[str, list[str]] = {ENTRY: []}
        self.slots: dict[str, int] = {}
        self.slot_count = 0
        for _, cut in graph.cuts():
            live = self.liveness.live(cut.target)
            kept, recomputed = rematerialize.split(live, cut.target, context.definitions)
            self.kept[cut.target] = kept
            self.recomputed[cut.target] = context.definitions.closure(set(recomputed))
            for name in kept:
                if name not in self.slots:
                    self.slots[name] = self.slot_count
                    self.slot_count += -(-width(context.flat.registers[name]) // 64)

    @property
    def is_straight(self) -> bool:
        """Whether threads never stop before the end."""
        return len(self.starts) == 1


def cut(flat: FlatFunction) -> Graph:
    """Return the graph of a kernel with all its cuts, those at loop headers included."""
    graph = graphs.build(flat)
    stops = stopping_headers(graph)
    return graphs.build(flat, stops) if stops else graph


def stopping_headers(graph: Graph) -> dict[str, Suspension]:
    """Return the loop headers at which threads must take turns, and why."""
    extents = _depending_on_extents(graph)
    found = {}
    for header, body in graphs.loop_headers(graph).items():
        if header == ENTRY:
            continue
        if _spins(graph, body):
            found[header] = Suspension.SPIN
        elif _strides(graph, body, extents):
            found[header] = Suspension.YIELD
    return found


def _spins(graph: Graph, body: set[str]) -> bool:
    """Whether leaving the loop may depend on what other threads store while it runs."""
    instructions = [i for name in body for i in graph.blocks[name].instructions]
    constants = _constants(graph)
    watched = {name for i in instructions if _watches(i, constants) for name in writes(i)}
    if not watched:
        return False
    _spread(instructions, watched)
    for name in body:
        block = graph.blocks[name]
        if all(successor in body for successor in block.successors()):
            continue
        match block.terminator:
            case Branch(guard) if guard.register in watched:
                return True
            case Switch(Register(index)) if index in watched:
                return True
    return False


def _watches(instruction: Instruction, constants: set[str]) -> bool:
    """Whether an instruction reads what other threads may be about to change."""
    if instruction.opcode in ("ld", "ldu"):
        return bool(_ORDERED.intersection(instruction.modifiers))
    if instruction.opcode != "atom":
        return False
    # compared with a constant, a compare-and-swap takes a lock; with a value read before, it retries
    if "cas" not in instruction.modifiers:
        return True
    expected = instruction.operands[2]
    return isinstance(expected, Immediate) or (isinstance(expected, Register) and expected.name in constants)


def _constants(graph: Graph) -> set[str]:
    """Return the registers that are only ever set to constants."""
    constant: dict[str, bool] = {}
    for instruction in graph.instructions():
        is_move = instruction.opcode == "mov" and isinstance(instruction.operands[1], Immediate)
        for name in writes(instruction):
            constant[name] = is_move and constant.get(name, True)
    return {name for name, is_constant in constant.items() if is_constant}


def _strides(graph: Graph, body: set[str], extents: set[str]) -> bool:
    """Whether a loop that accesses global memory steps by the size of the block or the grid."""
    instructions = [i for name in body for i in graph.blocks[name].instructions]
    if not any(_accesses_global(i) for i in instructions):
        return False
    for instruction in instructions:
        if instruction.opcode not in ("add", "mad") or not instruction.operands:
            continue
        written = set(writes(instruction))
        read = set(reads(instruction))
        if read & extents and (read & written or _is_carried(written, instruction, instructions)):
            return True
    return False


def _is_carried(written: set[str], step: Instruction, instructions: list[Instruction]) -> bool:
    """Whether what a step adds to comes from its own result, by way of moves."""
    sources = set(reads(step))
    carried = set(written)
    _spread([i for i in instructions if i.opcode in ("mov", "cvt", "add")], carried)
    return bool(sources & (carried - written))


def _accesses_global(instruction: Instruction) -> bool:
    row = opcodes.OPCODES.get(instruction.opcode)
    return (
        row is not None
        and (row.reads_memory or row.writes_memory)
        and space_of(instruction) in (Space.GLOBAL, Space.GENERIC)
    )


def _depending_on_extents(graph: Graph) -> set[str]:
    """Return the registers computed from the size of the block or the grid but not from thread indices."""
    instructions = list(graph.instructions())
    extents: set[str] = set()
    varying: set[str] = set()
    for instruction in instructions:
        special = [r.name for r in opcodes.uses(instruction) if r.special]
        if any(name.startswith(_EXTENTS) for name in special):
            extents.update(writes(instruction))
        if any(name.startswith(("%tid", "%ctaid", "%laneid")) for name in special):
            varying.update(writes(instruction))
    arithmetic = [i for i in instructions if i.opcode in ("mov", "mul", "cvt", "shl", "mad", "add")]
    _spread(arithmetic, varying)
    _spread(arithmetic, extents)
    return extents - varying


def _spread(instructions: Iterable[Instruction], names: set[str]) -> None:
    """Add to ``names`` all registers computed from them."""
    listed = list(instructions)
    changed = True
    while changed:
        changed = False
        for instruction in listed:
            if not names.isdisjoint(reads(instruction)):
                new = set(writes(instruction)) - names
                if new:
                    names |= new
                    changed = True
