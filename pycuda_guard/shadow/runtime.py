"""The runtime of instrumented kernels: follows the program's events, and stands between it and its kernels.

The hooks pass every event through :meth:`Runtime.fold` once it has its number, load modules and get
functions by way of it, and have it prepare each launch. It emits nothing while it holds its lock: what
it has to say waits in an outbox that :meth:`Runtime.deliver` empties.

Events can come from a garbage collection in the middle of anything, and from any thread. What a collection
can cause goes to a queue, which whoever has the lock works through; nobody waits for the lock there. The
program's other calls wait for it: their context is current in their own thread, and might be gone before
another thread came to it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import (
    Allocated,
    ContextChanged,
    Copy,
    Exported,
    Freed,
    Launch,
    Memset,
    StreamCreated,
    StreamDestroyed,
    Synchronized,
)
from pycuda_guard.shadow.asking import Asking, Cause
from pycuda_guard.shadow.driver import DriverError
from pycuda_guard.shadow.following import Following
from pycuda_guard.shadow.launching import Launching, neutral
from pycuda_guard.shadow.loading import Loader, Variant
from pycuda_guard.shadow.reporting import Reporting
from pycuda_guard.shadow.residency import is_crowded
from pycuda_guard.shadow.unwatched import Unwatched
from pycuda_guard.shadow.world import Options, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycuda_guard.events.model import ContextId, Event
    from pycuda_guard.events.patterns import Pattern
    from pycuda_guard.shadow.memos import Memo
    from pycuda_guard.shadow.source import Source
    from pycuda_guard.shadow.state import ContextState


#: the events that a garbage collection can cause; where another context has to be current, they see to it
_COLLECTED = (Freed, StreamDestroyed)

#: seconds to wait for another thread
_PATIENCE = 5.0


class Runtime:
    """Follows one guarded run. ``emit`` takes the events that it makes."""

    def __init__(
        self,
        options: Options,
        emit: Callable[[Event], int],
        guard_error: Callable[[str, BaseException], None],
    ) -> None:
        self.world = World(options, guard_error)
        self._emit = emit
        self._lock = threading.RLock()
        self._is_busy = False
        self._inbox: deque[Event] = deque()
        self._asking = Asking(self.world)
        self._following = Following(self.world, self._asking)
        self._reporting = Reporting(self.world)
        self.loader = Loader(self.world)
        self._launching = Launching(self.world, self._asking, self.loader)
        self._launches = 0
        self._wants_all = options.first <= 1 and options.last is None
        self._crowded: dict[str, None] = {}  # kernels that ran as they are, see residency.py
        self._refused: dict[str, None] = {}  # kernels whose variants the driver did not launch
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            Allocated: self._following.allocated,
            Freed: self._following.freed,
            Copy: self._following.copied,
            Memset: self._following.filled,
            Exported: self._following.exported,
            Synchronized: self._synchronized,
            StreamCreated: self._stream_created,
            StreamDestroyed: self._stream_destroyed,
            ContextChanged: self._context_changed,
        }
        #: where it has something, :meth:`launched` must be told of a launch that was prepared
        self.prepared: Mapping[int, object] = self._launching.footprints.prepared
        #: the types of events that :meth:`fold` has to be given
        self.interests = frozenset(self._handlers)

    # -- events ---------------------------------------------------------------------------------

    def fold(self, event: Event) -> None:
        """Take notice of an event that has been numbered, before the driver sees the call if it is announced.

        Never raises. Waits for another thread that is inside, but not for ever: a destructor of the program
        may have made the call in the middle of what that thread is waiting for.
        """
        lock = self._lock
        if lock.acquire(blocking=False) or (
            type(event) not in _COLLECTED and lock.acquire(timeout=_PATIENCE)
        ):
            try:
                if self._is_busy:
                    self._inbox.append(event)
                    return  # this thread is inside already, and will see to it
                self._work(event)
            finally:
                lock.release()
        else:
            self._inbox.append(event)
        while self._inbox and lock.acquire(blocking=False):
            try:
                if self._is_busy:
                    return
                self._work()
            finally:
                lock.release()
        if self.world.outbox:
            self.deliver()

    def collect(self, context: ContextId) -> None:
        """Emit what kernels have reported in a context that is current. Waits for nothing."""
        # what a context has in memory is gone with it, so only one that is known to be there is looked at
        state = self.world.states.get(context)
        if state is None or not state.has_reports:
            return
        if self._lock.acquire(blocking=False):
            try:
                if not self._is_busy:
                    self._is_busy = True
                    try:
                        self._reporting.collect(state)
                    except Exception as error:
                        self.world.guard_error("the reports of kernels", error)
                    finally:
                        self._is_busy = False
            finally:
                self._lock.release()
        self.deliver()

    def collect_answers(self, context: ContextId) -> None:
        """Emit who wrote what, as far as that is known, in a context that is current. Waits for nothing."""
        state = self.world.states.get(context)
        if state is None or not self._asking.open:
            return
        with self._lock:
            if self._is_busy:
                return
            self._is_busy = True
            try:
                self._drain()
                self._asking.collect(state)
            except Exception as error:
                self.world.guard_error("the answers of the device", error)
            finally:
                self._is_busy = False
        self.deliver()

    def deliver(self) -> None:
        """Emit what is waiting. Must be called without the lock."""
        if self._is_busy:
            return
        outbox = self.world.outbox
        while outbox:
            try:
                event = outbox.popleft()
            except IndexError:
                return  # another thread took it
            self._emit(event)

    # -- modules and functions ------------------------------------------------------------------

    def load(
        self,
        plain: Callable[[], Any],
        instead: Callable[[bytes, int], Any],
        source: Source,
        context: ContextId,
        *,
        bare_first: bool,
    ) -> tuple[Any, dict[str, str]]:
        """Load a module; see :meth:`Loader.load`. Raises what ``plain`` raises alone."""
        return self.loader.load(plain, instead, source, context, bare_first=bare_first)

    # -- launches -------------------------------------------------------------------------------

    def prepare(
        self, function: Any, packed: bytes, shared: int, event: Launch, pattern: Pattern | None = None
    ) -> tuple[Any, bytes, int]:
        """Return the function to launch, its packed arguments and dynamic shared memory.

        With a ``pattern``, function, arguments and memory are those of all launches with it. Never raises:
        where something fails, the kernel runs unwatched.
        """
        variant = self.loader.variants.get(id(function))
        if pattern is not None and variant is not None and pattern.prepared is not None:
            memo: Memo = pattern.prepared
            longer = self._again(memo, variant, packed, event)
            if longer is not None:
                if self.world.outbox:
                    self.deliver()
                return (variant.proven if memo.is_proven else function), longer, shared
        prepared = self._prepare(function, variant, packed, shared, event, pattern)
        if self.world.outbox:
            self.deliver()
        return prepared

    def _prepare(
        self,
        function: Any,
        variant: Variant | None,
        packed: bytes,
        shared: int,
        event: Launch,
        pattern: Pattern | None,
    ) -> tuple[Any, bytes, int]:
        with self._lock:
            if self._is_busy:  # a launch in a destructor, in the middle of our own work
                return self.unwatched(function, variant, packed, shared)
            self._is_busy = True
            try:
                if self._inbox:
                    self._drain()
                number = self._launches = self._launches + 1
                self._tidy(event.context)
                if variant is None or not variant.is_wanted or not self.world.options.wants_launch(number):
                    self._launching.unwatched(event)
                    return self.unwatched(function, variant, packed, shared)
                if variant.plan.kernel.waits and self._is_crowded(variant, shared, event):
                    self._launching.unwatched(event)
                    self._crowded[event.function] = None
                    return variant.bare, packed, shared
                prepared = self._launching.prepare(variant, packed, shared, event)
                if pattern is not None:
                    pattern.prepared = variant.memos.get(packed, shared)
                name, packed, shared = prepared
                return (getattr(variant, name) if name else function), packed, shared
            except Exception as error:
                self._launching.footprints.forget(event.sequence)
                # in a context that another library has made current, the launch itself is refused, too
                if not (isinstance(error, DriverError) and self.world.is_foreign(event.context)):
                    self.world.guard_error(f"the launch of {event.function}", error)
                return self.unwatched(function, variant, packed, shared)
            finally:
                self._is_busy = False

    def _again(self, memo: Memo, variant: Variant, packed: bytes, event: Launch) -> bytes | None:
        """Return the packed arguments of a launch that is like another; None where there is more to do."""
        loaded, state, world = variant.loaded, memo.state, self.world
        lock = self._lock
        lock.acquire()  # on the way of every launch, where a with statement takes twice as long
        try:
            if (
                memo.owner is not variant.memos
                or self._is_busy
                or not self._wants_all
                or loaded.state is not state
                or event.context != loaded.context
                or variant.plan.kernel.waits
                or (variant.tracing is not None and self._launching.footprints.streams)
            ):
                return None
            self._is_busy = True
            try:
                if self._inbox:
                    self._drain()
                if self._asking.open or state.waiting or world.unloaded:
                    self._tidy(event.context)
                longer = memo.again(world.allocations.version, packed, event)
                if longer is not None:
                    self._launches += 1
                    world.remember(loaded, event, memo.told)
                return longer
            finally:
                self._is_busy = False
        except Exception as error:
            self.world.guard_error(f"the launch of {event.function}", error)
            return None
        finally:
            lock.release()

    def launched(self, event: Launch) -> None:
        """Take in that a launch has been made as it was prepared. Never raises."""
        with self._lock:
            try:
                self._launching.footprints.launched(event)
            except Exception as error:
                self.world.guard_error(f"what the launch of {event.function} touches", error)

    def launched_unwatched(self, event: Launch) -> None:
        """Follow a launch that the driver refused as it was prepared, and that was made again unwatched."""
        with self._lock:
            if self._is_busy:
                return
            self._is_busy = True
            try:
                self._launching.footprints.forget(event.sequence)
                self._launching.unwatched(event)
                self._refused[event.function] = None
            except Exception as error:
                self.world.guard_error(f"the launch of {event.function}", error)
            finally:
                self._is_busy = False

    def _is_crowded(self, variant: Variant, shared: int, event: Launch) -> bool:
        """Tell whether the program's own kernel must run: with checks, its blocks would wait for ever.

        On the CPU device all blocks get on. Another module's function has that module's variables.
        """
        options = self.world.options
        if options.on_cpu or variant.loaded.image.variables:
            return False
        return is_crowded(self.loader, variant, options.races, shared, event)

    @staticmethod
    def unwatched(
        function: Any, variant: Variant | None, packed: bytes, shared: int
    ) -> tuple[Any, bytes, int]:
        """Return what :meth:`prepare` does for a launch that is not looked at."""
        if variant is None:
            return function, packed, shared
        prepared = neutral(variant, packed, shared)
        return function, prepared.packed, prepared.shared

    # -- memory ---------------------------------------------------------------------------------

    def memory_in_use(self, context: ContextId) -> int:
        """Return how many bytes of the device the shadows of a context take."""
        state = self.world.states.get(context)
        return 0 if state is None else state.arena.total

    def release_memory(self, context: ContextId) -> bool:
        """Give up the shadows of the current context, so that the program has room; return whether any were.

        Waits for the kernels that use them; PyCUDA collects garbage at this point, which waits as well.
        """
        with self._lock:
            state = self.world.states.get(context)
            if self._is_busy or state is None or not state.arena.total:
                return False
            self._is_busy = True
            try:
                state.driver.synchronize()
                self._reporting.collect(state)
                self._tidy(context)
                for allocation in self.world.allocations:
                    if allocation.context == context and allocation.shadow:
                        allocation.lose_shadow()
                state.layout += 1
                state.driver.synchronize_stream(state.stream)
                self._asking.collect(state)
                self._launching.footprints.release(state)
                state.arena.release()
            except Exception as error:
                self.world.guard_error("giving memory back", error)
                return False
            finally:
                self._is_busy = False
        self.deliver()
        return True

    # -- the end --------------------------------------------------------------------------------

    def what_is_unwatched(self) -> Unwatched:
        """Return what was not looked at so far."""
        return Unwatched(
            tuple(self._launching.racing.missed),
            tuple(self._crowded),
            tuple(self._refused),
            self.world.other_writer() if self._launches else "",
        )

    def finish(self) -> None:
        """Wait for all kernels, read what they reported, and ask who wrote what is still there."""
        with self._lock:
            if self._is_busy:
                return
            self._is_busy = True
            try:
                self._drain()
                for state in list(self.world.states.values()):
                    self._finish_context(state)
            finally:
                self._is_busy = False
        self.deliver()

    def leave_child(self) -> None:
        """Forget everything, in a forked child: the device's side is the parent's."""
        self._lock = threading.RLock()
        self._is_busy = False
        self._inbox.clear()
        self.world.outbox.clear()
        self.world.states.clear()
        self.world.allocations.clear()

    # -- inside ---------------------------------------------------------------------------------

    def _work(self, event: Event | None = None) -> None:
        """Work through the events that wait, and then an event of this thread."""
        self._is_busy = True
        try:
            if self._inbox:
                self._drain()
            if event is not None:
                self._handle(event)
        finally:
            self._is_busy = False

    def _drain(self) -> None:
        """Work through the events that wait."""
        inbox, here = self._inbox, threading.get_ident()
        while inbox:
            event = inbox.popleft()
            if event.thread == here or type(event) in _COLLECTED:
                self._handle(event)
            else:
                self.world.inside(event.context, functools.partial(self._handle, event))

    def _handle(self, event: Event) -> None:
        try:
            self._handlers[type(event)](event)
            if type(event) in _COLLECTED:
                return  # perhaps of another thread, and its context gone by now
            state = self.world.states.get(event.context)
            if state is not None and state.has_reports:
                self._reporting.collect(state)  # of kernels before a copy that waited, say
        except Exception as error:
            self.world.guard_error(f"the shadow's view of {type(event).__name__}", error)

    def _tidy(self, context: ContextId) -> None:
        """Take answers that have come in the current context, and memory that nobody uses any more."""
        world = self.world
        state = world.states.get(context)
        if state is not None:
            if state.waiting:
                state.look_after()
            if self._asking.open:
                self._asking.collect(state)
        while world.unloaded:
            address = world.unloaded.popleft()
            known = world.allocations.at(address)
            if known is not None and known.address == address and not known.is_tracked:
                world.allocations.remove(address)

    def _synchronized(self, event: Synchronized) -> None:
        state = self.world.states.get(event.context)
        if state is None:
            return
        self._reporting.collect(state)
        self._tidy(event.context)

    def _stream_created(self, event: StreamCreated) -> None:
        self._launching.footprints.streams.add(event.stream)

    def _stream_destroyed(self, event: StreamDestroyed) -> None:
        self._launching.footprints.streams.discard(event.stream)
        for state in self.world.states.values():
            if event.stream in state.streams:
                end = functools.partial(state.end_stream, event.stream)
                self.world.inside(state.handle, end)

    def _context_changed(self, event: ContextChanged) -> None:
        """Forget a context that is gone; read what there is of one that may go before the next call."""
        state = self.world.states.get(event.subject)
        if state is None:
            return
        if not state.is_alive:
            self._forget(state)
        elif event.change == "popped":
            with contextlib.suppress(DriverError), self.world.driver.current(state.handle):
                self._reporting.collect(state)
                self._tidy(state.handle)

    def _forget(self, state: ContextState) -> None:
        self._asking.forget(state)
        self.world.forget_context(state.handle)

    def _finish_context(self, state: ContextState) -> None:
        try:
            if not state.is_alive:
                self._forget(state)
                return
            with self.world.driver.current(state.handle):
                self._finish_current(state)
        except DriverError:
            self._reporting.collect(state)  # something is broken: what was written before can be read
        except Exception as error:
            self.world.guard_error("the end of the run", error)

    def _finish_current(self, state: ContextState) -> None:
        if state.launched:
            state.driver.synchronize()
        self._reporting.collect(state)
        state.look_after()
        if not self.world.is_shared():
            cause = Cause(None, threading.get_ident(), state.handle, 0)
            for allocation in self.world.allocations:
                if allocation.run_at_end and allocation.context == state.handle and allocation.shadow:
                    self._asking.ask_last(cause, state, allocation)
        state.driver.synchronize_stream(state.stream)
        self._asking.collect(state)
