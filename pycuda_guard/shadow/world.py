"""What the parts of the runtime share."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.shadow import foreign
from pycuda_guard.shadow.allocations import AllocationMap
from pycuda_guard.shadow.driver import Driver, DriverError
from pycuda_guard.shadow.state import ContextState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.events.model import ContextId, Event, Launch
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.loading import Loaded

#: launches that are remembered for reports that come late
_REMEMBERED = 16_384


@dataclass(frozen=True, slots=True)
class Options:
    """Which launches are watched: kernels by name (patterns), launches by number from 1 on.

    ``on_cpu``: the CPU device runs the kernels, so no other library can use the device. ``races``: races
    are looked for, too.
    """

    include: str = "*"
    exclude: str = ""
    first: int = 1
    last: int | None = None
    on_cpu: bool = False
    races: bool = False

    def wants(self, kernel: str) -> bool:
        """Tell whether kernels of this name are watched."""
        return fnmatchcase(kernel, self.include) and not (self.exclude and fnmatchcase(kernel, self.exclude))

    def wants_launch(self, number: int) -> bool:
        """Tell whether the launch of this number is watched."""
        return self.first <= number and (self.last is None or number <= self.last)


#: makes a named tuple of a tuple; calling the class takes three times as long, on the way of every launch
_new = tuple.__new__


class LaunchInfo(NamedTuple):
    """A launch of an instrumented kernel: base and size of the allocation of each root."""

    loaded: Loaded
    event: Launch
    ranges: tuple[tuple[int, int], ...]


class World:
    """The state of the runtime: contexts, allocations, launches, and events that wait to be emitted."""

    def __init__(self, options: Options, guard_error: Callable[[str, BaseException], None]) -> None:
        self.options = options
        self.guard_error = guard_error
        self.allocations = AllocationMap()
        self.states: dict[ContextId, ContextState] = {}
        self.launches: dict[int, LaunchInfo] = {}  # by the number that comes back in reports
        self.outbox: deque[Event] = deque()
        self.uses_heap = False  # a loaded module has memory whose addresses are not known
        self.unloaded: deque[int] = deque()  # addresses of variables of modules that are gone
        self._driver: Driver | None = None

    @property
    def driver(self) -> Driver:
        """The driver; PyCUDA has loaded it."""
        if self._driver is None:
            self._driver = Driver()
        return self._driver

    def open_state(self, context: ContextId) -> ContextState:
        """Return the state of the current context, made if need be. Raises DriverError."""
        state = self.states.get(context)
        if state is None:
            state = self.states[context] = ContextState(self.driver, context)
        return state

    def state_of(self, allocation: Allocation, context: ContextId) -> ContextState | None:
        """Return the state in which an allocation's shadow can be used by work in ``context``.

        Memory used from another context than its own is not watched any more.
        """
        if allocation.context != context:
            allocation.lose_shadow()
            return None
        return self.states.get(context)

    def forget_context(self, context: ContextId) -> None:
        """Drop what was in a context that is gone: the driver has freed it."""
        self.states.pop(context, None)
        for allocation in self.allocations:
            if allocation.context == context:
                self.allocations.remove(allocation.address)

    def inside(self, context: ContextId, work: Callable[[], None]) -> None:
        """Do ``work`` that needs ``context`` to be current if it has to do with what is on the device.

        The work is left if that context is gone.
        """
        state = self.states.get(context)
        if state is None or context == self.driver.current_context():
            work()
        elif state.is_alive:
            with self.driver.current(context):
                work()

    def is_foreign(self, context: ContextId) -> bool:
        """Tell whether another context than ``context``, which PyCUDA made current, is current."""
        try:
            return self.driver.current_context() != context
        except DriverError:
            return False

    def remember(self, loaded: Loaded, event: Launch, ranges: tuple[tuple[int, int], ...]) -> None:
        """Keep what is needed to understand a report of this launch."""
        launches = self.launches
        if len(launches) >= _REMEMBERED:
            for number in list(launches)[: _REMEMBERED // 2]:
                del launches[number]
        launches[event.sequence & 0xFFFFFFFF] = _new(LaunchInfo, (loaded, event, ranges))

    def is_shared(self) -> bool:
        """Tell whether other users of the device are known of: then nothing counts as never written."""
        return not self.options.on_cpu and foreign.is_shared()

    def other_writer(self) -> str:
        """Return the library because of which :meth:`is_shared`, or empty."""
        return "" if self.options.on_cpu else foreign.writer()

    def is_certainly_ours(self) -> bool:
        """Tell whether memory that seems never written was never written. Slow at first."""
        return self.options.on_cpu or foreign.is_certainly_ours()
