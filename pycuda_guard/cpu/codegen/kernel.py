"""Kernels: one LLVM function for each region, and the loops over threads and blocks around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.abi import State, Suspension
from pycuda_guard.cpu.codegen import body, frames, guards, instructions, loops, regions
from pycuda_guard.cpu.codegen.context import FunctionContext, prepare
from pycuda_guard.cpu.codegen.emitter import Emitter
from pycuda_guard.cpu.codegen.fields import Invariants
from pycuda_guard.cpu.codegen.graph import ENTRY
from pycuda_guard.cpu.codegen.plan import KernelPlan, is_close_watch
from pycuda_guard.cpu.codegen.regions import Regions
from pycuda_guard.cpu.codegen.special import THREAD_TYPES, thread_of
from pycuda_guard.cpu.codegen.types import I1, I32, width

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.context import ModuleContext
    from pycuda_guard.cpu.codegen.graph import Cut, Graph, Leave
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Function

#: LLVM instructions of the longest region that becomes part of its loops over threads: there are two, and
#: what is longer gains less from being compiled twice than that takes
MAX_INLINED = 1000


def lower(module: ModuleContext, flat: FlatFunction, stack_bytes: int) -> KernelPlan:
    """Lower a kernel into the module; ``stack_bytes`` of local memory are for the functions it calls.

    Raises Unsupported.
    """
    static_shared = module.layout.shared_size(flat.name)
    context = FunctionContext(module, flat, regions.cut(flat), static_shared)
    split = Regions(context)
    context.first_lent_slot = split.slot_count
    plan = KernelPlan(
        flat.name,
        parameters=[(context.parameter_offset[p.name], p.size) for p in flat.function.parameters],
        parameter_bytes=context.parameter_bytes,
        static_shared=static_shared,
        local_bytes=context.local_size + stack_bytes,
        registers=_estimate_registers(split, flat, context.graph),
        max_threads=max_threads(flat.function),
    )
    invariants = Invariants(flat.function, context.parameter_offset, context.parameter_bytes)
    guard = guards.find(context)
    passes = guards.define(context, guard, invariants) if guard else None
    lowered = [_Region(context, split, invariants, number, guard) for number in range(len(split.starts))]
    if split.is_straight:
        region = loops.Region(lowered[0].function, invariants, {int(State.EXITED)}, passes)
        loops.over_blocks(module, f"{flat.name}.blocks", region)
        return plan
    plan.frame_slots = split.slot_count + context.lent_slots
    kinds = {ENTRY: Suspension.NONE}
    for number, part in enumerate(lowered):
        kinds.update(part.kinds)
        region = loops.Region(part.function, invariants, part.outcomes, passes if number == 0 else None)
        loops.over_all_threads(module, f"{flat.name}.full.{number}", region)
        loops.over_some_threads(module, f"{flat.name}.range.{number}", region)
    plan.suspensions = [int(kinds[start]) for start in split.starts]
    return plan


class _Region:
    """One region of a kernel as an LLVM function that returns the thread's next region or EXITED.

    Its arguments: those of every thread, the kernel's invariants, and whether the thread is known to pass
    the kernel's guard (``i1``, constant wherever it is called).
    """

    def __init__(
        self,
        context: FunctionContext,
        split: Regions,
        invariants: Invariants,
        number: int,
        guard: guards.Guard | None,
    ) -> None:
        self._split = split
        self.outcomes: set[int] = set()
        self.kinds: dict[str, Suspension] = {}
        start = split.starts[number]
        kind = ir.FunctionType(I32, [*THREAD_TYPES, *invariants.types(), I1])
        self.function = ir.Function(context.module.module, kind, f"{context.flat.name}.region.{number}")
        self.function.linkage = "internal"
        prepare(self.function)
        # no noalias on the block: inlined, it leaves a marker in the loop over threads, which counts there
        # as one more memory access
        arguments = list(self.function.args)
        known = dict(zip(invariants.keys, arguments[len(THREAD_TYPES) : -1], strict=True))
        self._e = Emitter(context, self.function, thread_of(arguments), known)
        for name in split.kept[start]:
            frames.restore(self._e, name, split.slots[name])
        for name in split.recomputed[start]:
            body.emit_instruction(self._e, context.definitions.single[name].instruction)
        shortcut = body.Shortcut(arguments[-1], guard.passes) if guard and number == 0 else None
        body.emit(self._e, context.graph.reachable(start, across_cuts=False), start, self, shortcut)
        self._e.finish()
        is_short = sum(len(block.instructions) for block in self.function.blocks) <= MAX_INLINED
        is_inlined = is_short and not is_close_watch(context.flat.name)
        self.function.attributes.add("alwaysinline" if is_inlined else "noinline")

    def leave(self, leave: Leave) -> None:
        """A thread of a kernel that returns has exited."""
        self._return(int(State.EXITED))

    def cut(self, cut: Cut) -> None:
        """Store what is live after the cut, and return where to go on."""
        e = self._e
        instruction = cut.instruction
        self.kinds[cut.target] = instructions.suspend(e, instruction) if instruction else cut.kind
        written = frames.written_at(cut)
        for name in self._split.kept[cut.target]:
            if name not in written:
                frames.keep(e, name, self._split.slots[name])
        self._return(self._split.number[cut.target])

    def _return(self, outcome: int) -> None:
        self.outcomes.add(outcome)
        self._e.builder.ret(ir.Constant(I32, outcome))


def max_threads(function: Function) -> int | None:
    """Return how many threads a block of the kernel may have, as its directives say."""
    for name, values in function.directives:
        if name in ("maxntid", "reqntid"):
            product = 1
            for value in values:
                product *= int(value)
            return product
    return None


def _estimate_registers(split: Regions, flat: FlatFunction, graph: Graph) -> int:
    """Estimate the 32-bit registers a GPU would use: the most that live at once, and some to compute."""
    most = max(
        sum(
            max(1, width(flat.registers[name]) // 32)
            for name in split.liveness.live(block)
            if name in flat.registers
        )
        for block in graph.blocks
    )
    return min(255, max(16, most + 8))
