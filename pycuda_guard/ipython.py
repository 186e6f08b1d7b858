"""IPython and Jupyter: what is found in a cell is printed when the cell has run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pycuda_guard import session
from pycuda_guard.findings import Severity
from pycuda_guard.reports.terminal import Terminal, short_path
from pycuda_guard.session.uncaught import trim

if TYPE_CHECKING:
    from pycuda_guard.config import Config
    from pycuda_guard.findings import Finding
    from pycuda_guard.session import Session


class CellScreen(Terminal):
    """The report of a notebook: the findings of a cell come all together, after it."""

    #: the session whose findings these are
    session: Session | None = None

    def show(self, finding: Finding) -> None:
        """Leave a new finding to the end of its cell, if there will be one."""
        if self.session is not None and self.session.is_dying:
            self.write(finding)

    def write_cell(self, findings: list[Finding]) -> None:
        """Print what was found in a cell; notes have a line each."""
        for finding in findings:
            if finding.severity is not Severity.NOTE:
                self.write(finding)
            elif not self.is_quiet:
                self.write_briefly(finding)


class Cells:
    """Reports after each cell, until the session is over."""

    def __init__(self, shell: Any, running: Session, screen: CellScreen) -> None:
        self._shell = shell
        self._session = running
        self._screen = screen
        self._part = running.open_part()
        self._showtraceback = shell.showtraceback
        shell.showtraceback = self._trim_traceback
        shell.events.register("post_run_cell", self._cell_ended)

    def _cell_ended(self, result: Any) -> None:
        """Print the findings of the cell. An exception that ends a cell has not been handled."""
        if self._session.is_over:
            self._leave()
            return
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            self._session.uncaught.note(error)
        self._screen.write_cell(self._session.take(self._part))

    def _trim_traceback(self, *args: Any, **kwargs: Any) -> Any:
        """Show the traceback of a cell without the guard's own frames."""
        error = sys.exc_info()[1]
        if error is not None:
            trim(error)
        return self._showtraceback(*args, **kwargs)

    def _leave(self) -> None:
        self._shell.events.unregister("post_run_cell", self._cell_ended)
        if self._shell.showtraceback == self._trim_traceback:
            self._shell.showtraceback = self._showtraceback


def begin(options: Config, shell: Any) -> None:
    """Guard ``shell``, an IPython shell, from now on; raises :class:`StartError` as a script's start does."""

    def name(file: str) -> str:
        """Call a cell by its prompt, In[3], and any other file by its path."""
        label = getattr(shell.compile, "format_code_name", lambda file: None)(file)
        return str(label[1]) if label else short_path(file)

    screen = CellScreen(sys.stderr, quiet=options.quiet, name=name)
    running = session.begin(options, screen)
    screen.session = running
    screen.write_cell(running.findings)  # what is unknown because it began late
    Cells(shell, running, screen)
