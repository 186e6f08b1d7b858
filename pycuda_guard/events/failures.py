"""Which failed calls an exception stands for.

A :class:`~pycuda_guard.events.model.CallFailed` is an error only if nobody handles it. So the
exception carries the event's sequence number, and whoever sees it leave the script, a thread or a
test asks :func:`sequences`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_ATTRIBUTE = "_pycuda_guard_failures"

#: a process, and the sequence number of an event there
Mark = tuple[int, int]


def mark(error: BaseException, sequence: int) -> None:
    """Note on ``error`` that the CallFailed event number ``sequence`` of this process announced it."""
    # Built-in exceptions can't be weakly referenced, so there can be no side table of them. An
    # exception that is sent to another process takes its marks along.
    error.__dict__[_ATTRIBUTE] = (*_marks(error), (os.getpid(), sequence))


def marks(error: BaseException) -> tuple[int, ...]:
    """Return the numbers noted on ``error`` itself in this process."""
    own = os.getpid()
    return tuple(number for process, number in _marks(error) if process == own)


def sequences(error: BaseException) -> frozenset[int]:
    """Return the numbers noted in this process on ``error`` and on all exceptions that led to it."""
    own = os.getpid()
    return frozenset(number for process, number in _all(error) if process == own)


def foreign(error: BaseException) -> frozenset[Mark]:
    """Return what other processes noted on ``error`` and on all exceptions that led to it."""
    own = os.getpid()
    return frozenset(mark for mark in _all(error) if mark[0] != own)


def _marks(error: BaseException) -> tuple[Mark, ...]:
    noted: tuple[Mark, ...] = error.__dict__.get(_ATTRIBUTE, ())
    return noted


def _all(error: BaseException) -> set[Mark]:
    found: set[Mark] = set()
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        found.update(_marks(current))
        waiting += [cause for cause in (current.__cause__, current.__context__) if cause is not None]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
    return found


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
