"""Runs of pytest in processes of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from plugin_support import PLUGINS, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Return a function that runs pytest with arguments in a process of its own; ``plugins`` are loaded."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in [name for name in os.environ if name.startswith(("PYCUDA_GUARD_", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)

    def runner(*arguments: str, plugins: tuple[str, ...] = PLUGINS) -> pytest.RunResult:
        loaded = [word for name in plugins for word in ("-p", name)]
        return pytester.runpytest_subprocess(*loaded, *arguments, timeout=120)

    return runner
