"""The findings as a JSON file, schema version 1 (docs/findings.schema.json)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycuda_guard.errors import StartError
from pycuda_guard.findings import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.findings import Finding


def document(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return the JSON-ready document that holds ``findings``."""
    return {"version": SCHEMA_VERSION, "findings": [finding.to_json() for finding in findings]}


class JsonReport:
    """A file that holds valid JSON at every moment, whatever kills the program.

    It is written at once, empty, so that a path which can't be written is known before the
    program runs: :class:`StartError`. The path is absolute: the program may change its folder.
    ``{pid}`` in it stands for the number of the process.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path.replace("{pid}", str(os.getpid()))).absolute()
        if self.path.exists() and not self.path.is_file():
            raise StartError(f"the findings can't be written to {path}: it is not a regular file")
        try:
            self.write([])
        except OSError as error:
            raise StartError(f"the findings can't be written to {path}: {error.strerror}") from error

    def write(self, findings: Iterable[Finding]) -> None:
        """Replace the file's content in one step. Raises OSError and leaves the old content if it can't."""
        replace_file(self.path, document(findings))


def replace_file(path: Path, data: dict[str, Any]) -> None:
    """Make ``data`` the JSON content of a file in one step. Raises OSError, and leaves the old one then."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as stream:
            json.dump(data, stream, indent=1)
            stream.write("\n")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
