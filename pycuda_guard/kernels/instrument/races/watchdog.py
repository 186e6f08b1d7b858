"""Where threads of a kernel may wait for others that never come, and what is done there instead.

Only in kernels that mix ways of waiting which not all threads surely come to: at barriers of all threads
alone the hardware lets all go, wherever they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.builder import at, is_false, is_true
from pycuda_guard.kernels.instrument.races.ordering import is_block_barrier, waits_for_lanes
from pycuda_guard.kernels.instrument.races.stalls import (
    AREA_FIELDS,
    ARRIVE,
    GENERATION,
    MEETING_SLOTS,
    NAMED,
    ROUND_SHIFT,
    SITE_SHIFT,
    WAIT,
    Note,
    Verdict,
)
from pycuda_guard.kernels.instrument.races.uniformity import barriers_are_uniform, warps_stay_together
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Immediate, Instruction, Register

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.races.divergence import Numbering
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand

_WARP = 32
_LEAVING = frozenset({"ret", "exit"})
_ENDS = _LEAVING | {"trap", "bra", "brx"}


@dataclass(frozen=True, slots=True)
class Barrier:
    """A barrier of a block: its number, for how many threads it is (None: all), whether threads wait."""

    number: Operand
    threads: Operand | None
    waits: bool


def barrier_of(instruction: Instruction) -> Barrier:
    """Take a barrier of a block apart."""
    operands = instruction.operands
    if "red" in instruction.modifiers:
        operands = operands[1:-1]
    threads = operands[1] if len(operands) > 1 else None
    return Barrier(operands[0], threads, "arrive" not in instruction.modifiers)


def may_stall(function: FlatFunction) -> bool:
    """Tell whether threads of a block may wait for ever for others that wait elsewhere, or have left.

    Not where the ways of waiting can't be looked after.
    """
    instructions = [entry for entry in function.body if isinstance(entry, Instruction)]
    barriers = [barrier_of(entry) for entry in instructions if is_block_barrier(entry)]
    operates = any(map(waits_for_lanes, instructions))
    last = instructions[-1] if instructions else None
    if not barriers or last is None or last.guard is not None or last.opcode not in _ENDS:
        return False
    counted = any(barrier.threads is not None for barrier in barriers)
    numbers = {each.number.value for each in barriers if isinstance(each.number, Immediate)}
    meets = {each.number for each in barriers if each.threads is None}
    if not all(isinstance(number, Immediate) and 0 <= number.value < NAMED for number in meets):
        return False
    if meets & {each.number for each in barriers if each.threads is not None}:
        return False
    if meets and not all(isinstance(each.number, Immediate) for each in barriers):
        return False
    if counted or (len(numbers) > 1 and not barriers_are_uniform(function)):
        return True
    return operates and not warps_stay_together(function)


class Watchdog:
    """What is added where threads wait and where they leave.

    ``area`` is the shared address of AREA_BYTES, cleared, which are there where ``room`` holds.
    ``numbering`` gives waits their numbers among the kernel's race sites.
    """

    def __init__(
        self,
        frame: Frame,
        area: Register,
        room: Register,
        thread: Register,
        threads: Register,
        numbering: Numbering,
    ) -> None:
        self.frame = frame
        self.builder = frame.builder
        self.area = area
        self.room = room
        self.thread = thread
        self.threads = threads
        self._numbering = numbering
        self._turns: dict[int, Register] = {}
        self._noted: dict[int, Register] = {}
        with self.builder.in_prologue():
            self._round = self.builder.value("mov.b32", "b32", 0)
            self._note = self.builder.value("mad.lo.u32", "b32", thread, 4, area)

    def before(self, instruction: Instruction) -> None:
        """Emit what goes before an instruction."""
        if is_block_barrier(instruction):
            self._come(instruction, barrier_of(instruction))
        elif waits_for_lanes(instruction):
            self._join(instruction)
        elif instruction.opcode in _LEAVING:
            self._leave(instruction)

    def after(self, instruction: Instruction) -> None:
        """Emit what goes after an instruction: the thread goes on, or leaves where its block does."""
        noted = self._noted.pop(id(instruction), None)
        if noted is None:
            return
        slow, following = self.builder.label(), self.builder.label()
        if is_block_barrier(instruction):
            self._store_note(self._round, noted)
            return
        self.builder.branch(slow, is_true(noted))
        self.builder.place_label(following)
        with self.builder.outlined(slow):
            value = self.builder.value
            self._store_note(self._round)
            ending = self.builder.register("b32")
            self.builder.emit("ld.volatile.shared.b32", ending, at(self.area, AREA_FIELDS["ending"]))
            self.builder.branch(following, is_false(value("setp.eq.u32", "pred", ending, 1)))
            self.builder.emit("exit")

    # --- barriers of the block --------------------------------------------------------------------

    def _come(self, instruction: Instruction, barrier: Barrier) -> None:
        """Emit the wait for all that a barrier is for."""
        slow, following = self.builder.label(), self.builder.label()
        watched = self._holds(instruction)
        if barrier.waits:
            self._noted[id(instruction)] = watched
        self.builder.branch(slow, is_true(watched))
        self.builder.place_label(following)
        number = self._numbering.number(instruction, "barrier")
        with self.builder.outlined(slow, following):
            self.builder.mark(instruction.source)
            if barrier.threads is None:
                assert isinstance(barrier.number, Immediate)
                self._wait(number, Note.AT_BARRIER, self._meet(barrier.number.value), self.threads, following)
            else:
                place, generation = self._arrive(barrier.number, barrier.threads)
                if barrier.waits:
                    self._wait(number, Note.AT_COUNTED, place, generation, following)

    def _meet(self, number: int) -> Register:
        """Emit the coming to a barrier of all threads; return where they are counted."""
        value = self.builder.value
        turn = self._turns.get(number)
        if turn is None:
            with self.builder.in_prologue():
                turn = self._turns[number] = value("mov.b32", "b32", 0)
        start = AREA_FIELDS["meetings"] + 4 * MEETING_SLOTS * number
        own = value("mad.lo.u32", "b32", turn, 4, self.area)
        after = value("add.u32", "b32", turn, 1)
        wraps = value("setp.eq.u32", "pred", after, MEETING_SLOTS)
        self.builder.emit("selp.b32", turn, 0, after, wraps)
        # nobody has looked at the next one's count since the barrier before the last
        following = value("mad.lo.u32", "b32", turn, 4, self.area)
        self.builder.emit("st.shared.b32", at(following, start), value("mov.b32", "b32", 0))
        place = value("add.u32", "b32", own, start)
        self.builder.emit("red.shared.add.u32", at(place), 1)
        return place

    def _arrive(self, number: Operand, threads: Operand) -> tuple[Register, Register]:
        """Emit the coming to a barrier for some threads; return its word and what to wait out."""
        value = self.builder.value
        place = value("mad.lo.u32", "b32", value("mov.b32", "b32", number), 4, self.area)
        place = value("add.u32", "b32", place, AREA_FIELDS["named"])
        # it counts whole warps: the last thread stands for the lanes that its warp lacks
        after = value("add.u32", "b32", self.thread, 1)
        is_last = value("setp.eq.u32", "pred", after, self.threads)
        lacking = value("and.b32", "b32", value("neg.s32", "b32", self.threads), _WARP - 1)
        counts = value("add.u32", "b32", value("selp.b32", "b32", lacking, 0, is_last), 1)
        generation = self.builder.call_for(
            ARRIVE, [(4, place), (4, counts), (4, value("mov.b32", "b32", threads))]
        )
        return place, value("or.b32", "b32", generation, GENERATION)

    def _wait(self, number: int, kind: Note, place: Register, need: Register, following: str) -> None:
        """Emit the wait; who finds out that it would never end reports that, and all leave."""
        value = self.builder.value
        state = self._next_round(number, kind)
        verdict = self.builder.call_for(
            WAIT, [(4, self.area), (4, self.thread), (4, self.threads), (4, state), (4, place), (4, need)]
        )
        self.builder.branch(following, is_true(value("setp.eq.u32", "pred", verdict, int(Verdict.GO))))
        away = self.builder.label()
        self.builder.branch(away, is_true(value("setp.eq.u32", "pred", verdict, int(Verdict.LEAVE))))
        counts, other = self.builder.register("b64"), self.builder.register("b32")
        self.builder.emit("ld.shared.b64", counts, at(self.area, AREA_FIELDS["counts"]))
        self.builder.emit("ld.shared.b32", other, at(self.area, AREA_FIELDS["other"]))
        site = self._numbering.sites[number]
        wide = value("cvt.u64.u32", "b64", other)
        reports.call_report(self.frame, site, int(abi.Reason.STALL), counts, wide)
        self.builder.place_label(away)
        self.builder.emit("exit")

    # --- operations of the warp -------------------------------------------------------------------

    def _join(self, instruction: Instruction) -> None:
        """Emit a note that a thread waits for lanes, where not all of them are there already."""
        value = self.builder.value
        slow, following = self.builder.label(), self.builder.label()
        absent = self.builder.register("b32")
        noted = self._noted[id(instruction)] = self.builder.register("pred")
        unwatched = self.builder.label()
        self.builder.emit("setp.ne.u32", noted, value("mov.b32", "b32", 0), 0)
        self.builder.branch(unwatched, is_false(self._holds(instruction)))
        self.builder.emit("activemask.b32", absent)
        self.builder.emit("not.b32", absent, absent)
        self.builder.emit("and.b32", absent, absent, instruction.operands[-1])
        self.builder.emit("setp.ne.u32", noted, absent, 0)
        self.builder.branch(slow, is_true(noted))
        self.builder.place_label(following)
        self.builder.place_label(unwatched)
        number = self._numbering.number(instruction, "warp")
        with self.builder.outlined(slow, following):
            self._store_note(self._next_round(number, Note.AT_OPERATION))

    # --- the end ----------------------------------------------------------------------------------

    def _leave(self, instruction: Instruction) -> None:
        """Emit a note that a thread leaves."""
        watched = self._holds(instruction)
        self._store_note(self.builder.value("mov.b32", "b32", int(Note.LEFT)), watched)
        self.builder.emit("red.shared.add.u32", at(self.area, AREA_FIELDS["left"]), 1, guard=is_true(watched))

    # --- inside -----------------------------------------------------------------------------------

    def _next_round(self, number: int, kind: Note) -> Register:
        """Emit the beginning of another wait; return the note that says so."""
        self.builder.emit("add.u32", self._round, self._round, 1 << ROUND_SHIFT)
        return self.builder.value("or.b32", "b32", self._round, number << SITE_SHIFT | kind)

    def _store_note(self, note: Register, predicate: Register | None = None) -> None:
        guard = None if predicate is None else is_true(predicate)
        self.builder.emit("st.volatile.shared.b32", at(self._note, AREA_FIELDS["notes"]), note, guard=guard)

    def _holds(self, instruction: Instruction) -> Register:
        guard = instruction.guard
        return self.room if guard is None else holds_too(self.frame, self.room, guard)
