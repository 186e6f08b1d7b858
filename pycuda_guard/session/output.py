"""What a run shows and leaves behind: the screen, the JSON file, the baseline."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.errors import GuardError
from pycuda_guard.findings import Severity
from pycuda_guard.reports.files import check_writable
from pycuda_guard.reports.json_report import JsonReport
from pycuda_guard.reports.terminal import Terminal
from pycuda_guard.suppressions import write_baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycuda_guard.config import Config
    from pycuda_guard.findings import Finding
    from pycuda_guard.reports.terminal import Screen
    from pycuda_guard.suppressions import Outcome


class Output:
    """Takes the findings of one process; ``guard_error`` is told what can't be written any more."""

    def __init__(self, config: Config, screen: Screen, guard_error: Callable[[str, OSError], None]) -> None:
        self.screen = screen
        self._guard_error = guard_error
        self._path = config.json
        self._json: JsonReport | None = None
        self._is_behind = False
        # the program may change its folder
        self._baseline = os.path.abspath(config.write_baseline) if config.write_baseline else ""

    @property
    def takes_all_as_known(self) -> bool:
        """Whether all findings go to a baseline, so that none of them fails the run."""
        return bool(self._baseline)

    def start(self, *, has_json: bool) -> None:
        """Write the empty report. Raises :class:`StartError` where something can't be written."""
        if self._path and has_json:
            self._json = JsonReport(self._path)
        if self._baseline:
            check_writable(Path(self._baseline), "the baseline")

    def leave_child(self) -> None:
        """Say and write nothing any more: in a forked child the report is the parent's."""
        self.screen = Terminal(None, quiet=True)
        self._json = None

    def show(self, finding: Finding) -> None:
        """Show a new finding at once, where it is bad and certain."""
        if finding.failure is None and finding.severity is not Severity.NOTE:
            self.screen.show(finding)

    def write(self, outcome: Callable[[], Outcome]) -> None:
        """Write what was found so far to the JSON file, if there is one."""
        if self._json is None:
            return
        try:
            found = outcome()
            self._json.write(found.kept, found.suppressed)
            self._is_behind = False
        except OSError as error:
            if not self._is_behind:
                self._is_behind = True
                self.screen.complain(f"{self._json.path} can't be written any more: {error.strerror}")
                self._guard_error("the JSON report", error)

    def conclude(self, outcome: Outcome, remarks: Mapping[str, bool]) -> None:
        """Say which ignores had nothing to ignore (``remarks`` that hold), and write the baseline."""
        for text, is_unused in remarks.items():
            if is_unused:
                self.screen.announce(f"note: {text}")
        if self._baseline:
            try:
                self.screen.announce(write_baseline(self._baseline, outcome))
            except GuardError as error:
                self.screen.complain(str(error))


def to_stderr(config: Config) -> Screen:
    """Return the usual screen of a run."""
    return Terminal(sys.stderr, quiet=config.quiet)
