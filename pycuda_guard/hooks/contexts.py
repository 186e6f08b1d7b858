"""The context stack of each thread, and waiting for a whole context."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import ContextChanged, DeviceLimits, Event, Synchronized
from pycuda_guard.hooks.tap import Tap, ThreadState, like, reported

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.callsite import Site
    from pycuda_guard.hooks.tap import Wrapped

#: Modules that make a context when they are imported, and pop it at exit.
_AUTOMATIC = frozenset({"pycuda.autoinit", "pycuda.autoprimaryctx"})

#: PyCUDA's functions that ask for the current device, and do without one.
_UNDEMANDING = frozenset({("pycuda.compiler", "compile"), ("pycuda.compiler", "_check_arch")})


def is_initialized() -> bool:
    """Tell whether ``cuInit`` was called in this process, as far as PyCUDA is imported."""
    driver = sys.modules.get("pycuda.driver")
    if driver is None:
        return False
    try:
        driver.Device.count()
    except driver.Error:
        return False
    return True


def limits_of(tap: Tap, device: Any) -> DeviceLimits:
    """Return the launch limits of a ``pycuda.driver.Device``, read once."""
    limits = tap.limits.get(hash(device))
    if limits is None:
        limits = tap.limits[hash(device)] = _read_limits(tap, device)
    return limits


def _read_limits(tap: Tap, device: Any) -> DeviceLimits:
    assert tap.driver is not None
    names = tap.driver.device_attribute

    def read(name: str) -> int:
        return int(device.get_attribute(getattr(names, name)))

    per_block = read("MAX_SHARED_MEMORY_PER_BLOCK")
    major, minor = read("COMPUTE_CAPABILITY_MAJOR"), read("COMPUTE_CAPABILITY_MINOR")
    opt_in = "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"
    return DeviceLimits(
        name=device.name(),
        compute_capability=(major, minor),
        max_threads_per_block=read("MAX_THREADS_PER_BLOCK"),
        max_block=(read("MAX_BLOCK_DIM_X"), read("MAX_BLOCK_DIM_Y"), read("MAX_BLOCK_DIM_Z")),
        max_grid=(read("MAX_GRID_DIM_X"), read("MAX_GRID_DIM_Y"), read("MAX_GRID_DIM_Z")),
        max_shared_per_block=per_block,
        max_shared_per_block_optin=read(opt_in) if hasattr(names, opt_in) else per_block,
        max_registers_per_block=read("MAX_REGISTERS_PER_BLOCK"),
        total_memory=int(device.total_memory()),
    )


def announce_current(tap: Tap) -> Event | None:
    """Describe the context that the calling thread has when the guard starts, if any."""
    state = tap.threads.state
    if not state.context or tap.driver is None:
        return None
    limits = limits_of(tap, tap.driver.Context.get_device())
    automatic = not _AUTOMATIC.isdisjoint(sys.modules)
    return ContextChanged(None, state.thread, state.context, "pushed", state.context, limits, automatic)


def _is_automatic() -> bool:
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") in _AUTOMATIC:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _nothing(
    tap: Tap, site: Site | None, state: ThreadState, result: Any, /, *args: Any, **kwargs: Any
) -> None:
    """Say nothing of a call that went well: its failure is what matters."""


def _made(
    tap: Tap, site: Site | None, state: ThreadState, context: Any, /, device: Any, *args: Any, **kwargs: Any
) -> Event:
    state.context = tap.current_context()
    return ContextChanged(
        site,
        state.thread,
        state.context,
        "created",
        int(context.handle),
        limits_of(tap, device),
        _is_automatic(),
    )


def _retained(tap: Tap, site: Site | None, state: ThreadState, context: Any, /, device: Any) -> Event:
    return ContextChanged(
        site,
        state.thread,
        state.context,
        "retained",
        int(context.handle),
        limits_of(tap, device),
        _is_automatic(),
    )


def _pushed(tap: Tap, site: Site | None, state: ThreadState, result: None, /, context: Any) -> Event:
    assert tap.driver is not None
    state.context = tap.current_context()
    limits = limits_of(tap, tap.driver.Context.get_device())
    return ContextChanged(
        site, state.thread, state.context, "pushed", int(context.handle), limits, _is_automatic()
    )


def _popped(tap: Tap, site: Site | None, state: ThreadState, result: None, /, *instance: Any) -> Event:
    subject = state.context
    state.context = tap.current_context()
    return ContextChanged(site, state.thread, state.context, "popped", subject)


def _detached(tap: Tap, site: Site | None, state: ThreadState, result: None, /, context: Any) -> Event:
    state.context = tap.current_context()
    return ContextChanged(site, state.thread, state.context, "detached", int(context.handle))


def _attached(
    tap: Tap, site: Site | None, state: ThreadState, context: Any, /, *args: Any, **kwargs: Any
) -> Event:
    state.context = tap.current_context()
    return ContextChanged(site, state.thread, state.context, "attached", int(context.handle))


def _peer(change: str) -> Callable[..., Event]:
    def describe(
        tap: Tap, site: Site | None, state: ThreadState, result: None, /, peer: Any, *args: Any
    ) -> Event:
        return ContextChanged(site, state.thread, state.context, change, int(peer.handle))

    return describe


def _synchronized(tap: Tap, site: Site | None, state: ThreadState, result: None, /, *instance: Any) -> Event:
    return Synchronized(site, state.thread, state.context, "context", state.context)


def get_device(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Make the hook that tells where the current device is asked for in vain."""
    hooked = reported("Context.get_device", _nothing)(tap, wrapped)

    def hook() -> Any:
        caller = sys._getframe(1)
        if (caller.f_globals.get("__name__"), caller.f_code.co_name) in _UNDEMANDING:
            return wrapped()
        return hooked()

    return like(wrapped, hook)


init = reported("init", _nothing)
device = reported("Device", _nothing)
make_context = reported("Device.make_context", _made)
retain_primary_context = reported("Device.retain_primary_context", _retained)
push = reported("Context.push", _pushed)
pop = reported("Context.pop", _popped)
detach = reported("Context.detach", _detached)
attach = reported("Context.attach", _attached)
enable_peer_access = reported("Context.enable_peer_access", _peer("peer enabled"))
disable_peer_access = reported("Context.disable_peer_access", _peer("peer disabled"))
synchronize = reported("Context.synchronize", _synchronized)
