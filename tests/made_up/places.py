"""Where made-up events happen: lines of a script that does not exist, its threads, its contexts."""

from __future__ import annotations

from pycuda_guard.callsite import Site

MAIN, WORKER = 11, 12  #: threads
CTX, CTX_B = 31, 32


def at(line: int, file: str = "script.py") -> Site:
    """Return a line of a script that does not exist."""
    return Site(file, line, "main")


def where(line: int, context: int = CTX, thread: int = MAIN) -> tuple[Site, int, int]:
    """Return the site, thread and context of an event."""
    return at(line), thread, context
