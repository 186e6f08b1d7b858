"""Calls that crash the interpreter in PyCUDA 2026.1 and before: an exception in place of the crash.

No program that works calls them, so refusing them changes nothing for one that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycuda_guard.hooks.tap import like

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.hooks.tap import Connect, Tap, Wrapped

#: the last release of PyCUDA that is known to crash
_LAST = (2026, 1)


def _crashes() -> bool:
    """Tell whether this PyCUDA is one of those that crash."""
    import pycuda

    return tuple(pycuda.VERSION[:2]) <= _LAST


def _lacks_contexts(
    dest: Any,
    src: Any,
    size: Any,
    dest_context: Any = None,
    src_context: Any = None,
    *rest: Any,
    **keywords: Any,
) -> str:
    if dest_context is not None and src_context is not None:
        return ""
    return "without contexts it would crash the process (a bug of PyCUDA): pass dest_context and src_context"


def _has_new_numpy(*args: Any, **keywords: Any) -> str:
    if int(np.__version__.partition(".")[0]) < 2:
        return ""
    return "with NumPy 2 it would crash the process (a bug of PyCUDA): use pagelocked_empty()"


def refusing(connect: Connect, reason: Callable[..., str], call: str) -> Connect:
    """Make a hook raise ``LogicError`` where ``reason(*args, **kwargs)`` says why the call would crash."""

    def connect_refusing(tap: Tap, wrapped: Wrapped) -> Wrapped:
        if not _crashes():
            return connect(tap, wrapped)

        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                why = reason(*args, **kwargs)
            except TypeError:
                why = ""  # wrong arguments: PyCUDA says so itself
            if why and tap.active and tap.driver is not None:
                raise tap.driver.LogicError(f"{call}: {why}")
            return wrapped(*args, **kwargs)

        return connect(tap, like(wrapped, checked))

    return connect_refusing


def needs_contexts(connect: Connect, call: str) -> Connect:
    """Refuse a copy between contexts that names only the current one."""
    return refusing(connect, _lacks_contexts, call)


def needs_old_numpy(connect: Connect, call: str) -> Connect:
    """Refuse what works with NumPy 1 alone."""
    return refusing(connect, _has_new_numpy, call)
