"""Asks the device who wrote what, and passes the answers on when they have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.model import Contents
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.shadow import codes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import ContextId, Event, Extent
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.state import Answer, ContextState
    from pycuda_guard.shadow.world import World

NOBODY, HOST, UNKNOWN = 0, -1, -2

Run = tuple[int, int, int]


class Cause(NamedTuple):
    """What Contents are for: an event of the program by its number, or the end of the run (0)."""

    site: Site | None
    thread: int
    context: ContextId
    sequence: int


def cause_of(event: Event) -> Cause:
    """Return an event as the cause of Contents."""
    return Cause(event.site, event.thread, event.context, event.sequence)


class _Question:
    """A scan that is on its way. ``cause`` is the event that Contents are for, None for whole-ness alone."""

    __slots__ = (
        "allocation", "answer", "cause", "end", "launches", "pitch", "shift", "start", "state", "version",
        "was_whole", "width",
    )  # fmt: skip

    def __init__(
        self,
        state: ContextState,
        allocation: Allocation,
        answer: Answer,
        cause: Cause | None,
        start: int,
        end: int,
        width: int = 0,
        pitch: int = 0,
    ) -> None:
        self.state = state
        self.allocation = allocation
        self.answer = answer
        self.cause = cause
        self.start = start  # offsets in bytes
        self.end = end
        self.width = width  # of a row, in bytes; 0 for one range
        self.pitch = pitch
        self.shift = allocation.shift  # may be finer when the answer comes
        self.version = allocation.version
        self.was_whole = allocation.whole
        self.launches = dict(allocation.launches) if cause is not None else {}


class Asking:
    """The questions that are ``open``, in the order in which they were asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.open: list[_Question] = []

    def ask_whole(self, state: ContextState, allocation: Allocation, stream: int) -> None:
        """Ask in ``stream`` whether an allocation is written whole by now."""
        allocation.unscanned = False
        self._scan(state, allocation, None, 0, allocation.size, stream)

    def ask_read(
        self, cause: Cause, allocation: Allocation, address: int, extent: Extent, stream: int
    ) -> None:
        """Ask who wrote what a copy to the host is about to read."""
        start = address - allocation.address + extent.offset
        rows = extent.rows * extent.slices
        is_box = rows > 1 and not (extent.rows > 1 and extent.slices > 1)
        pitch = extent.pitch if extent.rows > 1 else extent.slice_pitch
        if extent.width <= 0 or rows < 1 or start < 0 or (rows > 1 and not is_box):
            return
        end = start + extent.width if rows == 1 else start + (rows - 1) * pitch + extent.width
        if end > allocation.size or not allocation.is_tracked:
            return
        if not allocation.shadow:
            if not allocation.whole:
                self._answer_from_host(cause, allocation, start, end, extent.width if rows > 1 else 0, pitch)
            return
        if allocation.whole and not allocation.unanswered:
            return
        state = self._world.state_of(allocation, cause.context)
        if state is None:
            return
        if start == 0 and end == allocation.size and rows == 1:
            allocation.unanswered = allocation.run_at_end = False
        self._scan(state, allocation, cause, start, end, stream, extent.width if rows > 1 else 0, pitch)

    def ask_last(self, cause: Cause, state: ContextState, allocation: Allocation) -> None:
        """Ask who wrote an allocation that no kernel uses any more."""
        allocation.unanswered = allocation.run_at_end = False
        self._scan(state, allocation, cause, 0, allocation.size, state.stream)

    def collect(self, state: ContextState) -> None:
        """Take the answers that have come in a context."""
        still_open = []
        for question in self.open:
            if question.state is state and question.answer.is_there:
                runs, never, first, last = question.answer.read()
                question.state.give_answer(question.answer)
                self._take(question, runs, never, first, last)
            else:
                still_open.append(question)
        self.open = still_open

    def forget(self, state: ContextState) -> None:
        """Drop the questions in a context that is gone."""
        self.open = [question for question in self.open if question.state is not state]

    # -- inside ---------------------------------------------------------------------------------

    def _scan(
        self,
        state: ContextState,
        allocation: Allocation,
        cause: Cause | None,
        start: int,
        end: int,
        stream: int,
        width: int = 0,
        pitch: int = 0,
    ) -> None:
        shift = allocation.shift
        grain = (1 << shift) - 1
        if width and (start | width | pitch) & grain:
            return  # rows that share codes
        first = start >> shift
        answer = state.take_answer()
        if answer is None:
            return
        if width:
            rows = (end - start + pitch - 1) // pitch
            count, row, step = rows * (width >> shift), width >> shift, pitch >> shift
        else:
            count, row, step = ((end - 1) >> shift) + 1 - first, 0, 0
        codes.scan(state, allocation, answer, first, count, stream, row, step)
        self.open.append(_Question(state, allocation, answer, cause, start, end, width, pitch))

    def _take(
        self, question: _Question, runs: list[tuple[int, int]] | None, never: int, first: int, last: int
    ) -> None:
        allocation = question.allocation
        is_all = not question.width and question.start == 0 and question.end == allocation.size
        if is_all and not never and question.version == allocation.version:
            allocation.fill_up()
        cause = question.cause
        if cause is None or self._world.is_shared():
            return
        shift = question.shift
        if never and not question.was_whole and not self._world.is_certainly_ours():
            return
        if question.was_whole:
            never = 0
        grain = 1 << shift
        writers = [] if runs is None else self._runs(question, runs)
        if runs is not None:
            gaps = [(start, end) for start, end, writer in writers if writer == NOBODY]
            unwritten = sum(end - start for start, end in gaps)
            low, high = (gaps[0][0], gaps[-1][1]) if gaps else (0, 0)
        else:
            unwritten = never * grain
            low = _place(question, first) if never else 0
            high = _place(question, last - 1) + grain if never else 0
            low, high = max(low, question.start), min(high, question.end)
        self._emit(cause, allocation, question.start, question.end, writers, unwritten, low, high)

    def _runs(self, question: _Question, runs: list[tuple[int, int]]) -> list[Run]:
        """Turn runs of codes into runs of bytes with writers."""
        found: list[Run] = []
        width, shift = question.width, question.shift
        row = width >> shift
        total = (
            -(-(question.end - question.start) // question.pitch) * row
            if width
            else ((question.end - 1) >> shift) + 1 - (question.start >> shift)
        )
        for index, (unit, code) in enumerate(runs):
            following = runs[index + 1][0] if index + 1 < len(runs) else total
            writer = self._writer(question, code)
            for low, high in _pieces(unit, following, row):
                start = max(_place(question, low), question.start)
                end = min(_place(question, high - 1) + (1 << shift), question.end)
                if found and found[-1][1] == start and found[-1][2] == writer:
                    found[-1] = (found[-1][0], end, writer)
                else:
                    found.append((start, end, writer))
        return found

    @staticmethod
    def _writer(question: _Question, code: int) -> int:
        if code == abi.NEVER:
            return HOST if question.was_whole else NOBODY
        if code == abi.HOST:
            return HOST
        return question.launches.get(code, UNKNOWN)

    def _answer_from_host(
        self, cause: Cause, allocation: Allocation, start: int, end: int, width: int, pitch: int
    ) -> None:
        """Answer for memory that no kernel wrote from what copies and memsets did."""
        if allocation.known is None or self._world.is_shared():
            return
        runs: list[Run] = []
        rows = range(start, end, pitch) if width else (start,)
        for row in rows:
            row_end = row + width if width else end
            place = row
            for low, high in allocation.known.within(row, row_end):
                if place < low:
                    runs.append((place, low, NOBODY))
                runs.append((low, high, HOST))
                place = high
            if place < row_end:
                runs.append((place, row_end, NOBODY))
        gaps = [(low, high) for low, high, writer in runs if writer == NOBODY]
        if gaps and self._world.is_certainly_ours():
            unwritten = sum(high - low for low, high in gaps)
            self._emit(cause, allocation, start, end, runs, unwritten, gaps[0][0], gaps[-1][1])

    def _emit(
        self,
        cause: Cause,
        allocation: Allocation,
        start: int,
        end: int,
        runs: list[Run],
        unwritten: int,
        first: int,
        last: int,
    ) -> None:
        self._world.outbox.append(
            Contents(
                cause.site,
                cause.thread,
                cause.context,
                cause.sequence,
                allocation.address + start,
                end - start,
                allocation.address,
                tuple(runs),
                unwritten,
                first,
                last,
            )
        )


def _place(question: _Question, unit: int) -> int:
    """Return the offset of the first byte of a unit, counted from the first one asked about."""
    shift = question.shift
    if not question.width:
        return ((question.start >> shift) + unit) << shift
    row, column = divmod(unit, question.width >> shift)
    return question.start + row * question.pitch + (column << shift)


def _pieces(unit: int, following: int, row: int) -> Iterable[tuple[int, int]]:
    """Cut a run of units where rows end."""
    if not row:
        yield unit, following
        return
    while unit < following:
        stop = min(following, (unit // row + 1) * row)
        yield unit, stop
        unit = stop
