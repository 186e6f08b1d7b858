"""Whether all threads of a block come to the same barriers in the same order.

They do where no branch that threads may take differently decides on a barrier. Threads that leave the
kernel don't count: barriers go on without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.flow import EXIT, OPAQUE, flow_of
from pycuda_guard.kernels.instrument.accesses import space_of
from pycuda_guard.kernels.instrument.races.ordering import is_block_barrier
from pycuda_guard.kernels.ptx.ir import Address, Space, Symbol
from pycuda_guard.kernels.ptx.opcodes import OPCODES, Category, definitions, uses

if TYPE_CHECKING:
    from pycuda_guard.kernels.analysis.flow import Edge, Flow
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction

_MOST_BLOCKS = 1500
_SAME_FOR_ALL = ("%ntid", "%nctaid", "%ctaid", "%gridid", "%dynamic_smem_size", "%total_smem_size")
_LOADS = frozenset({"ld", "ldu"})


def barriers_are_uniform(function: FlatFunction) -> bool:
    """Tell whether it is certain that the threads of a block wait at barriers together."""
    flow = flow_of(function)
    if len(flow.blocks) > _MOST_BLOCKS:
        return False
    return _Uniformity(flow, {parameter.name for parameter in function.function.parameters}).holds()


class _Uniformity:
    """The part of a kernel from which barriers can be reached, and what differs between threads there."""

    def __init__(self, flow: Flow, parameters: set[str]) -> None:
        self.flow = flow
        self.parameters = parameters
        self.waiting = {
            number for number, block in enumerate(flow.blocks) if any(map(is_block_barrier, block))
        }
        live = self._live()
        self.after: dict[int, list[Edge]] = {number: [] for number in live}
        for edge in flow.edges:
            if edge.source in live and edge.target in live:
                self.after[edge.source].append(edge)
        self.differ: set[str] = set()  # registers
        self.apart: set[int] = set()  # blocks that some threads come to, or come to more often

    def _live(self) -> set[int]:
        into = self.flow.into()
        live = set(self.waiting)
        pending = list(live)
        while pending:
            for edge in into[pending.pop()]:
                if edge.source not in live and edge.source != EXIT:
                    live.add(edge.source)
                    pending.append(edge.source)
        return live

    def holds(self) -> bool:
        meetings = self._meetings()
        while True:
            known = len(self.differ), len(self.apart)
            for number in sorted(self.after):
                for instruction in self.flow.blocks[number]:
                    if number in self.apart or self._makes_differences(instruction):
                        self.differ.update(definitions(instruction))
            for number, edges in self.after.items():
                if len({edge.target for edge in edges}) > 1 and self._parts(edges):
                    self._spread(number, meetings.get(number))
            if self.apart & self.waiting:
                return False
            if known == (len(self.differ), len(self.apart)):
                return True

    def _parts(self, edges: list[Edge]) -> bool:
        """Tell whether threads may leave a block by different edges."""
        return any(
            edge.guard is not None and (edge.guard == OPAQUE or edge.guard.register in self.differ)
            for edge in edges
        )

    def _makes_differences(self, instruction: Instruction) -> bool:
        """Tell whether what an instruction computes may differ between the threads of a block."""
        if any(
            not register.name.startswith(_SAME_FOR_ALL) if register.special else register.name in self.differ
            for register in uses(instruction)
        ):
            return True
        row = OPCODES.get(instruction.opcode)
        if row is None or row.category in (Category.WARP, Category.ATOMIC, Category.MATRIX, Category.TEXTURE):
            return True
        if instruction.opcode in _LOADS:
            return space_of(instruction) is not Space.CONST and not self._is_parameter(instruction)
        if is_block_barrier(instruction):
            return False
        return row.reads_memory or row.reads_carry or instruction.opcode == "call"

    def _is_parameter(self, instruction: Instruction) -> bool:
        """Tell whether an instruction loads a parameter of the kernel, not what a function returned."""
        if space_of(instruction) is not Space.PARAM or not isinstance(instruction.operands[1], Address):
            return False
        base = instruction.operands[1].base
        return isinstance(base, Symbol) and base.name in self.parameters

    def _spread(self, number: int, meeting: int | None) -> None:
        """Note the blocks between a branch and the place where all threads come together again."""
        pending = [edge.target for edge in self.after[number]]
        seen: set[int] = set()
        while pending:
            block = pending.pop()
            if block != meeting and block not in seen:
                seen.add(block)
                pending.extend(edge.target for edge in self.after[block])
        self.apart |= seen

    def _meetings(self) -> dict[int, int]:
        """Return for each block the first that all ways from it lead through."""
        order = sorted(self.after)
        index = {number: place for place, number in enumerate(order)}
        everything = (1 << len(order)) - 1
        behind = [everything] * len(order)
        changed = True
        while changed:
            changed = False
            for number in reversed(order):
                place = index[number]
                targets = {edge.target for edge in self.after[number]}
                common = everything if targets else 0
                for target in targets:
                    common &= behind[index[target]]
                new = common | 1 << place
                if new != behind[place]:
                    behind[place] = new
                    changed = True
        found = {}
        for place, number in enumerate(order):
            strict = behind[place] & ~(1 << place)
            # the nearest is the one that all the others are behind
            for other in range(len(order)):
                if strict >> other & 1 and behind[other] == strict:
                    found[number] = order[other]
        return found
