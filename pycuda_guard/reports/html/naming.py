"""What files are called on the page, and their lines."""

from __future__ import annotations

import io
import linecache
from typing import TYPE_CHECKING

from pycuda_guard.reports import places

if TYPE_CHECKING:
    from pycuda_guard.reports.run import Run


class Names:
    """The files of one run: names relative to its folder, and texts as they were when it was recorded."""

    def __init__(self, run: Run) -> None:
        self._root = places.root(run)
        self._names: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        for recording in run.recordings:
            for file, text in recording.sources.items():
                # only line feeds part lines, as when the file itself is read
                self._texts[file] = list(io.StringIO(text, newline="\n"))

    def name(self, file: str) -> str:
        """Return what a file is called."""
        known = self._names.get(file)
        if known is None:
            known = self._names[file] = places.inside(file, self._root) or file
        return known

    def lines(self, file: str) -> list[str]:
        """Return the lines of a file; empty where they are not known."""
        known = self._texts.get(file)
        if known is None:
            try:
                known = self._texts[file] = [] if file == "<string>" else linecache.getlines(file)
            except ValueError:  # a name that can't be one
                known = self._texts[file] = []
        return known
