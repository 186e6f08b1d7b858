"""The findings as a JSON file, schema version 1 (docs/findings.schema.json)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pycuda_guard import launcher
from pycuda_guard.errors import GuardError, StartError
from pycuda_guard.findings import SCHEMA_VERSION, Finding
from pycuda_guard.reports.files import replace_text
from pycuda_guard.reports.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Reason(msgspec.Struct):
    reason: str


class _Document(msgspec.Struct):
    version: int
    findings: list[Finding]
    suppressed: list[dict[str, Any]] = []


def document(findings: Iterable[Finding], suppressed: Iterable[tuple[Finding, str]] = ()) -> dict[str, Any]:
    """Return the JSON-ready document that holds ``findings``, and those ``suppressed`` with reasons."""
    return {
        "version": SCHEMA_VERSION,
        "findings": [finding.to_json() for finding in findings],
        "suppressed": [{**finding.to_json(), "reason": reason} for finding, reason in suppressed],
    }


def report(run: Run) -> str:
    """Return the findings of a run as the text of a JSON file."""
    return text(document(run.findings, run.suppressed))


class JsonReport:
    """A file that holds valid JSON at every moment, whatever kills the program.

    It is written at once, empty, so that a path which can't be written is known before the
    program runs: :class:`StartError`. The path is absolute: the program may change its folder.
    ``{pid}`` in it stands for the number of the process; see also :func:`launcher.own_file`.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(launcher.own_file(path).replace("{pid}", str(os.getpid()))).absolute()
        if self.path.exists() and not self.path.is_file():
            raise StartError(f"the findings can't be written to {path}: it is not a regular file")
        try:
            self.write([])
        except OSError as error:
            raise StartError(f"the findings can't be written to {path}: {error.strerror}") from error

    def write(self, findings: Iterable[Finding], suppressed: Iterable[tuple[Finding, str]] = ()) -> None:
        """Replace the file's content in one step. Raises OSError and leaves the old content if it can't."""
        replace_file(self.path, document(findings, suppressed))


def replace_file(path: Path, data: dict[str, Any]) -> None:
    """Make ``data`` the JSON content of a file in one step. Raises OSError, and leaves the old one then."""
    replace_text(path, text(data))


def text(data: dict[str, Any]) -> str:
    """Return a JSON document as the text of a file, in ASCII."""
    return json.dumps(data, indent=1) + "\n"


def read_run(path: Path) -> Run:
    """Return what a file made by ``--json`` says of a run: the findings alone.

    Raises :class:`GuardError` where it can't be read or holds something else.
    """
    try:
        held = msgspec.convert(json.loads(path.read_bytes()), _Document)
        silenced = msgspec.convert(held.suppressed, list[Finding])
        reasons = msgspec.convert(held.suppressed, list[_Reason])
    except OSError as error:
        raise GuardError(f"can't open {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise GuardError(f"{path} is not a file of findings: {error}") from error
    if held.version != SCHEMA_VERSION:
        raise GuardError(
            f"{path} holds findings of schema version {held.version}; "
            f"this pycuda_guard reads version {SCHEMA_VERSION}"
        )
    return Run(
        findings=tuple(held.findings),
        device="an unknown device",
        live=frozenset(),
        blind=("unknown (a file of findings does not say)",),
        has_ended=False,
        suppressed=tuple((finding, given.reason) for finding, given in zip(silenced, reasons, strict=True)),
    )
