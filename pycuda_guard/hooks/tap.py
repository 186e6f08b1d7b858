"""What all hooks share: the way to the sink, the calling thread's state, and tables of identities.

A hook is a plain function that stands in place of PyCUDA's. wrapt finds the places and defers to
imports, but its FunctionWrapper would cost more than the rest of a hook (measured: 0.85 µs a
function call, 1.5 µs a method call), so the replacement is a closure made by one of
:func:`announced`, :func:`reported` and :func:`finalizing`.

What a hook must do, whatever happens in it: call the wrapped function exactly once, with the
arguments as they came, and let its result or exception through. The guard's own errors go to
:meth:`Tap.guard_error`.
"""

from __future__ import annotations

import functools
import itertools
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

from pycuda_guard.callsite import here
from pycuda_guard.events import failures
from pycuda_guard.events.model import CallFailed
from pycuda_guard.events.patterns import Pattern
from pycuda_guard.hooks.arguments import Arranger
from pycuda_guard.hooks.patterns import MOST, Launched

if TYPE_CHECKING:
    from types import ModuleType

    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import (
        Address,
        ArrayOperand,
        ContextId,
        DeviceLimits,
        DeviceOperand,
        Event,
        EventId,
        HostKind,
        Launch,
        MemoryKind,
        ModuleId,
        Operand,
    )
    from pycuda_guard.hooks.kernels import Kernels
    from pycuda_guard.hooks.modules import Link
    from pycuda_guard.hooks.sink import Sink
    from pycuda_guard.hooks.sources import Compiled

Wrapped = Callable[..., Any]

#: Builds the hook that replaces a call: ``connect(tap, wrapped) -> hook``.
Connect = Callable[["Tap", Any], Wrapped]

#: A launch that has not reached the driver yet: how it was called, the Function, arguments, keywords.
PendingLaunch = tuple[str, Any, tuple[Any, ...], dict[str, Any]]

#: What a description raises when the user's arguments are wrong; the call itself then says so.
WRONG_ARGUMENTS = (TypeError, AttributeError, ValueError, OverflowError, LookupError)


class ThreadState:
    """What the hooks know about one host thread."""

    __slots__ = ("context", "copies", "launch", "launches", "legacy", "thread", "transposing", "uploading")

    def __init__(self, context: ContextId) -> None:
        self.thread = threading.get_ident()
        self.context = context  # the current one, kept up to date by hooks/contexts.py
        self.launch: PendingLaunch | None = None  # see hooks/launches.py
        self.legacy: Launch | None = None  # likewise
        self.transposing: DeviceOperand | None = None  # an array in another order, see hooks/copies.py
        self.uploading: Any = None  # what to_device was given, see hooks/copies.py
        # by line, and by the identities of the arguments and of what is known of the function, which they
        # keep; None for what came once
        self.launches: dict[tuple[Site | None, int, int], Launched | None] = {}
        # by line and addresses; None likewise
        self.copies: dict[tuple[Site | None, int, int], Pattern | None] = {}

    def remember(
        self,
        key: tuple[Site | None, int, int],
        launch: Launch,
        packed: bytes,
        known: tuple[ModuleId, str, bool],
    ) -> None:
        """Keep what a launch that comes for the second time has in common with those that may follow."""
        launches = self.launches
        if len(launches) >= MOST:
            launches.clear()
        is_again = key in launches and launch.arguments is not None
        launches[key] = Launched(copy(launch), packed, known) if is_again else None


class _Threads(threading.local):
    """The calling thread's :class:`ThreadState`, made at its first intercepted call."""

    def __init__(self, tap: Tap) -> None:
        self.state = ThreadState(tap.current_context())


class Tap:
    """The connection of one installation to its sink.

    The tables are keyed by ``id()`` of PyCUDA objects and hold plain data, so that nothing is kept
    alive. Every way to make such an object is hooked and overwrites its entry, hence an entry of a
    dead object is never mistaken for that of a living one. One that ``is_blocking`` has the host wait for
    every launch. ``kernels`` is the runtime for instrumented kernels, if they are wanted.
    """

    def __init__(self, sink: Sink, *, is_blocking: bool = False, kernels: Kernels | None = None) -> None:
        self.active = True
        self.is_blocking = is_blocking
        self.sink = sink
        self.kernels = kernels
        self.emit = sink.emit if kernels is None else kernels.emitting(sink.emit)
        self.driver: ModuleType | None = None
        self.threads = _Threads(self)
        self.numbers = itertools.count(1)  # of events, modules and pools
        self.events: dict[int, EventId] = {}
        self.pools: dict[int, int] = {}  # their numbers
        self.modules: dict[int, tuple[ModuleId, bool]] = {}  # number, library
        self.functions: dict[int, tuple[ModuleId, str, bool]] = {}  # module, name, library
        self.parameter_sizes: dict[int, int] = {}  # by Function: bytes, for launches of the old form
        self.shared_sizes: dict[int, int] = {}  # likewise, of dynamic shared memory
        self.linked: dict[int, Link] = {}  # by Linker: what was added
        self.sources: OrderedDict[bytes, Compiled] = OrderedDict()  # by digest of the image
        self.globals: dict[ModuleId, dict[str, Address]] = {}  # reported by get_global
        self.limits: dict[int, DeviceLimits] = {}  # by hash(Device), its ordinal
        self.live: dict[Address, int] = {}  # reported allocations: bytes
        self.freed: set[int] = set()  # objects that free() was called on, until they die
        self.host_blocks: dict[int, tuple[Address, MemoryKind]] = {}  # pinned memory by its owner
        self.registered: dict[int, tuple[Address, Address]] = {}  # start and end, by the owner
        self.arrays: dict[int, ArrayOperand] = {}  # by handle
        self.array_rows: dict[int, tuple[int, int]] = {}  # by handle: bytes a row, rows a slice
        self.ends: dict[int, dict[str, Operand]] = {}  # what Memcpy2D and 3D were given
        self.pointer_types: dict[type, str] = {}  # PyCUDA's owners of device memory: their names
        self.arranger = Arranger(self)
        self.host_types: dict[type, HostKind] = {}
        self.memory_types: dict[type, MemoryKind] = {}

    def connect(self, driver: ModuleType) -> None:
        """Take notice of ``pycuda.driver``, which is imported now or was long ago."""
        self.driver = driver
        if self.kernels is not None:
            self.kernels.connect(driver)
        self.threads.state.context = self.current_context()

    def current_context(self) -> ContextId:
        """Return the handle of the calling thread's current context, 0 where there is none."""
        if self.driver is None:
            return 0
        context = self.driver.Context.get_current()
        return 0 if context is None else int(context.handle)

    def failed(self, call: str, announced: int, error: BaseException, fault: Exception | None = None) -> None:
        """Report that ``call`` raised ``error``; ``fault`` is what its description raised before.

        Silent if an inner call has reported the same exception already.
        """
        if fault is not None and not isinstance(fault, WRONG_ARGUMENTS):
            self.guard_error(call, fault)
        if announced == 0 and failures.marks(error):
            return
        try:
            state = self.threads.state
            event = CallFailed(
                here(3),
                state.thread,
                state.context,
                call,
                announced,
                type(error).__name__,
                str(error),
                self.status_of(error),
            )
            failures.mark(error, self.emit(event))
        except Exception as own:
            self.guard_error(call, own)

    def status_of(self, error: BaseException) -> str:
        """Return the driver's words for its error code; empty where it is not the driver's error."""
        if self.driver is None or not isinstance(error, self.driver.Error):
            return ""
        _, _, status = str(error).partition(" failed: ")
        return status.partition(" - ")[0]

    def guard_error(self, where: str, error: BaseException) -> None:
        """Pass a failure of the guard on; the program must never see it."""
        try:
            self.sink.guard_error(where, error)
        except Exception:
            traceback.print_exc()


def announced(call: str, describe: Callable[..., Event | Pattern | None]) -> Connect:
    """Make a hook that emits an event before the call.

    ``describe(tap, site, state, /, *args, **kwargs)`` gets the call's own arguments. Where it returns a
    pattern, the event is one more of that.
    """

    def connect(tap: Tap, wrapped: Wrapped) -> Wrapped:
        emit = tap.emit
        threads = tap.threads

        def hook(*args: Any, **kwargs: Any) -> Any:
            if not tap.active:
                return wrapped(*args, **kwargs)
            sequence = 0
            fault = None
            try:
                # Merging no keywords into the call would cost a tenth of a microsecond.
                if kwargs:
                    event = describe(tap, here(2), threads.state, *args, **kwargs)
                else:
                    event = describe(tap, here(2), threads.state, *args)
                if isinstance(event, Pattern):
                    sequence = emit(event.copy(), event)
                elif event is not None:
                    sequence = emit(event)
            except Exception as error:
                fault = error
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                tap.failed(call, sequence, error, fault)
                raise
            if fault is not None:
                tap.guard_error(call, fault)
            return result

        return like(wrapped, hook)

    return connect


def reported(call: str, describe: Callable[..., Event | None]) -> Connect:
    """Make a hook that emits an event after the call returned.

    ``describe(tap, site, state, result, /, *args, **kwargs)`` gets the result and the arguments.
    """

    def connect(tap: Tap, wrapped: Wrapped) -> Wrapped:
        emit = tap.emit
        threads = tap.threads

        def hook(*args: Any, **kwargs: Any) -> Any:
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                if tap.active:
                    tap.failed(call, 0, error)
                raise
            if tap.active:
                try:
                    if kwargs:
                        event = describe(tap, here(2), threads.state, result, *args, **kwargs)
                    else:
                        event = describe(tap, here(2), threads.state, result, *args)
                    if event is not None:
                        emit(event)
                except Exception as error:
                    tap.guard_error(call, error)
            return result

        return like(wrapped, hook)

    return connect


def finalizing(call: str, describe: Callable[..., Event | None], *, is_freeable: bool = False) -> Connect:
    """Make a ``__del__`` for a Boost class: it runs before the destructor gives the memory back.

    ``describe(tap, site, state, instance)`` is called in whatever thread drops the last reference,
    possibly from a garbage collection in the middle of another hook. It is not called for an instance that
    ``is_freeable`` and was freed: that was told.
    """

    def connect(tap: Tap, wrapped: Wrapped | None) -> Wrapped:
        emit = tap.emit
        threads = tap.threads
        freed = tap.freed

        def hook(self: Any) -> None:
            if is_freeable and id(self) in freed:
                freed.discard(id(self))
            elif tap.active:
                try:
                    event = describe(tap, here(2), threads.state, self)
                    if event is not None:
                        emit(event)
                except TypeError:
                    pass  # Boost's ArgumentError: the constructor failed, there is nothing to destroy
                except Exception as error:
                    tap.guard_error(call, error)
            if wrapped is not None:
                wrapped(self)

        return hook

    return connect


def like(wrapped: Wrapped, hook: Wrapped) -> Wrapped:
    """Give ``hook`` the name, module, documentation and signature of ``wrapped``."""
    return functools.update_wrapper(hook, wrapped)
