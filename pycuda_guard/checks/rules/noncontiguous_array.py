"""A copy of a host array that is not contiguous.

What it does
------------
Where a copy fails, tells whether the numpy array in it is a view with gaps: a column, every second
element, a slice of the inner dimension.

Why is this bad
---------------
A copy moves one run of bytes. PyCUDA refuses an array whose elements don't lie in one
("ndarray is not contiguous"), and doesn't say which array or what to do.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    m = np.zeros((200, 3), np.float32)
    column_gpu = cuda.mem_alloc(4 * 200)
    cuda.memcpy_htod(column_gpu, m[:, 1])

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    m = np.zeros((200, 3), np.float32)
    column_gpu = cuda.mem_alloc(4 * 200)
    cuda.memcpy_htod(column_gpu, np.ascontiguousarray(m[:, 1]))

Known limits
------------
An error only if the exception leaves the script, the thread or the test; a note where the program
catches it.

References
----------
numpy documentation, ascontiguousarray; PyCUDA documentation, memcpy_htod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import Copy, HostOperand
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import CallFailed


class NoncontiguousArray(Rule):
    """PG407."""

    code: ClassVar[str] = "PG407"
    name: ClassVar[str] = "noncontiguous-array"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_call_failed(self, event: CallFailed) -> None:
        """Look at the host array of a copy that failed before the driver saw it."""
        if event.status or not event.announced or self.explained(event.announced):
            return
        copy = self.state.announced(event.announced)
        if not isinstance(copy, Copy):
            return
        for position, operand in enumerate((copy.destination, copy.source)):
            if isinstance(operand, HostOperand) and not operand.contiguous:
                self.explain(copy.sequence)
                if not self.again(event, site=copy.site, failure=event.sequence):
                    self._report(event, copy, position, operand)
                return

    def _report(self, event: CallFailed, copy: Copy, position: int, operand: HostOperand) -> None:
        name = messages.copy_names(copy)[position]
        text = name.strip("`") or "array"
        help = (
            f"copy np.ascontiguousarray({text})"
            if position
            else f"copy to a contiguous array first, then assign it: {text}[...] = contiguous"
        )
        described = messages.operand(operand, name or "the host array")
        self.report(
            event,
            f"{copy.call}: {described} is not contiguous, and a copy moves one run of bytes",
            help,
            site=copy.site,
            failure=event.sequence,
        )
