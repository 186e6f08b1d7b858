"""The line that says how far long work has come."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from pycuda_guard.progress import Meter

if TYPE_CHECKING:
    import pytest


class Screen(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What stands in the last line after each carriage return."""
        return [text for text in self.getvalue().split("\r") if text.strip()]


def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Put a terminal in the place of stderr; pytest would take one from a fixture away again."""
    made = Screen()
    monkeypatch.setattr(sys, "stderr", made)
    return made


def test_it_counts_on_a_terminal_and_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch)
    meter = Meter("reading run.pgr", patience=0, refresh=0)
    for share in (0.0, 0.5, 1.0):
        meter.show(share)
    assert shown.lines == [f"reading run.pgr … {share}" for share in ("0%", "50%", "100%")]
    meter.clear()
    end = shown.getvalue()
    assert end.endswith(f"\r{' ' * len('reading run.pgr … 100%')}\r")
    assert "\n" not in end


def test_it_comes_back_after_something_else_was_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch)
    meter = Meter("reading", patience=0, refresh=0)
    meter.show(0.25)
    meter.clear()
    meter.show(0.75)
    assert shown.lines == ["reading … 25%", "reading … 75%"]


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch)
    meter = Meter("reading", patience=3600)
    meter.show(0.5)
    meter.clear()
    assert shown.getvalue() == ""


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    meter = Meter("reading", patience=0, refresh=0)
    meter.show(0.5)
    meter.clear()
    assert pipe.getvalue() == ""
