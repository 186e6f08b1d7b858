"""Turns PyCUDA's calls into events.

:func:`install` replaces the calls listed in :data:`pycuda_guard.hooks.table.ROWS`,
:func:`uninstall` puts the very same objects back.
"""

from __future__ import annotations

from pycuda_guard.hooks.install import (
    collect,
    finish,
    install,
    installed,
    leave_child,
    uninstall,
    watch_races,
    what_is_unwatched,
)
from pycuda_guard.hooks.sink import Sink

__all__ = [
    "Sink",
    "collect",
    "finish",
    "install",
    "installed",
    "leave_child",
    "uninstall",
    "watch_races",
    "what_is_unwatched",
]
