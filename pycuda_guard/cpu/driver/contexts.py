"""Contexts: a stack of them for each host thread, the primary context, limits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import queues, state
from pycuda_guard.cpu.driver.cells import put_i32, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result

if TYPE_CHECKING:
    from pycuda_guard.cpu.driver.modules import Module

#: what cuCtxGetApiVersion says for a context made by any version since CUDA 3.2
API_VERSION = 3020
_FLAGS_MASK = 0xFF
_SYNC_MEMOPS = 0x80
_CACHE_PREFERENCES = range(4)
_SHARED_CONFIGS = range(3)

_STACK_SIZE, _PRINTF_FIFO, _HEAP, _SYNC_DEPTH, _PENDING_LAUNCHES, _L2_FETCH, _L2_PERSISTING = range(7)
#: limits that can only be asked for: shared memory of CIG contexts, and whether this is one
_READ_ONLY_LIMITS = {7: 232448, 8: 0}
#: defaults as on a GPU of compute capability 9.0
_LIMITS = {
    _STACK_SIZE: 1024,
    _PRINTF_FIFO: 8650752,
    _HEAP: 8 << 20,
    _PENDING_LAUNCHES: 2048,
    _L2_FETCH: 64,
    _L2_PERSISTING: 0,
}
#: local memory of a thread, and what is fetched at once, cannot be larger
_MOST = {_STACK_SIZE: 512 << 10, _L2_FETCH: 128}
#: sizes are rounded up to a multiple of this
_LIMIT_GRANULARITY = {_PRINTF_FIFO: 512 << 10, _HEAP: 4 << 20}


class Context:
    """A context of a device; ``handle`` is its number in ``handles``. It owns allocations and modules.

    ``peers`` are the contexts whose memory it may access.
    """

    def __init__(self, device: int, flags: int, primary: bool = False) -> None:
        self.device = device
        self.peers: set[Context] = set()
        self.flags = flags
        self.primary = primary
        self.references = 1
        self.alive = True
        self.limits = dict(_LIMITS)
        self.cache_preference = 0
        self.shared_config = 1
        self.modules: set[Module] = set()
        self.queues = queues.QueueGroup(always_waits=bool(flags & _SYNC_MEMOPS))
        self.handle = handles.add(self)

    @property
    def stack_bytes(self) -> int:
        """Local memory of a thread for the calls of kernels that recurse."""
        return self.limits[_STACK_SIZE]

    @property
    def most_pending(self) -> int:
        """Launches by kernels that may wait for their end."""
        return self.limits[_PENDING_LAUNCHES]

    def destroy(self) -> None:
        """End the context when its work is done. Its handle stays known, as that of a destroyed context."""
        self.alive = False
        queues.at_end(self.queues.goals(), self._release)

    def _release(self) -> None:
        self.queues.close()
        for module in list(self.modules):
            module.unload()
        state.memory.free_owned(self)


class _Stack(threading.local):
    def __init__(self) -> None:
        self.contexts: list[Context] = []


handles = state.Handles(0x1000_0000)
_stack = _Stack()
_primaries: dict[int, Context] = {}  # by device
_lock = threading.Lock()


def current() -> Context:
    """Return the current context, for a call that queues work or does not touch the device."""
    contexts = _stack.contexts
    if contexts and contexts[-1].alive and not state.status.trouble:
        return contexts[-1]
    return _examined(False)


def current_waiting() -> Context:
    """Return the current context, for a call that waits for earlier work: it hears of failed kernels."""
    contexts = _stack.contexts
    if contexts and contexts[-1].alive and not state.status.trouble:
        return contexts[-1]
    return _examined(True)


def _examined(waits: bool) -> Context:
    """Return the current context after all checks, or raise what is wrong."""
    contexts = _stack.contexts
    if not contexts:
        raise DriverError(Result.INVALID_CONTEXT if state.status.initialized else Result.NOT_INITIALIZED)
    state.require(waits)
    if not contexts[-1].alive:
        raise DriverError(Result.CONTEXT_IS_DESTROYED)
    return contexts[-1]


def _top() -> Context:
    """Return the current context even if it is destroyed or the device is broken."""
    if not _stack.contexts:
        raise DriverError(Result.INVALID_CONTEXT)
    return _stack.contexts[-1]


def _check_device(device: int) -> None:
    if not 0 <= device < state.options.devices:
        raise DriverError(Result.INVALID_DEVICE)


def create(out: int, flags: int, device: int) -> None:
    """Create a context and make it current."""
    state.require(True)
    _check_device(device)
    if flags & ~_FLAGS_MASK:
        raise DriverError(Result.INVALID_VALUE)
    context = Context(device, flags)
    put_u64(out, context.handle)
    _stack.contexts.append(context)


def create_with_affinity(out: int, _affinity: int, _count: int, flags: int, device: int) -> None:
    """Create a context and make it current; execution affinity is ignored."""
    create(out, flags, device)


def create_with_parameters(out: int, _parameters: int, flags: int, device: int) -> None:
    """Create a context and make it current; other parameters are ignored."""
    create(out, flags, device)


def destroy(handle: int) -> None:
    """Destroy a context; if it is current it is popped."""
    context: Context = handles.get(handle)
    if not context.alive:
        raise DriverError(Result.CONTEXT_IS_DESTROYED)
    if context.primary:
        raise DriverError(Result.INVALID_CONTEXT)
    contexts = _stack.contexts
    if contexts and contexts[-1] is context:
        contexts.pop()
    context.destroy()


def attach(out: int, flags: int) -> None:
    """Count one more user of the current context."""
    if flags:
        raise DriverError(Result.INVALID_VALUE)
    context = _top()
    context.references += 1
    put_u64(out, context.handle)


def detach(handle: int) -> None:
    """Count one user of the context less; the last one destroys it."""
    if not handle:
        raise DriverError(Result.INVALID_CONTEXT)
    context: Context = handles.get(handle)
    if not context.alive:
        raise DriverError(Result.CONTEXT_IS_DESTROYED)
    if context.primary:
        raise DriverError(Result.INVALID_CONTEXT)
    context.references -= 1
    if not context.references:
        destroy(handle)


def push(handle: int) -> None:
    """Make a context current; the one before stays below it."""
    if not handle:
        raise DriverError(Result.INVALID_VALUE)
    _stack.contexts.append(handles.get(handle))


def pop(out: int) -> None:
    """Make the context below the current one current."""
    context = _top()
    _stack.contexts.pop()
    if out:
        put_u64(out, context.handle)


def get_current(out: int) -> None:
    """Return the current context, or null."""
    put_u64(out, _stack.contexts[-1].handle if _stack.contexts else 0)


def set_current(handle: int) -> None:
    """Replace the current context; null pops it."""
    context = handles.get(handle) if handle else None
    if _stack.contexts:
        _stack.contexts.pop()
    if context is not None:
        _stack.contexts.append(context)


def get_device(out: int) -> None:
    """Return the current context's device."""
    put_i32(out, _top().device)


def get_flags(out: int) -> None:
    """Return the flags that the current context was made with."""
    put_i32(out, current().flags)


def synchronize() -> None:
    """Wait for everything queued in the current context."""
    queues.finish(current_waiting().queues.goals())


def get_api_version(handle: int, out: int) -> None:
    """Return the version of the API that a context was made with."""
    if not handle:
        raise DriverError(Result.INVALID_CONTEXT)
    handles.get(handle)
    put_i32(out, API_VERSION)


def get_limit(out: int, limit: int) -> None:
    """Return a limit: sizes in bytes."""
    context = current()
    if limit in _READ_ONLY_LIMITS:
        put_u64(out, _READ_ONLY_LIMITS[limit])
        return
    if limit not in context.limits:
        raise DriverError(Result.UNSUPPORTED_LIMIT)
    put_u64(out, context.limits[limit])


def set_limit(limit: int, value: int) -> None:
    """Set a limit: those of stack, heap, printf and pending launches have an effect."""
    context = current()
    if limit in _READ_ONLY_LIMITS:
        raise DriverError(Result.NOT_PERMITTED)
    if limit not in context.limits:
        raise DriverError(Result.UNSUPPORTED_LIMIT)
    if value > _MOST.get(limit, value):
        raise DriverError(Result.INVALID_VALUE)
    granularity = _LIMIT_GRANULARITY.get(limit, 1)
    rounded = max(1, -(-value // granularity)) * granularity
    if limit == _HEAP and not state.runtime.resize_heap(rounded):
        raise DriverError(Result.INVALID_VALUE)
    if limit == _PRINTF_FIFO:
        queues.finish(context.queues.goals())
        state.runtime.resize_printf(rounded)
    context.limits[limit] = rounded


def get_cache_config(out: int) -> None:
    """Return the preferred split between cache and shared memory (without effect)."""
    put_i32(out, current().cache_preference)


def set_cache_config(preference: int) -> None:
    """Set the preferred split between cache and shared memory (without effect)."""
    context = current()
    if preference not in _CACHE_PREFERENCES:
        raise DriverError(Result.INVALID_VALUE)
    context.cache_preference = preference


def get_shared_config(out: int) -> None:
    """Return the width of shared memory banks (without effect)."""
    put_i32(out, current().shared_config)


def set_shared_config(config: int) -> None:
    """Accept a width of shared memory banks; it has no effect, as on a GPU with fixed banks."""
    current()
    if config not in _SHARED_CONFIGS:
        raise DriverError(Result.INVALID_VALUE)


def enable_peer_access(handle: int, flags: int) -> None:
    """Let the current context access the memory of a context of another device."""
    context, peer = current(), handles.get(handle)
    if flags:
        raise DriverError(Result.INVALID_VALUE)
    if peer.device == context.device:
        raise DriverError(Result.PEER_ACCESS_UNSUPPORTED)
    if peer in context.peers:
        raise DriverError(Result.PEER_ACCESS_ALREADY_ENABLED)
    context.peers.add(peer)


def disable_peer_access(handle: int) -> None:
    """Undo :func:`enable_peer_access`."""
    context, peer = current(), handles.get(handle)
    if peer not in context.peers:
        raise DriverError(Result.PEER_ACCESS_NOT_ENABLED)
    context.peers.remove(peer)


def retain_primary(out: int, device: int) -> None:
    """Return a device's primary context, making it if it is not there, and count one more user of it."""
    state.require(True)
    _check_device(device)
    with _lock:
        primary = _primaries.get(device)
        if primary is None:
            primary = _primaries[device] = Context(device, 0, primary=True)
            primary.references = 0
        put_u64(out, primary.handle)
        primary.references += 1


def release_primary(device: int) -> None:
    """Count one user of a device's primary context less; the last one destroys it."""
    _check_device(device)
    with _lock:
        primary = _primaries.get(device)
        if primary is None:
            raise DriverError(Result.INVALID_CONTEXT)
        primary.references -= 1
        if primary.references:
            return
        del _primaries[device]
    primary.destroy()


def get_primary_state(device: int, flags: int, active: int) -> None:
    """Return the flags of a device's primary context and whether it is active."""
    _check_device(device)
    put_i32(flags, 0)
    put_i32(active, int(device in _primaries))
