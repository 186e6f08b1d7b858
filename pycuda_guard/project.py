"""What ``[tool.pycuda_guard]`` says in the pyproject.toml of a program's project. Nothing is executed."""

from __future__ import annotations

import glob
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycuda_guard.config import OPTIONS, Layer, Option, close_to
from pycuda_guard.errors import StartError

NAME = "pyproject.toml"
SECTION = "pycuda_guard"


def layers(folder: str | os.PathLike[str]) -> tuple[Layer, ...]:
    """Return what the nearest pyproject.toml with the section says, from ``folder`` upwards, if there is one.

    Names of files, and patterns of names with a slash, are taken from its folder. Raises
    :class:`StartError` for a file that is not TOML and for a key that does not belong there.
    """
    start = Path(_absolute(folder))
    for place in (start, *start.parents):
        path = place / NAME
        section = _section(path)
        if section is not None:
            return (Layer(f"{NAME}:{path}", _values(path, section)),)
    return ()


def folder_of(program: str) -> str:
    """Return the folder of a script, from which its pyproject.toml is looked for."""
    path = _absolute(program)
    return path if os.path.isdir(path) else os.path.dirname(path)


def folder_here() -> str:
    """Return the folder of this process's script; the current one if that is none of the user's."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.curdir if not isinstance(file, str) or is_installed(file) else folder_of(file)


def is_installed(script: str) -> bool:
    """Tell whether a script belongs to the Python environment, as pytest's does, rather than to a project."""
    return _absolute(script).startswith(os.path.join(sys.prefix, ""))


def _absolute(path: str | os.PathLike[str]) -> str:
    """Return a path from the root on; as it is where the current folder is gone."""
    try:
        return os.path.abspath(path)
    except OSError:
        return os.fspath(path)


def _section(path: Path) -> Mapping[str, Any] | None:
    """Return the guard's section of a pyproject.toml, or None."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if SECTION.encode() not in content:
        return None
    try:
        data = tomllib.loads(content.decode())
    except ValueError as error:
        raise StartError(f"{path} is not TOML: {error}") from error
    tools = data.get("tool")
    section = tools.get(SECTION) if isinstance(tools, Mapping) else None
    if section is not None and not isinstance(section, Mapping):
        raise StartError(f"{path}: tool.{SECTION} must be a table", f"[tool.{SECTION}]")
    return section


def _values(path: Path, section: Mapping[str, Any]) -> dict[str, object]:
    """Return the values of a section by the names of their options."""
    allowed = {option.key: option for option in OPTIONS if not option.for_once}
    values: dict[str, object] = {}
    for key, value in section.items():
        option = allowed.get(key)
        if option is None:
            once = next((one for one in OPTIONS if one.key == key), None)
            if once is not None:
                raise StartError(f"{path}: {key} can't be set in [tool.{SECTION}]", f"give {once.flag}")
            raise StartError(
                f"{path}: there is no option {key!r} in [tool.{SECTION}]", close_to(key, allowed)
            )
        values[option.name] = _placed(option, value, path.parent)
    return values


def _placed(option: Option, value: object, folder: Path) -> object:
    """Return a value with the names of files in it as seen from ``folder``."""
    if option.is_file and isinstance(value, str) and value:
        return str(folder / value)
    if option.name == "per_file_ignores" and isinstance(value, Mapping):
        return {_pattern(str(pattern), folder): codes for pattern, codes in value.items()}
    return value


def _pattern(pattern: str, folder: Path) -> str:
    return os.path.join(glob.escape(str(folder)), pattern) if "/" in pattern else pattern
