"""A context is still on the stack when the program ends.

What it does
------------
At the end of the run, reports contexts that were made or pushed and neither popped nor detached, at
the line that pushed them.

Why is this bad
---------------
PyCUDA aborts the process when a thread ends with a context on its stack ("PyCUDA ERROR: The context
stack was not empty upon module cleanup"), after the results were written or before, and with an exit
status that looks like a crash.

Example
-------
    import pycuda.driver as cuda

    cuda.init()
    context = cuda.Device(0).make_context()
    x_gpu = cuda.mem_alloc(1024)

Use instead
-----------
    import pycuda.driver as cuda

    cuda.init()
    context = cuda.Device(0).make_context()
    try:
        x_gpu = cuda.mem_alloc(1024)
    finally:
        context.pop()

Known limits
------------
The context of pycuda.autoinit is popped by itself and never reported.

References
----------
PyCUDA documentation, FAQ: How does PyCUDA handle threading?; pycuda.driver.Context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import RunEnded


class ContextLeftPushed(Rule):
    """PG603."""

    code: ClassVar[str] = "PG603"
    name: ClassVar[str] = "context-left-pushed"
    severity: ClassVar[Severity] = Severity.WARNING
    source: ClassVar[str] = "exit"

    def on_run_ended(self, event: RunEnded) -> None:
        """Look at the context stacks that are left."""
        if self.state.late:
            return  # who pops the contexts from before is not known
        if event.process == "dies":
            return  # no stack is cleaned up, so nothing aborts
        for stack in self.state.devices.stacks.values():
            for entry in stack:
                # A context without a line was current before the guard was there.
                if entry.automatic or entry.site is None or self.again(event, site=entry.site):
                    continue
                self.report(
                    event,
                    f"this context ({entry.change} here) is still on the stack at the end of the program",
                    "call context.pop() when done, in a finally block or with atexit.register(context.pop)",
                    site=entry.site,
                )
