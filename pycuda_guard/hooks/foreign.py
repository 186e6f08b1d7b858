"""Who is current in truth: the driver's answer, where other libraries may have changed the context."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

import wrapt

from pycuda_guard.events.model import (
    Allocated,
    CallFailed,
    ContextReplaced,
    Copy,
    Event,
    EventCreated,
    EventRecorded,
    Launch,
    Memset,
    ModuleLoaded,
    StreamCreated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.events.model import ContextId

#: modules that make the primary context current when they like
LIBRARIES = ("cupy", "torch", "numba.cuda", "jax", "tensorflow", "tensorrt", "cuda")

#: the events at which it matters, and the driver's words that it may be the reason for
_ASKED = frozenset(
    {Allocated, Copy, EventCreated, EventRecorded, Launch, Memset, ModuleLoaded, StreamCreated}
)
_WORDS = ("invalid resource handle", "invalid device context")


class ContextWatch:
    """Compares the context that PyCUDA takes for current with the driver's.

    Asking costs about as much as a hook, so it is only done once one of :data:`LIBRARIES` is
    imported, and at failures that it would explain.
    """

    def __init__(self) -> None:
        self.is_needed = False
        self._library = ""
        self._replaced: dict[int, ContextId] = {}
        self._ask: Callable[[Any], int] | None = None

    def start(self) -> None:
        """Wait for those libraries."""
        for name in LIBRARIES:
            wrapt.register_post_import_hook(self._imported, name)

    def forget(self) -> None:
        """Begin anew, in a forked child."""
        self._replaced.clear()

    def look(self, event: Event) -> ContextReplaced | None:
        """Return what has to be told before ``event``, which happens on the calling thread."""
        kind = type(event)
        if kind is CallFailed:
            if not any(words in event.status for words in _WORDS):  # type: ignore[attr-defined]
                return None
        elif kind not in _ASKED:
            return None
        actual = self._current() if event.context else None
        if actual is None:
            return None
        if actual == event.context:
            if self._replaced.pop(event.thread, None) is None:
                return None
        elif self._replaced.get(event.thread) == actual:
            return None
        else:
            self._replaced[event.thread] = actual
            self.is_needed = True
        return ContextReplaced(event.site, event.thread, event.context, actual, self._library)

    def _imported(self, module: Any) -> None:
        self._library = module.__name__
        self.is_needed = True

    def _current(self) -> ContextId | None:
        """Return the handle of the driver's current context, 0 for none; None if it can't be asked."""
        if self._ask is None:
            name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
            try:
                self._ask = ctypes.CDLL(name).cuCtxGetCurrent
            except (OSError, AttributeError):
                return None
        handle = ctypes.c_void_p()
        return None if self._ask(ctypes.byref(handle)) else handle.value or 0
