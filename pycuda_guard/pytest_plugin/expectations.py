"""Exceptions that a test asks for: ``pytest.raises`` and ``assertRaises`` say what they have caught."""

from __future__ import annotations

import functools
import unittest
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


class Expectations:
    """Listens to the context managers that expect exceptions, until :meth:`stop`."""

    def __init__(self, note: Callable[[BaseException], None]) -> None:
        self._note = note
        classes: list[Any] = [
            type(pytest.raises(Exception)),
            type(unittest.TestCase().assertRaises(Exception)),
        ]
        if hasattr(pytest, "RaisesGroup"):
            classes.append(pytest.RaisesGroup)
        self._originals = [(owner, owner.__exit__) for owner in classes]
        for owner, original in self._originals:
            owner.__exit__ = self._wrap(original)

    def stop(self) -> None:
        """Put the context managers back."""
        for owner, original in self._originals:
            owner.__exit__ = original

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def leave(context: Any, kind: Any, error: BaseException | None, traceback: Any) -> Any:
            __tracebackhide__ = True
            is_swallowed = original(context, kind, error, traceback)
            if is_swallowed and error is not None:
                self._note(error)
            return is_swallowed

        return leave
