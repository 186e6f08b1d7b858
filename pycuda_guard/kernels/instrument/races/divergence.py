"""Barriers that threads of one block wait at in different places, and masks that lack their own lane.

Before a barrier each thread notes its place in shared memory: the least and the largest are kept. After
it they must be the same. Three slots take turns: before a barrier the slot of the next is emptied,
which nobody has looked at since the barrier before the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.builder import at, is_true
from pycuda_guard.kernels.instrument.races.model import BARRIER_SLOT, BARRIER_SLOTS
from pycuda_guard.kernels.instrument.races.ordering import is_for_whole_warp, is_full_barrier
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Instruction, Register, Vector

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Operand

_NONE = 0xFFFFFFFF


class Numbering(Protocol):
    """Numbers the race sites of a kernel: ``sites`` has their numbers among the module's."""

    sites: list[int]

    def number(self, instruction: Instruction, kind: str) -> int:
        """Return the number among the kernel's race sites of what an instruction does."""


class Barriers:
    """What is added around a kernel's barriers.

    ``slots`` is the shared address of the slots, which are there where ``room`` holds. ``numbering``
    gives barriers their numbers among the kernel's race sites. Where it is ``certain`` that threads wait
    at the same barriers, nothing is added.
    """

    def __init__(
        self, frame: Frame, slots: Register, room: Register, numbering: Numbering, *, certain: bool
    ) -> None:
        self.frame = frame
        self.builder = frame.builder
        self.slots = slots
        self.room = room
        self._numbering = numbering
        found = [
            entry for entry in frame.flat.body if isinstance(entry, Instruction) and is_full_barrier(entry)
        ]
        #: with one barrier, all wait at the same
        self.is_watched = len(found) > 1 and not certain
        self._places: dict[int, Register] = {}
        with self.builder.in_prologue():
            if self.is_watched:
                self.turn = self.builder.value("mov.b32", "b32", 0)
                for slot in range(BARRIER_SLOTS):
                    self._empty(slots, slot * BARRIER_SLOT, room)
            self.builder.emit("bar.sync", 0)

    def _empty(self, slot: Register, offset: int, guard: Register) -> None:
        least = self.builder.value("mov.b32", "b32", _NONE)
        largest = self.builder.value("mov.b32", "b32", 0)
        target = at(slot, offset)
        self.builder.emit("st.shared.v2.b32", target, Vector((least, largest)), guard=is_true(guard))

    def before(self, instruction: Instruction) -> None:
        """Emit what goes before an instruction."""
        if not self.is_watched or not is_full_barrier(instruction):
            return
        value = self.builder.value
        number = self._numbering.number(instruction, "barrier")
        holds = self._holds(instruction)
        after = value("add.u32", "b32", self.turn, 1)
        wraps = value("setp.eq.u32", "pred", after, BARRIER_SLOTS)
        after = value("selp.b32", "b32", 0, after, wraps)
        self._empty(value("mad.lo.u32", "b32", after, BARRIER_SLOT, self.slots), 0, holds)
        own = value("mad.lo.u32", "b32", self.turn, BARRIER_SLOT, self.slots)
        self._places[id(instruction)] = own
        self.builder.emit("red.shared.min.u32", at(own), number, guard=is_true(holds))
        self.builder.emit("red.shared.max.u32", at(own, 4), number, guard=is_true(holds))
        self.builder.emit("mov.b32", self.turn, after, guard=instruction.guard)

    def after(self, instruction: Instruction) -> None:
        """Emit what goes after an instruction: a report where threads waited in different places."""
        own = self._places.pop(id(instruction), None)
        if own is None:
            return
        value = self.builder.value
        number = self._numbering.number(instruction, "barrier")
        least, largest = self.builder.register("b32"), self.builder.register("b32")
        holds = self._holds(instruction)
        for register in (least, largest):
            self.builder.emit("mov.b32", register, number)
        self.builder.emit("ld.shared.v2.b32", Vector((least, largest)), at(own), guard=is_true(holds))
        differ = value("setp.ne.u32", "pred", least, largest)
        is_least = value("setp.eq.u32", "pred", least, number)
        other = value("cvt.u64.u32", "b64", value("selp.b32", "b32", largest, least, is_least))
        self._report_where(differ, number, other)

    def check_mask(self, instruction: Instruction) -> None:
        """Emit what goes before ``__syncwarp``: a report where the mask lacks the lane that calls it."""
        if is_for_whole_warp(instruction):
            return
        mask = instruction.operands[0]
        value = self.builder.value
        number = self._numbering.number(instruction, "mask")
        lane = value("mov.u32", "b32", Register("%laneid", special=True))
        bit = value("and.b32", "b32", value("shr.u32", "b32", value("mov.b32", "b32", mask), lane), 1)
        lacks = value("setp.eq.u32", "pred", bit, 0)
        if instruction.guard is not None:
            lacks = holds_too(self.frame, lacks, instruction.guard)
        self._report_where(lacks, number, number)

    def _report_where(self, predicate: Register, number: int, other: Operand | int) -> None:
        """Emit a report of a barrier where a predicate holds, with the number of the other one."""
        with self.builder.rarely(is_true(predicate)):
            site = self._numbering.sites[number]
            reports.call_report(self.frame, site, int(abi.Reason.DIVERGENCE), 0, other)

    def _holds(self, instruction: Instruction) -> Register:
        return self.room if instruction.guard is None else holds_too(self.frame, self.room, instruction.guard)
