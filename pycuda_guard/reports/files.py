"""Files that are whole at every moment, whatever kills the process that writes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycuda_guard.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Make ``text`` the content of a file in one step. Raises OSError, and leaves the old one then.

    What UTF-8 has no bytes for (half a surrogate pair in the name of a file) becomes ``\\udc80``.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def check_writable(path: Path, what: str) -> None:
    """Raise :class:`StartError` where ``path`` can't become a file; ``what`` is meant to be written there.

    The file itself is left as it is.
    """
    if path.exists() and not path.is_file():
        raise StartError(f"{what} can't be written to {path}: it is not a regular file")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise unwritable(path, what, error) from error


def unwritable(path: Path, what: str, error: OSError) -> StartError:
    """Return the error that says why ``what`` is not in the file at ``path``."""
    return StartError(f"{what} can't be written to {path}: {error.strerror}")
