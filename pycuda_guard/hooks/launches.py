"""Kernel launches.

All of PyCUDA's ways to launch end in ``Function._launch_kernel``, which sees packed bytes only; the
callers above it see the arguments. So each caller leaves them with the thread, and the hook of
``_launch_kernel`` announces the launch: once, after the copies that ``In`` makes and before the
driver is called.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pycuda_guard.callsite import here
from pycuda_guard.events import failures
from pycuda_guard.events.model import Argument, FunctionLimits, Launch, ModuleId
from pycuda_guard.hooks.modules import is_library
from pycuda_guard.hooks.streams import stream_id
from pycuda_guard.hooks.tap import (
    WRONG_ARGUMENTS,
    Connect,
    PendingLaunch,
    Tap,
    ThreadState,
    Wrapped,
    announced,
    like,
    reported,
)

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import Event

#: Attributes of a function, in the order of FunctionLimits' fields.
_LIMITS = ("MAX_THREADS_PER_BLOCK", "SHARED_SIZE_BYTES", "MAX_DYNAMIC_SHARED_SIZE_BYTES", "NUM_REGS")

#: Grids and blocks seen before, so that a launch in a loop does not convert them again.
MAX_SHAPES = 1024
_shapes: dict[tuple[int, ...], tuple[int, ...]] = {}


def launcher(call: str) -> Connect:
    """Hook one of the methods of Function that take arguments and end in ``_launch_kernel``."""

    def connect(tap: Tap, wrapped: Wrapped) -> Wrapped:
        threads = tap.threads

        def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not tap.active:
                return wrapped(self, *args, **kwargs)
            state = threads.state
            before = state.launch
            state.launch = pending = (call, self, args, kwargs)
            try:
                return wrapped(self, *args, **kwargs)
            except BaseException as error:
                # If it is still pending, PyCUDA refused it (an argument, the block's shape), unless
                # a call that is hooked on its own account failed on the way.
                if state.launch is pending and not failures.marks(error):
                    _refused(tap, pending, error)
                raise
            finally:
                state.launch = before

        return like(wrapped, hook)

    return connect


def launch_kernel(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``Function._launch_kernel``, through which every launch goes."""
    emit = tap.sink.emit  # kernels see the event when they prepare the launch, and need not be asked before
    threads = tap.threads
    functions = tap.functions
    kernels = tap.kernels
    unwatched = wrapped if kernels is None else partial(kernels.launch_unwatched, wrapped)

    def hook(*args: Any, **kwargs: Any) -> Any:
        if not tap.active:
            return unwatched(*args, **kwargs)
        event = pattern = None
        try:
            self, grid, block, packed, shared, stream = args
            state = threads.state
            pending = state.launch
            if pending is not None and pending[1] is self:
                state.launch = None
                site = here(4)  # PyCUDA's own method is in between, and the hook of that
                call = pending[0]
                arguments = _describe(tap, pending, packed)
            else:
                site = here(2)
                call = "_launch_kernel"
                arguments = None
            known = functions.get(id(self)) or _unknown(tap, self)
            handle = 0 if stream is None else stream.handle
            key = (site, id(arguments), id(known))
            pattern = state.launches.get(key)
            if pattern is None or not (
                pattern.packed == packed
                and pattern.grid == grid
                and pattern.block == block
                and pattern.stream == handle
                and pattern.shared == shared
                and pattern.context == state.context
                and pattern.call is call
            ):
                pattern = None
                event = _launch(site, state, call, known, grid, block, shared, handle, arguments, len(packed))
                state.remember(key, event, packed, known)
            else:
                event = pattern.copy()
            event.sequence = emit(event, pattern)
        except Exception as error:
            tap.guard_error("Function._launch_kernel", error)
        try:
            if kernels is None or event is None or not event.sequence:
                return unwatched(*args, **kwargs)
            return kernels.launch(wrapped, args, event, pattern)
        except BaseException as error:
            _tell_limits(tap, args[0], error)
            tap.failed("Function._launch_kernel", 0 if event is None else event.sequence, error)
            raise

    return like(wrapped, hook)


def _launch(
    site: Site | None,
    state: ThreadState,
    call: str,
    known: tuple[ModuleId, str, bool],
    grid: Any,
    block: Any,
    shared: int,
    stream: int,
    arguments: tuple[Argument, ...] | None,
    nbytes: int,
) -> Launch:
    """Return a launch by the calling thread."""
    module, name, library = known
    return Launch(
        site,
        state.thread,
        state.context,
        call,
        module,
        name,
        _shapes.get(grid) or shape(grid),
        _shapes.get(block) or shape(block),
        shared,
        stream,
        arguments,
        nbytes,
        library,
    )


def launch_legacy(call: str) -> Connect:
    """Hook a launch of the form before CUDA 4: block and parameters were set on the function before."""

    def describe(
        tap: Tap,
        site: Site | None,
        state: ThreadState,
        /,
        function: Any,
        width: int = 1,
        height: int = 1,
        stream: Any = None,
    ) -> Event:
        module, name, library = tap.functions.get(id(function)) or _unknown(tap, function)
        event = Launch(
            site,
            state.thread,
            state.context,
            call,
            module,
            name,
            (int(width), int(height)),
            (),
            tap.shared_sizes.get(id(function), 0),
            stream_id(stream),
            None,
            tap.parameter_sizes.get(id(function), 0),
            library,
        )
        state.legacy = event
        return event

    announce = announced(f"Function.{call}", describe)

    def connect(tap: Tap, wrapped: Wrapped) -> Wrapped:
        kernels = tap.kernels
        if kernels is None:
            return announce(tap, wrapped)

        def launch(function: Any, *args: Any, **kwargs: Any) -> Any:
            state = tap.threads.state
            event, state.legacy = state.legacy, None
            shared = tap.shared_sizes.get(id(function), 0)
            kernels.complete_legacy(function, event if tap.active else None, shared)
            return wrapped(function, *args, **kwargs)

        return announce(tap, like(wrapped, launch))

    return connect


def _sized(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, function: Any, size: int
) -> None:
    tap.parameter_sizes[id(function)] = int(size)


def _shared(
    tap: Tap, site: Site | None, state: ThreadState, result: None, /, function: Any, size: int
) -> None:
    tap.shared_sizes[id(function)] = int(size)


set_parameter_size = reported("Function._param_set_size", _sized)
set_shared_size = reported("Function._set_shared_size", _shared)


def shape(extents: Any) -> tuple[int, ...]:
    """Return a grid or block as a tuple of ints; empty if it is none."""
    try:
        result = tuple(int(extent) for extent in extents)
    except (TypeError, ValueError):
        return ()
    if len(_shapes) >= MAX_SHAPES:
        _shapes.clear()
    _shapes[result] = result
    return result


def _refused(tap: Tap, pending: PendingLaunch, error: BaseException) -> None:
    """Report a launch that PyCUDA refused before it got to the driver."""
    call, function, _, _ = pending
    try:
        _, grid, block, shared, stream = _as_called(pending)
        state = tap.threads.state
        module, name, library = tap.functions.get(id(function)) or _unknown(tap, function)
        launch = Launch(
            here(3),
            state.thread,
            state.context,
            call,
            module,
            name,
            shape(grid),
            shape(block),
            shared if isinstance(shared, int) else 0,
            stream_id(stream),
            _describe(tap, pending, None),
            0,
            library,
        )
        sequence = tap.emit(launch)
    except Exception as own:
        sequence = 0
        if not isinstance(own, WRONG_ARGUMENTS):
            tap.guard_error(call, own)
    _tell_limits(tap, function, error)
    tap.failed(f"Function.{call}", sequence, error)


def _unknown(tap: Tap, function: Any) -> tuple[ModuleId, str, bool]:
    """Note what can be known of a function that was got before the guard was there."""
    known = tap.functions[id(function)] = (0, "", is_library())
    return known


def _describe(tap: Tap, pending: PendingLaunch, packed: bytes | None) -> tuple[Argument, ...]:
    call, function, given, _ = pending
    if call == "__call__":
        return tap.arranger.called(given, packed)
    form = function.arg_format
    known = tap.arranger.recall(call, form, given, packed)
    if known is None:
        known = tap.arranger.prepared(call, form, given, _as_called(pending)[0], packed)
    return known


def _as_called(pending: PendingLaunch) -> tuple[tuple[Any, ...], Any, Any, Any, Any]:
    """Return the kernel's arguments, grid, block, shared bytes and stream of a call."""
    call, _, arguments, keywords = pending
    if call == "__call__":
        grid, block = keywords.get("grid", (1, 1)), keywords.get("block", ())
        return arguments, grid, block, keywords.get("shared", 0), keywords.get("stream")
    grid, block = arguments[:2]
    first = 2
    stream = None
    if call != "prepared_timed_call" and not isinstance(block, tuple):
        first, block = 1, ()  # the old form, whose block was given before
    if call == "prepared_async_call":
        stream = arguments[first]
        first += 1
    return arguments[first:], grid, block, keywords.get("shared_size", 0), stream


def _tell_limits(tap: Tap, function: Any, error: BaseException) -> None:
    """Report the function's limits, so that a launch that the driver refused can be explained."""
    if tap.driver is None or not isinstance(error, tap.driver.Error):
        return
    attributes = tap.driver.function_attribute
    try:
        read = [
            int(function.get_attribute(getattr(attributes, name))) if hasattr(attributes, name) else 0
            for name in _LIMITS
        ]
    except tap.driver.Error:
        return  # after an asynchronous failure the context answers nothing any more
    state = tap.threads.state
    module, name, _ = tap.functions.get(id(function)) or _unknown(tap, function)
    try:
        tap.emit(FunctionLimits(None, state.thread, state.context, module, name, *read))
    except Exception as own:
        tap.guard_error("FunctionLimits", own)
