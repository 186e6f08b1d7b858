"""The table of driver functions: complete, documented, and the same as in the documentation."""

from __future__ import annotations

import inspect
import shutil
import subprocess
from pathlib import Path

import pytest

from pycuda_guard.cpu.driver import table

PAGE = Path(__file__).parents[2] / "docs" / "cpu-device.md"
NAMES = [name for entry in table.entries() for name in entry.names]


def test_the_page_is_fresh():
    """If this fails: python -m pycuda_guard.cpu.driver.table docs/cpu-device.md"""
    text = PAGE.read_text()
    assert table.BEGIN in text
    assert table.END in text
    assert table.rewritten(text) == text


def test_a_name_stands_once():
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("entry", table.entries(), ids=lambda entry: entry.names[0])
def test_entries_agree_with_their_handlers(entry):
    assert entry.summary
    if entry.handler is not None:
        assert len(inspect.signature(entry.handler).parameters) == len(entry.arguments)
        assert entry.summary.endswith(".")


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm to read symbols")
def test_every_function_that_pycuda_imports_is_there():
    package = pytest.importorskip("pycuda")
    (extension,) = Path(package.__path__[0]).glob("_driver*.so")
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", extension], check=True, capture_output=True, text=True
    ).stdout.split()
    wanted = {word for word in listed if word.startswith("cu") and word[2:3].isupper()}
    assert len(wanted) > 100
    assert wanted <= set(NAMES)
