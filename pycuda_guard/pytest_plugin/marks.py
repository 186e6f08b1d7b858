"""What the markers of a test say: which findings it may have, must have, and which make it fail."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycuda_guard.checks.registry import RULES
from pycuda_guard.config import OPTIONS, close_to
from pycuda_guard.errors import StartError
from pycuda_guard.pytest_plugin import EXPECT_MARK, MARK
from pycuda_guard.suppressions import LISTED, check_codes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_OPTIONS = {option.name: option for option in OPTIONS}

#: what the marker takes
KEYWORDS = ("ignore", "fail_on", "races")


@dataclass(frozen=True, slots=True)
class Marks:
    """The markers of one test, taken together. An empty ``fail_on`` is that of the run."""

    ignore: tuple[str, ...] = ()
    fail_on: str = ""
    races: bool = False
    expected: tuple[str, ...] = ()


def read(item: pytest.Item) -> Marks:
    """Return what the markers of a test say, those nearer to it first.

    Raises :class:`StartError` for a keyword, a value or a code that there is not.
    """
    ignore: list[str] = []
    chosen: dict[str, Any] = {}
    for mark in item.iter_markers(MARK):
        if mark.args:
            raise StartError(f"@pytest.mark.{MARK} takes keywords alone", f"such as {MARK}(ignore=['PG302'])")
        for name, value in mark.kwargs.items():
            if name not in KEYWORDS:
                raise StartError(f"@pytest.mark.{MARK} takes no {name!r}", close_to(name, KEYWORDS))
            checked = _OPTIONS[name].check(value)
            if isinstance(checked, tuple):
                check_codes([str(code) for code in checked], f"@pytest.mark.{MARK}")
                ignore += [str(code) for code in checked]
            else:
                chosen.setdefault(name, checked)
    return Marks(tuple(ignore), chosen.get("fail_on", ""), bool(chosen.get("races")), tuple(_expected(item)))


def _expected(item: pytest.Item) -> list[str]:
    codes = []
    for mark in item.iter_markers(EXPECT_MARK):
        if not mark.args or mark.kwargs:
            raise StartError(f"@pytest.mark.{EXPECT_MARK} takes codes", f"such as {EXPECT_MARK}('PG201')")
        for code in mark.args:
            check_code(code, f"@pytest.mark.{EXPECT_MARK}")
            codes.append(code)
    return codes


def check_code(code: object, where: str) -> None:
    """Raise :class:`StartError` for what is not the code of a rule."""
    if code not in RULES:
        raise StartError(f"{where}: there is no rule {code}", close_to(str(code), RULES, LISTED))


def asks_for_races(path: Path) -> bool:
    """Tell whether a marker in the text of a test module says ``races=True``; the module is not executed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    marks = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == MARK]
    return any(
        keyword.arg == "races" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for mark in marks
        for keyword in mark.keywords
    )
