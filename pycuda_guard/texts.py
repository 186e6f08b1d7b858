"""What the program's files are called, and what stands in them.

Files, cells of a notebook, and texts that the program makes and compiles: each has a name under which its
lines can be read, by ``linecache``, as Python itself shows them in a traceback.
"""

from __future__ import annotations

import linecache
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: what stands at the beginning of a comment for the guard
MARK = "pycuda-guard:"

#: how files of CUDA C are called, and templates of them
CUDA_SUFFIXES = tuple(
    language + template
    for language in (".cu", ".cuh", ".c", ".cpp", ".h", ".hpp", ".inl")
    for template in ("", ".j2", ".jinja", ".jinja2", ".mako", ".tmpl", ".tpl", ".in")
)

#: how a text that the program has made, and that is in none of its files, is called: this, and the place
GENERATED = "<source "

#: what the cells of a notebook are called, by the names of their code
_cells: dict[str, str] = {}

_label: Callable[[str], str] | None = None

_generated: dict[str, str] = {}  # the names of generated texts


def text_lines(file: str) -> list[str]:
    """Return the lines of a file or cell, each with its end; the same list until its text changes.

    There are none of ``<string>``. That is any code given to exec(), but from Python 3.13 on linecache has
    the text of ``python -c`` for it.
    """
    if file == "<string>":
        return []
    try:
        return linecache.getlines(file)
    except ValueError:  # a name that can't be one of a file
        return []


def provide(file: str, lines: list[str]) -> None:
    """Have ``lines`` stand for the text of ``file`` from now on, whether there is such a file or not."""
    # without a modification time, linecache never looks for the file itself
    linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def name_cells(label: Callable[[str], str] | None) -> None:
    """Have the cells of a notebook called by their labels (``In[3]``) from now on, wherever they are named.

    ``label(file)`` is that of a cell by the name of its code, or empty for what is none. The text of a cell
    can then be read under its label. None ends it.
    """
    global _label
    _label = label


def named(file: str) -> str:
    """Return what a file of the program is called: its absolute path, or the label of a cell."""
    known = _cells.get(file)
    if known is None and _label is not None and (label := _label(file)):
        lines = text_lines(file)
        # a cell that is run once more without a number of its own keeps the name of its code
        known = _cells[file] = file if label in _cells.values() and text_lines(label) != lines else label
        if known == label:
            provide(label, lines)
    if known is not None:
        return known
    return file if file.startswith("<") else os.path.abspath(file)


def name_generated(text: str, file: str, line: int) -> str:
    """Return what a text is called that the program made and compiles there.

    Its lines can be read under that name. Other texts that are compiled at the same line have other names.
    """
    name = _generated.get(text)
    if name is None:
        place = f"compiled at {os.path.basename(file)}:{line}>"
        taken = sum(other.endswith(place) for other in _generated.values())
        name = f"{GENERATED}{taken + 1} {place}" if taken else f"{GENERATED}{place}"
        _generated[text] = name
        provide(name, text.splitlines(keepends=True))
    return name


def is_cuda(file: str) -> bool:
    """Tell whether a file, or a generated text, is CUDA C and no Python."""
    return file.startswith(GENERATED) or file.endswith(CUDA_SUFFIXES)
