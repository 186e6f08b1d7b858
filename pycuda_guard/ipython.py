"""IPython and Jupyter: what is found in a cell is printed when the cell has run."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from pycuda_guard import config, session, texts
from pycuda_guard.errors import GuardError
from pycuda_guard.findings import Severity
from pycuda_guard.reports.cell import CellReport
from pycuda_guard.reports.terminal import Terminal
from pycuda_guard.session.uncaught import trim
from pycuda_guard.suppressions import Outcome, check_codes, is_left_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.config import Config
    from pycuda_guard.findings import Finding
    from pycuda_guard.session import Session


#: the magic: %%guard
MAGIC = "guard"


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
        self._held: Outcome | None = None  # what the cell under %%guard has found
        self._shown: BaseException | None = None
        self._showtraceback = shell.showtraceback
        shell.showtraceback = self._trim_traceback
        shell.events.register("post_run_cell", self._cell_ended)
        shell.register_magic_function(self._guard, "cell", MAGIC)

    def _cell_ended(self, result: Any) -> None:
        """Print the findings of the cell. An exception that ends a cell has not been handled."""
        if self._session.is_over:
            self._leave()
            return
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            self._session.uncaught.note(error)
        outcome = self._session.take(self._part)
        if self._held is None:
            with suppress(AttributeError, OSError, ValueError):
                sys.stdout.flush()  # what the cell has printed comes first
            self._screen.write_cell(outcome.kept)
        else:
            self._held.kept.extend(outcome.kept)
            self._held.suppressed.extend(outcome.suppressed)

    def _guard(self, line: str, cell: str) -> None:
        """Run the cell and show what was found in it: ``%%guard [--select CODES] [--ignore CODES]``.

        The cell runs and ends as it would without that line.
        """
        from IPython.core.error import UsageError
        from IPython.display import display

        if self._session.is_over:
            raise UsageError("nothing is guarded any more: %reload_ext pycuda_guard")
        try:
            chosen = _read_line(line)
        except GuardError as error:
            raise UsageError(f"{error} ({error.hint})" if error.hint else str(error)) from None
        held = self._held = Outcome([], [])
        try:
            with _named_as_outer(self._shell):
                result = self._shell.run_cell(_as_numbered(cell), store_history=False)
        finally:
            self._held = None
        kept = [one for one in held.kept if not is_left_out(one.code, chosen.select, chosen.ignore)]
        show: Any = display
        show(CellReport(kept, held.suppressed, self._screen.name))
        raised = result.error_before_exec or result.error_in_exec
        if raised is not None:
            self._shown = raised
            raise raised  # the cell fails, as it would without that line

    def _trim_traceback(self, *args: Any, **kwargs: Any) -> Any:
        """Show the traceback of a cell without the guard's own frames, and once."""
        error = sys.exc_info()[1]
        if error is not None:
            if error is self._shown:
                self._shown = None
                return None
            trim(error)
        return self._showtraceback(*args, **kwargs)

    def _leave(self) -> None:
        texts.name_cells(None)
        self._shell.events.unregister("post_run_cell", self._cell_ended)
        if self._shell.showtraceback == self._trim_traceback:
            self._shell.showtraceback = self._showtraceback


def _as_numbered(cell: str) -> str:
    """Return the rest of a cell behind a line for the magic's own, so that lines count as the user sees them.

    Another magic has to stay in the first line.
    """
    return cell if cell.startswith("%%") else f"#\n{cell}"


@contextmanager
def _named_as_outer(shell: Any) -> Iterator[None]:
    """Have code be named by the prompt of the cell that is running, not by the next one."""
    number = len(shell.history_manager.input_hist_parsed) - 1
    cache = shell.compile.cache
    shell.compile.cache = lambda code, _, *args, **kwargs: cache(code, number, *args, **kwargs)
    try:
        yield
    finally:
        del shell.compile.cache


def _read_line(line: str) -> Config:
    """Return the options on the line of ``%%guard``. Raises :class:`GuardError`."""
    parser = _LineParser(prog=f"%%{MAGIC}", add_help=False, allow_abbrev=False)
    config.add_arguments(parser, ("select", "ignore"))
    chosen = config.read(config.given(parser.parse_args(shlex.split(line))), {})
    check_codes((*chosen.select, *chosen.ignore), f"%%{MAGIC}")
    return chosen


class _LineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GuardError(f"{self.prog}: {message}")


def begin(options: Config, shell: Any) -> None:
    """Guard ``shell``, an IPython shell, from now on; raises :class:`StartError` as a script's start does."""

    def label(file: str) -> str:
        """Return the prompt of a cell, In[3], by the name of its code."""
        found = getattr(shell.compile, "format_code_name", lambda file: None)(file)
        return str(found[1]) if found else ""

    texts.name_cells(label)
    screen = CellScreen(sys.stderr, quiet=options.quiet)
    running = session.begin(options, screen)
    screen.session = running
    screen.write_cell(running.findings)  # what is unknown because it began late
    Cells(shell, running, screen)
