"""How files are called in reports that are read on another machine: relative to one folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycuda_guard.findings import Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.run import Run


def is_file(name: str) -> bool:
    """Tell whether ``name`` can be that of a file: ``<stdin>`` and the cells of a notebook are none."""
    return bool(name) and not name.startswith("<") and not name.endswith("]")


def place(finding: Finding) -> Location | None:
    """Return the line to put a finding at where it must have one: its own, the kernel's, or a related one."""
    if finding.location is not None:
        return finding.location
    kernel = finding.kernel
    if kernel is not None and kernel.file and kernel.line:
        return Location(kernel.file, kernel.line, kernel.name)
    return next((Location(other.file, other.line) for other in finding.related), None)


def root(run: Run) -> str:
    """Return the folder that files are named relative to, an absolute path.

    It is the current one, or else, where no file of the run is in that, the one that the run was
    started in: it may have been on another machine.
    """
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        here = os.sep
    started = next((recording.start.directory for recording in run.recordings), "")
    if not started or any(inside(file, here) for file in _files(run)):
        return here
    return started


def inside(file: str, folder: str) -> str:
    """Return the path of ``file`` relative to ``folder``, with slashes; empty if it is not in there."""
    if not is_file(file):
        return ""
    try:
        path = os.path.relpath(os.path.join(folder, file), folder)
    except ValueError:  # on Windows, another drive
        return ""
    path = path.replace(os.sep, "/")
    return "" if path.split("/", 1)[0] == ".." else path


def _files(run: Run) -> Iterator[str]:
    for finding in run.findings:
        if finding.location is not None:
            yield finding.location.file
        yield from (other.file for other in finding.related)
