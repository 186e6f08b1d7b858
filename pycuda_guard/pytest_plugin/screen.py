"""What stands in for the terminal while pytest runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.reports.terminal import short_path

if TYPE_CHECKING:
    from pycuda_guard.findings import Finding
    from pycuda_guard.pytest_plugin.manager import Manager
    from pycuda_guard.reports.run import Run


class Screen:
    """Passes on what the session shows; pytest's reports are where it is read."""

    manager: Manager | None = None
    name = staticmethod(short_path)

    def announce(self, text: str) -> None:
        """Say nothing: the header and the summary do."""

    def complain(self, text: str) -> None:
        """Have the run fail: the guard is broken."""
        if self.manager is not None:
            self.manager.results.failures.append(text)

    def show(self, finding: Finding) -> None:
        """Take a new finding before the driver sees the call."""
        if self.manager is not None:
            self.manager.found(finding)

    def finish(self, run: Run) -> None:
        """Say nothing: the summary does."""
