"""A child process uses CUDA that its parent had initialized before the fork.

What it does
------------
Notes whether a process had called `cuInit` when it forked (`os.fork`, or `multiprocessing` with its start
method "fork"), and reports the first use of CUDA in such a child.

Why is this bad
---------------
CUDA does not survive a fork. In the child every call fails with "initialization error" or "invalid device
context", or hangs; making a new context there does not help.

Example
-------
    import multiprocessing
    import pycuda.autoinit
    import pycuda.driver as cuda

    def work():
        cuda.mem_alloc(1024)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()

Use instead
-----------
    import multiprocessing

    def work():
        import pycuda.autoinit
        import pycuda.driver as cuda

        cuda.mem_alloc(1024).free()

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()

Known limits
------------
Only a `cuInit` that PyCUDA knows of counts: where another library has called it and PyCUDA is first imported
in the child, nothing is reported. A note where the program catches the exception.

References
----------
CUDA C++ programming guide, Initialization; Python documentation, multiprocessing: Contexts and start methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.collector import Collector
    from pycuda_guard.checks.state import State
    from pycuda_guard.events.model import (
        Allocated,
        CallFailed,
        ContextChanged,
        Event,
        Forked,
        ModuleLoaded,
        StreamCreated,
        Synchronized,
    )

#: what PyCUDA itself does at the end of a process that inherited a context
_CLEANING = ("Context.pop", "Context.detach")


class ForkAfterInit(Rule):
    """PG605."""

    code: ClassVar[str] = "PG605"
    name: ClassVar[str] = "fork-after-init"
    severity: ClassVar[Severity] = Severity.ERROR
    holds_after_fork: ClassVar[bool] = True

    def __init__(self, state: State, collector: Collector) -> None:
        super().__init__(state, collector)
        self._fork: Forked | None = None

    def on_forked(self, event: Forked) -> None:
        """Note that CUDA does not work in this process."""
        if event.initialized:
            self._fork = event

    def on_call_failed(self, event: CallFailed) -> None:
        """Report a call that failed."""
        if event.call not in _CLEANING:
            self._used(event, event.call, failure=event.sequence)

    def on_allocated(self, event: Allocated) -> None:
        """Report an allocation that went through all the same."""
        if self._fork is not None:
            self._used(event, event.call)

    def on_context_changed(self, event: ContextChanged) -> None:
        """Report a new context."""
        if event.change in ("created", "retained", "attached", "pushed"):
            self._used(event, f"a context ({event.change})")

    def on_stream_created(self, event: StreamCreated) -> None:
        """Report a new stream."""
        self._used(event, "Stream()")

    def on_module_loaded(self, event: ModuleLoaded) -> None:
        """Report a module."""
        self._used(event, "a module")

    def on_synchronized(self, event: Synchronized) -> None:
        """Report that the host waits for something in vain."""
        if self._fork is not None:
            self._used(event, f"{event.scope}.synchronize()")

    def _used(self, event: Event, what: str, failure: int | None = None) -> None:
        if self._fork is None or self.again(event, failure=failure):
            return
        self.report(
            event,
            f"{what} in a child process forked after CUDA was initialized: CUDA does not work there",
            'start it afresh, with multiprocessing.get_context("spawn"), or import pycuda.autoinit in the '
            "child alone",
            related=messages.related("the process is forked here", self._fork.site),
            failure=failure,
        )
