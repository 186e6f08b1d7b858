"""Which failed calls nobody handled: those whose exception ended the script or a thread.

The hooks of the interpreter are chained, never replaced: whoever was there before prints the
traceback as ever, without the guard's own frames in it.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pycuda_guard.events import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType


def trim(error: BaseException) -> BaseException:
    """Take the guard's own frames out of the traceback of ``error`` and of what led to it; return it."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = failures.without_guard_frames(current.__traceback__)
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
    return error


class Uncaught:
    """Collects the sequence numbers of failures that escaped; holds no exception itself.

    ``expected`` are the failures that a test asked for. Failures of child processes whose exception
    was sent to this one are in ``foreign`` and ``foreign_expected``.
    """

    def __init__(self) -> None:
        self.escaped: set[int] = set()
        self.expected: set[int] = set()
        self.foreign: set[failures.Mark] = set()
        self.foreign_expected: set[failures.Mark] = set()
        self._script_hook: Callable[..., Any] | None = None
        self._thread_hook: Callable[..., Any] | None = None

    def note(self, error: BaseException) -> None:
        """``error`` ended the script, a thread or a block.

        A program that ends itself with status 0 after a failure has handled it.
        """
        if isinstance(error, SystemExit) and not error.code:
            return
        self.escaped |= failures.sequences(error)
        self.foreign |= failures.foreign(error)

    def expect(self, error: BaseException) -> None:
        """``error`` is what a test wanted to see."""
        self.expected |= failures.sequences(error)
        self.foreign_expected |= failures.foreign(error)

    def forget(self) -> None:
        """Begin anew, in a forked child."""
        for numbers in (self.escaped, self.expected):
            numbers.clear()
        for marks in (self.foreign, self.foreign_expected):
            marks.clear()

    @contextmanager
    def watching_threads(self) -> Iterator[None]:
        """Listen to exceptions that end a thread in front of whoever listens now, and let them go on."""
        before = threading.excepthook

        def ended(arguments: threading.ExceptHookArgs) -> None:
            before(self._note_thread(arguments))

        threading.excepthook = ended
        try:
            yield
        finally:
            if threading.excepthook is ended:
                threading.excepthook = before

    def watch_threads(self) -> None:
        """Listen to exceptions that end a thread."""
        self._thread_hook, threading.excepthook = threading.excepthook, self._thread_ended

    def watch_script(self) -> None:
        """Listen to the exception that ends the script, where nobody else sees it."""
        self._script_hook, sys.excepthook = sys.excepthook, self._script_ended

    def uninstall(self) -> None:
        """Put back what was there, unless somebody else has chained another hook since."""
        if self._script_hook is not None and sys.excepthook == self._script_ended:
            sys.excepthook = self._script_hook
        if self._thread_hook is not None and threading.excepthook == self._thread_ended:
            threading.excepthook = self._thread_hook

    def _script_ended(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        self.note(error)
        trim(error)
        assert self._script_hook is not None
        self._script_hook(kind, error, failures.without_guard_frames(traceback))

    def _thread_ended(self, ended: threading.ExceptHookArgs) -> None:
        assert self._thread_hook is not None
        self._thread_hook(self._note_thread(ended))

    def _note_thread(self, ended: threading.ExceptHookArgs) -> threading.ExceptHookArgs:
        """Note what ended a thread; return it without the guard's frames."""
        error = ended.exc_value
        if error is None or isinstance(error, SystemExit):
            return ended
        self.note(error)
        trim(error)
        return threading.ExceptHookArgs(
            (ended.exc_type, error, failures.without_guard_frames(ended.exc_traceback), ended.thread)
        )
