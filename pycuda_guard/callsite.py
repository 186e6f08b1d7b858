"""Which line of the user's program is calling.

:func:`here` runs on every intercepted call and must cost well under a microsecond. What the line says is
for :mod:`pycuda_guard.statements`.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TYPE_CHECKING

import msgspec

from pycuda_guard.forwarding import is_forwarding
from pycuda_guard.texts import named, text_lines

if TYPE_CHECKING:
    from types import CodeType, FrameType


class Site(msgspec.Struct, frozen=True, array_like=True, gc=False, cache_hash=True):
    """A line of the user's program. Sites are interned: one object for one place."""

    file: str
    line: int
    function: str


#: Packages whose frames stand between the user's line and the driver.
OWN_PACKAGES = frozenset(
    {"pycuda_guard", "pycuda", "pytools", "wrapt", "numpy", "importlib", "_frozen_importlib"}
)

#: Module names under which interactive input and ``python -c`` run.
INTERACTIVE = frozenset({"__main__", "__console__"})

#: Code objects remembered before everything is forgotten: a program that keeps generating code
#: must not fill the memory with it.
MAX_CODES = 20_000

_STDLIB = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib"))

_SITE_PACKAGES = ("site-packages", "dist-packages")

# Both tables are keyed by id(code), because hashing a code object means hashing its contents.
# _codes keeps the objects alive, so that an id is never reused while it is a key.
_user_sites: dict[int, dict[int, Site]] = {}  # id(code) -> f_lasti -> site

_passing: dict[int, bool] = {}  # id(code) -> may stand in where there is no user frame

_codes: list[CodeType] = []

_interned: dict[tuple[str, int, str], Site] = {}

#: stands in the table of sites where a function only passes its arguments on: the line is its caller's
_FORWARDING = Site("", 0, "")

_noted: set[str] = set()


def here(depth: int = 1, frame: FrameType | None = None) -> Site | None:
    """Return the innermost line of the user's program, or None where there is none.

    The stack is the caller's, or that of another thread whose innermost frame is ``frame``.

    Frames of pycuda_guard, PyCUDA and the packages under it are passed over. So are the standard
    library, generated code, and a line of the program that only passes on what its function was
    given (``return wrapped(*args, **kwargs)``), unless nothing else is on the stack (a thread whose
    target is a PyCUDA function). ``depth`` frames are known to be the guard's own and are not even looked at.
    """
    if frame is None:
        try:
            frame = sys._getframe(depth)
        except ValueError:
            return None  # nobody called it: a destructor, after the program's last line
    stand_in: FrameType | None = None
    while frame is not None:
        code = frame.f_code
        key = id(code)
        sites = _user_sites.get(key)
        if sites is not None:
            site = sites.get(frame.f_lasti) or _add_site(sites, frame)
            if site is not _FORWARDING:
                return site
            passing: bool | None = True
        else:
            passing = _passing.get(key)
        if passing is None:
            _classify(frame)
            continue
        if passing and stand_in is None:
            stand_in = frame
        frame = frame.f_back
    return None if stand_in is None else _intern(stand_in)


def is_stand_in(site: Site) -> bool:
    """Tell whether a line is of the standard library: it stands for none of the program's."""
    return site.file.startswith(_STDLIB) and not any(part in site.file for part in _SITE_PACKAGES)


def note_file(file: str) -> None:
    """Have a file of CUDA C counted among those of the program."""
    _noted.add(file)


def files() -> set[str]:
    """Return the files that lines of the program, and kernels noted with :func:`note_file`, have been in."""
    return {file for file, _, _ in tuple(_interned)} | _noted


def _add_site(sites: dict[int, Site], frame: FrameType) -> Site:
    site = _FORWARDING if is_forwarding(frame) else _intern(frame)
    sites[frame.f_lasti] = site
    return site


def _intern(frame: FrameType) -> Site:
    code = frame.f_code
    key = (named(code.co_filename), frame.f_lineno or code.co_firstlineno, code.co_qualname)
    site = _interned.get(key)
    if site is None:
        site = _interned.setdefault(key, Site(*key))
    return site


def _classify(frame: FrameType) -> None:
    """Decide once for a code object whether its lines are the user's."""
    if len(_codes) >= MAX_CODES:
        _user_sites.clear()
        _passing.clear()
        _codes.clear()
    code = frame.f_code
    _codes.append(code)
    name = frame.f_globals.get("__name__")
    package = name.partition(".")[0] if isinstance(name, str) else ""
    file = code.co_filename
    if package in OWN_PACKAGES:
        _passing[id(code)] = False
    elif file.startswith("<"):
        if name in INTERACTIVE or text_lines(file):
            _user_sites[id(code)] = {}
        else:
            _passing[id(code)] = not file.startswith("<frozen")
    elif file.startswith(_STDLIB) and not any(part in file for part in _SITE_PACKAGES):
        _passing[id(code)] = True
    else:
        _user_sites[id(code)] = {}
