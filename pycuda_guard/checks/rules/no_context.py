"""A CUDA call from a thread that has no current context.

What it does
------------
Reports calls that fail because the calling thread has no context, and tells which thread has one, or that
CUDA was not initialized at all.

Why is this bad
---------------
A context is current in one thread at a time. `pycuda.autoinit` makes one for the main thread only; in
a worker thread the first call raises "invalid device context" or "no currently active context". Without
`pycuda.autoinit` the first call of all raises "initialization error".

Example
-------
    import threading
    import pycuda.autoinit
    import pycuda.driver as cuda

    def work():
        cuda.mem_alloc(1024)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

Use instead
-----------
    import threading
    import pycuda.autoinit
    import pycuda.driver as cuda

    def work():
        pycuda.autoinit.context.push()
        try:
            cuda.mem_alloc(1024).free()
        finally:
            cuda.Context.pop()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

Known limits
------------
An error only if the exception leaves the script, the thread or the test; a note where the program
catches it.

References
----------
PyCUDA documentation, FAQ: How does PyCUDA handle threading?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import CallFailed
    from pycuda_guard.findings import Related

_WORDS = ("no currently active context", statuses.INVALID_CONTEXT)


class NoContext(Rule):
    """PG601."""

    code: ClassVar[str] = "PG601"
    name: ClassVar[str] = "no-context"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_call_failed(self, event: CallFailed) -> None:
        """Look whether a call failed for want of a context."""
        is_first = statuses.words(event) == statuses.NOT_INITIALIZED
        if event.context or not (is_first or any(words in event.message for words in _WORDS)):
            return
        if self.explained(event.sequence) or (event.announced and self.explained(event.announced)):
            return
        self.explain(event.announced)
        if self.again(event, failure=event.sequence):
            return
        if is_first:
            self.report(
                event,
                f"{event.call} is called before CUDA is initialized: there is no cuda.init(), and no context",
                "import pycuda.autoinit first, or call cuda.init() and cuda.Device(0).make_context()",
                failure=event.sequence,
            )
            return
        elsewhere = self._elsewhere(event.thread)
        text = f"{event.call} needs a current context, and this thread has none"
        if elsewhere:
            text += "; another thread has"
        self.report(
            event,
            text,
            "call context.push() first in this thread, and context.pop() at its end"
            if elsewhere
            else "import pycuda.autoinit, or make one with cuda.Device(0).make_context()",
            related=elsewhere,
            failure=event.sequence,
        )

    def _elsewhere(self, thread: int) -> tuple[Related, ...]:
        """Return where another thread got its context."""
        for other, stack in self.state.devices.stacks.items():
            if other != thread and stack:
                return messages.related("another thread's context is made current here", stack[-1].site)
        return ()
