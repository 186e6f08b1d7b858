"""The guard itself failed.

What it does
------------
Reports an error inside pycuda_guard: in a hook, or in a check.

Why is this bad
---------------
Nothing is wrong with your program because of it: the call went through as it was written. But the
guard did not see it, or did not judge it, so silence about it means nothing.

Example
-------
    import pycuda.autoinit  # a guard error has no example: it is a bug of the guard

Use instead
-----------
    import pycuda.autoinit  # please report the message together with the script

Known limits
------------
A check that fails again and again is reported once.

References
----------
The project's issue tracker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import GuardFailed


class GuardErrorRule(Rule):
    """PG903."""

    code: ClassVar[str] = "PG903"
    name: ClassVar[str] = "guard-error"
    holds_after_fork: ClassVar[bool] = True
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "guard"

    def on_guard_failed(self, event: GuardFailed) -> None:
        """Report where the guard failed."""
        self.report(
            event,
            f"the guard failed in {event.where} and went on without it: {event.error}",
            "your program is not affected; please report this as a bug of pycuda_guard",
        )
