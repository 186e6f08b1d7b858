"""Work that is queued in streams: in which order it may run, and running it.

Each piece of work has a number, its place in the order of the host's calls. It may run when what was queued
before it in the same stream has run, and

- in the legacy default stream, what was queued before it in the context's blocking streams;
- in a blocking stream, what was queued before it in the context's default stream;
- after a wait for an event, what had been queued when the event was recorded.

All of that has smaller numbers, so something may always run. What runs when is the schedule's business
(:mod:`pycuda_guard.cpu.schedule`). Work runs in the thread that needs it done, one piece at a time.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import state
from pycuda_guard.cpu.driver.errors import DriverError, InterruptedWaitError, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Position = tuple["Queue", int]
    Goals = dict["Queue", int]
    Work = tuple[Callable[[], None], int, Position | None, int]  # what, number, after what, bytes it holds

#: how much may be queued in a stream before its oldest work runs, as on a GPU
_MOST_WORK = 1024
#: bytes of copies of pageable memory that may wait to be transferred
_MOST_STAGED = 256 << 20
_NEVER = 1 << 62

_numbers = itertools.count(1)
_groups: dict[QueueGroup, None] = {}  # in the order of their creation
_turn = threading.Lock()  # held by the thread whose turn it is to run work
_runner = 0  # that thread's identity
_postponed: deque[Callable[[], None]] = deque()  # for when the running thread's turn is over
_staged = 0


class Queue:
    """A stream's queue. ``is_legacy``: of the default stream; ``is_blocking``: ordered with that one."""

    def __init__(self, group: QueueGroup, is_legacy: bool = False, is_blocking: bool = True) -> None:
        self.group = group
        self.is_legacy = is_legacy
        self.is_blocking = is_blocking
        self.is_closed = False
        self.work: deque[Work] = deque()
        group.queues[self] = None

    def first(self) -> int:
        """Return the number of the oldest work that is not done, or one above all others."""
        try:
            return self.work[0][1]
        except IndexError:
            return _NEVER

    def last(self) -> int:
        """Return the number of the youngest work that is not done, or 0."""
        try:
            return self.work[-1][1]
        except IndexError:
            return 0

    def enqueue(self, run: Callable[[], None], after: Position | None = None, staged: int = 0) -> None:
        """Queue work; drop it if the device is broken.

        ``after`` is a position that must be reached before, ``staged`` how many bytes the work holds.
        """
        global _staged
        if state.status.trouble:
            return
        # one step, which neither another thread nor a destructor that queues work can come between
        self.work.extend(zip((run,), _numbers, (after,), (staged,)))  # noqa: B905 (the numbers never end)
        _staged += staged
        if _runner == get_ident():
            return
        if state.schedule.is_eager or _staged > _MOST_STAGED:
            _take_turn({self: self.last()})
        elif len(self.work) > _MOST_WORK:
            _take_turn({self: self.first()})
        while state.schedule.wants_more():
            advance(all_work())

    def perform(self, run: Callable[[], None]) -> None:
        """Queue work and wait for it."""
        self.enqueue(run)
        finish({self: self.last()})

    def synchronizing(self) -> Goals:
        """Return the goals of one who waits for the stream."""
        if self.is_legacy:
            return {queue: queue.last() for queue in self.group.queues if queue.is_blocking}
        return {self: self.last()}

    def close(self) -> None:
        """Take no more work. What is queued still runs."""
        self.is_closed = True
        if not self.work:
            self.group.queues.pop(self, None)


class QueueGroup:
    """The queues of a context: ``legacy`` is that of its default stream.

    ``always_waits``: the host waits for every synchronous operation, even one inside the device.
    """

    def __init__(self, always_waits: bool = False) -> None:
        self.always_waits = always_waits
        self.queues: dict[Queue, None] = {}
        self.legacy = Queue(self, is_legacy=True)
        _groups[self] = None

    def goals(self) -> Goals:
        """Return the goals of one who waits for everything in the context."""
        return {queue: queue.last() for queue in list(self.queues)}

    def close(self) -> None:
        """Forget the group, and work that is queued in it."""
        _groups.pop(self, None)
        for queue in self.queues:
            queue.work.clear()


def all_work() -> Goals:
    """Return the goals of one who waits for everything there is."""
    return {queue: queue.last() for group in list(_groups) for queue in list(group.queues)}


def is_reached(goals: Goals) -> bool:
    """Whether all work up to the goals is done."""
    return all(queue.first() > number for queue, number in goals.items())


def finish(goals: Goals) -> None:
    """Wait until goals are reached and write what kernels have printed; raise if the device is broken."""
    if not is_reached(goals):
        if _runner == get_ident():
            raise DriverError(
                Result.NOT_PERMITTED,
                "a signal's handler can't wait while its thread waits for the device",
            )
        _take_turn(goals)
    state.runtime.flush()
    if state.status.trouble:
        state.require(True)


def advance(goals: Goals) -> None:
    """Run one piece of work on the way to goals, if there is one."""
    if not is_reached(goals) and _runner != get_ident():
        _take_turn(goals, once=True)


def when_done(action: Callable[[], None]) -> None:
    """Do something as soon as all work that is queued is done; raise if the device is broken then.

    That is when this returns, unless a destructor has called that came while this very thread runs work.
    """
    if _runner == get_ident():
        _postponed.append(lambda: when_done(action))
        return
    finish(all_work())
    action()


def at_end(goals: Goals, action: Callable[[], None]) -> None:
    """Do something as soon as goals are reached, even if the device is broken then."""
    if _runner == get_ident():
        _postponed.append(lambda: at_end(goals, action))
        return
    with suppress(DriverError):
        finish(goals)
    action()


def _take_turn(goals: Goals, once: bool = False) -> None:
    """Run what must be done before goals are reached, or the first piece of it."""
    global _runner
    try:
        _turn.acquire()
    except BaseException as error:  # of a signal's handler
        state.runtime.cancel()
        state.runtime.raise_later(error)
        raise InterruptedWaitError from None
    try:
        _runner = get_ident()
        _run_until(goals, once)
    except KeyboardInterrupt as error:
        state.runtime.raise_later(error)
        raise InterruptedWaitError from None
    finally:
        _runner = 0
        _turn.release()
        if state.status.trouble:
            state.runtime.flush()
    while _postponed:
        try:
            _postponed.popleft()()
        except (DriverError, IndexError):
            break  # of a broken device nothing can be freed; or another thread has taken the last


def _run_until(goals: Goals, once: bool) -> None:
    busy = [queue for group in list(_groups) for queue in list(group.queues) if queue.work]
    if len(busy) == 1:  # there is nothing to order, and nothing to choose
        queue = busy[0]
        limit = goals.get(queue, 0)
        while queue.first() <= limit:
            _run_first(queue)
            if once:
                break
        return
    if not once:
        _add_conditions(goals)
    while ready := _ready(goals):
        candidates = [(queue.first(), len(queue.work)) for queue in ready]
        _run_first(ready[state.schedule.choose(candidates)])
        if once:
            break


def _add_conditions(goals: Goals) -> None:
    """Add to goals all that must be done before they are reached.

    With that known from the start, the schedule may run it long before its turn comes.
    """
    seen: Goals = {}
    unseen = list(goals)
    while unseen:
        queue = unseen.pop()
        number, limit = seen.get(queue, 0), goals[queue]
        seen[queue] = limit
        for work in reversed(list(queue.work)):
            if number < work[1] <= limit:
                unseen += _raise_goals(goals, queue, work)


def _raise_goals(goals: Goals, queue: Queue, work: Work) -> list[Queue]:
    """Add to goals what must be done before a piece of work may run; return the queues where that is more."""
    raised = []
    for other, number in _conditions(queue, work):
        if goals.get(other, 0) < number and other.first() <= number:
            goals[other] = number
            raised.append(other)
    return raised


def _ready(goals: Goals) -> list[Queue]:
    """Return the queues whose oldest work may run and must, for goals to be reached.

    Adds to the goals what must be done before.
    """
    ready: dict[Queue, None] = {}
    unseen = list(goals)
    while unseen:
        queue = unseen.pop()
        if queue.first() > goals[queue]:
            continue
        oldest = queue.work[0]
        unseen += _raise_goals(goals, queue, oldest)
        if all(other.first() > number for other, number in _conditions(queue, oldest)):
            ready[queue] = None
    return list(ready)


def _conditions(queue: Queue, work: Work) -> Iterator[Position]:
    """Yield the positions in other queues that must be reached before a piece of work may run."""
    _, number, after, _ = work
    if queue.is_legacy:
        for other in list(queue.group.queues):
            if other.is_blocking and other is not queue:
                yield other, number - 1
    elif queue.is_blocking:
        yield queue.group.legacy, number - 1
    if after is not None:
        yield after


def _run_first(queue: Queue) -> None:
    """Run the oldest work of a queue. If it breaks the device, all other work is dropped."""
    global _staged
    run, _, _, staged = queue.work[0]
    try:
        run()
    except Exception as error:
        state.fail(state.Failure(Result.UNKNOWN, f"{type(error).__name__}: {error}"))
    except BaseException:
        state.fail(state.Failure(Result.LAUNCH_FAILED, "interrupted by a signal"))
        raise
    finally:
        queue.work.popleft()
        _staged -= staged
        if queue.is_closed and not queue.work:
            queue.group.queues.pop(queue, None)
        if state.status.trouble:
            _drop_all()


def _drop_all() -> None:
    global _staged
    for group in list(_groups):
        for queue in list(group.queues):
            queue.work.clear()
    _staged = 0
