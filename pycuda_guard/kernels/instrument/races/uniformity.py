"""Whether all threads of a block come to the same barriers in the same order, and lanes to warp operations.

They do where no branch that threads may take differently decides on a barrier. Threads that leave the
kernel don't count: barriers go on without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.flow import EXIT, OPAQUE, flow_of
from pycuda_guard.kernels.instrument.accesses import space_of
from pycuda_guard.kernels.instrument.races.ordering import is_block_barrier, waits_for_lanes
from pycuda_guard.kernels.ptx.ir import Address, Immediate, Register, Space, Symbol
from pycuda_guard.kernels.ptx.opcodes import OPCODES, Category, definitions, uses

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.kernels.analysis.flow import Edge, Flow
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction

_MOST_BLOCKS = 1500
_SAME_FOR_ALL = ("%ntid", "%nctaid", "%ctaid", "%gridid", "%dynamic_smem_size", "%total_smem_size")
_LOADS = frozenset({"ld", "ldu"})
_WARP_BITS = 5
#: comparisons of a thread's index with a number that part whole warps, by what must be added to the number
_PARTING = {"lt": 0, "ge": 0, "lo": 0, "hs": 0, "gt": 1, "le": 1, "hi": 1, "ls": 1}


def barriers_are_uniform(function: FlatFunction) -> bool:
    """Tell whether it is certain that the threads of a block wait at barriers together."""
    flow = flow_of(function)
    if len(flow.blocks) > _MOST_BLOCKS:
        return False
    parameters = {parameter.name for parameter in function.function.parameters}
    return _Uniformity(flow, parameters, is_block_barrier).holds()


def warps_stay_together(function: FlatFunction) -> bool:
    """Tell whether the lanes of a warp surely come together to where they wait, for one another or the block.

    Taken that as many threads as make whole warps have one index in y and z: it is for choosing what is
    worth watching.
    """
    flow = flow_of(function)
    if len(flow.blocks) > _MOST_BLOCKS:
        return False
    return _WarpUniformity(flow, {parameter.name for parameter in function.function.parameters}).holds()


class _Uniformity:
    """The part of a kernel from which barriers can be reached, and what differs between threads there.

    ``waits`` tells which instructions are the barriers.
    """

    def __init__(self, flow: Flow, parameters: set[str], waits: Callable[[Instruction], bool]) -> None:
        self.flow = flow
        self.parameters = parameters
        self.waiting = {number for number, block in enumerate(flow.blocks) if any(map(waits, block))}
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


class _WarpUniformity(_Uniformity):
    """The same of one warp, for which numbers of warps and of whole blocks don't differ."""

    def __init__(self, flow: Flow, parameters: set[str]) -> None:
        super().__init__(flow, parameters, lambda each: is_block_barrier(each) or waits_for_lanes(each))
        self._threads = self._thread_indices()

    def _thread_indices(self) -> set[str]:
        """Return the registers that hold the index of a thread, in its block or among all."""
        found: set[str] = set()
        known = -1
        instructions = [instruction for block in self.flow.blocks for instruction in block]
        while known != len(found):
            known = len(found)
            for instruction in instructions:
                added = instruction.operands[-1] if instruction.operands else None
                if instruction.opcode in ("mov", "mad") and self._is_thread(added, found):
                    found.update(definitions(instruction))
        return found

    @staticmethod
    def _is_thread(operand: object, known: set[str]) -> bool:
        return isinstance(operand, Register) and (operand.name == "%tid.x" or operand.name in known)

    def _makes_differences(self, instruction: Instruction) -> bool:
        return not self._is_of_warp(instruction) and super()._makes_differences(instruction)

    def _is_of_warp(self, instruction: Instruction) -> bool:
        """Tell whether what an instruction computes is the same for all lanes, whatever it is given."""
        opcode, operands = instruction.opcode, instruction.operands
        if opcode in ("vote", "redux"):
            return True
        if not operands or not isinstance(operands[-1], Immediate):
            return False
        number = operands[-1].value
        if not self._is_thread(operands[-2] if len(operands) > 1 else None, self._threads):
            return False
        if opcode == "shr":
            return number >= _WARP_BITS
        if opcode == "and":
            return number % (1 << _WARP_BITS) == 0
        if opcode == "setp" and len(operands) == 3:
            added = [_PARTING[word] for word in instruction.modifiers if word in _PARTING]
            return bool(added) and (number + added[0]) % (1 << _WARP_BITS) == 0
        return False
