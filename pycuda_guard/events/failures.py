"""Which failed calls an exception stands for.

A :class:`~pycuda_guard.events.model.CallFailed` is an error only if nobody handles it. So the
exception carries the event's sequence number, and whoever sees it leave the script, a thread or a
test asks :func:`sequences`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_ATTRIBUTE = "_pycuda_guard_failures"


def mark(error: BaseException, sequence: int) -> None:
    """Note on ``error`` that the CallFailed event number ``sequence`` announced it."""
    # Built-in exceptions can't be weakly referenced, so there can be no side table of them.
    error.__dict__[_ATTRIBUTE] = (*marks(error), sequence)


def marks(error: BaseException) -> tuple[int, ...]:
    """Return the numbers noted on ``error`` itself."""
    numbers: tuple[int, ...] = error.__dict__.get(_ATTRIBUTE, ())
    return numbers


def sequences(error: BaseException) -> frozenset[int]:
    """Return the numbers noted on ``error`` and on all exceptions that led to it."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        found.update(marks(current))
        waiting += [cause for cause in (current.__cause__, current.__context__) if cause is not None]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
    return frozenset(found)


def without_guard_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Unlink the guard's own frames from ``traceback`` and return what is left of it."""
    kept = [entry for entry in _entries(traceback) if not _is_own(entry)]
    if not kept:
        return None
    for entry, following in zip(kept, [*kept[1:], None], strict=True):
        entry.tb_next = following
    return kept[0]


def _entries(traceback: TracebackType | None) -> list[TracebackType]:
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    return entries


def _is_own(entry: TracebackType) -> bool:
    name = entry.tb_frame.f_globals.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] == "pycuda_guard"
