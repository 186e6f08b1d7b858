"""CUDA work was done before the guard was enabled.

What it does
------------
Says that the guard was enabled late, and what is unknown because of it.

Why is this bad
---------------
Memory, modules and streams from before are unknown. The guard doesn't judge what it doesn't know,
so silence about them means nothing.

Example
-------
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(1024)

    import pycuda_guard
    pycuda_guard.enable()

Use instead
-----------
    import pycuda_guard
    pycuda_guard.enable()

    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(1024)

Known limits
------------
None.

References
----------
Or run the script with `pycuda-guard run script.py`, which needs no change to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import EventsLost, LateStart


class LateStartRule(Rule):
    """PG902."""

    code: ClassVar[str] = "PG902"
    name: ClassVar[str] = "late-start"
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "guard"

    def on_late_start(self, event: LateStart) -> None:
        """Report what happened before the guard was there."""
        if self.again(event):
            return
        self.report(
            event,
            f"CUDA was used before the guard was enabled: {event.what}",
            "call pycuda_guard.enable() at the top of the script, or use `pycuda-guard run script.py`",
        )

    def on_events_lost(self, event: EventsLost) -> None:
        """Report that a recording begins in the middle."""
        self.report(
            event,
            f"events before #{event.first} are not in the recording: what they made is unknown",
            "record the whole run, with a larger --record-limit or none",
        )
