"""The table of driver functions: complete, documented, and the same as in the documentation."""

from __future__ import annotations

import configparser
import inspect
import shutil
import subprocess
from pathlib import Path

import pytest

from pycuda_guard.cpu.driver import table

PAGE = Path(__file__).parents[2] / "docs" / "cpu-device.md"
IMPORTED = Path(__file__).with_name("imported_by_pycuda.txt")
NAMES = [name for entry in table.entries() for name in entry.names]


def imported():
    """Return the names that PyCUDA imports, by the CUDA release that it was built against."""
    sections = configparser.ConfigParser(allow_no_value=True, delimiters="=")
    sections.optionxform = str
    sections.read(IMPORTED)
    return {release: set(sections[release]) for release in sections.sections()}


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


@pytest.mark.parametrize("release", imported())
def test_every_function_that_pycuda_imports_is_there_whatever_it_was_built_against(release):
    wanted = imported()[release]
    assert len(wanted) > 100
    assert not wanted - set(NAMES)


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm to read symbols")
def test_every_function_that_this_pycuda_imports_is_there():
    package = pytest.importorskip("pycuda")
    (extension,) = Path(package.__path__[0]).glob("_driver*.so")
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", extension], check=True, capture_output=True, text=True
    ).stdout.split()
    wanted = {word for word in listed if word.startswith("cu") and word[2:3].isupper()}
    assert len(wanted) > 100
    assert wanted <= set(NAMES)
