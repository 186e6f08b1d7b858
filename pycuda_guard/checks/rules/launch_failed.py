"""A kernel failed, and a later call reported it.

What it does
------------
Finds the launch behind an asynchronous failure: an illegal address, a misaligned access, a trap, a
timeout. The finding is placed at the launch, not at the copy or the synchronize that raised. Where the
kernel is looked into, its own rules (PG202, PG205, PG506) name the access instead, with its line; this rule
remains for kernels that are not, such as the example with `--no-kernels`.

Why is this bad
---------------
A launch returns before the kernel runs. Its failure comes out of whatever CUDA call is next, and
every later call in the process fails with the same words, down to the clean-up at exit.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void wild(int *x, long long at) { x[at] = 1; }")
    x_gpu = cuda.mem_alloc(64)
    mod.get_function("wild")(x_gpu, np.int64(1 << 45), block=(1, 1, 1))
    out = np.empty(16, np.int32)
    cuda.memcpy_dtoh(out, x_gpu)

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void tame(int *x, long long at) { if (at < 16) x[at] = 1; }")
    x_gpu = cuda.mem_alloc(64)
    mod.get_function("tame")(x_gpu, np.int64(1 << 45), block=(1, 1, 1))
    out = np.empty(16, np.int32)
    cuda.memcpy_dtoh(out, x_gpu)

Known limits
------------
Where several launches are unfinished when the failure comes out, any of them may be the culprit: the
finding is placed at the first and names the others. With `--blocking` the host waits for each launch, and
the finding is placed at the one that failed.

References
----------
CUDA driver API, Error Handling: CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.collector import Collector
    from pycuda_guard.checks.state import State
    from pycuda_guard.events.model import CallFailed, ContextId, Launch, LaunchFinished

_NAMED = 3

_HELP = "check the kernel's indices and the sizes of the memory given to it"


class LaunchFailed(Rule):
    """PG405."""

    code: ClassVar[str] = "PG405"
    name: ClassVar[str] = "launch-failed"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self, state: State, collector: Collector) -> None:
        super().__init__(state, collector)
        self._lost: set[ContextId] = set()

    def on_call_failed(self, event: CallFailed) -> None:
        """Look for the launch behind the first such failure of a context."""
        if statuses.words(event) not in statuses.KERNEL_FAILURES or event.context in self._lost:
            return
        self._lost.add(event.context)
        if self.explained(event.sequence):
            return
        suspects = statuses.suspects(self.state, event)
        if any(self.explained(launch.sequence) for launch in suspects):
            return
        if not suspects:
            self.report(
                event,
                f"a kernel failed before {event.call}: {_reason(event)}",
                "run it with --blocking to find the one that fails",
            )
            return
        self._report(event, suspects)

    def on_launch_finished(self, event: LaunchFinished) -> None:
        """Report the launch that the host has just waited for, if it failed."""
        launch = self.state.pending.last(event.thread)
        if statuses.words(event) not in statuses.KERNEL_FAILURES or event.context in self._lost or not launch:
            return
        self._lost.add(event.context)
        if not self.explained(launch.sequence):
            self.report(
                event,
                f"kernel `{launch.function}` failed: {_reason(event)}",
                _HELP,
                site=launch.site,
                kernel=messages.kernel_location(launch),
            )

    def _report(self, event: CallFailed, suspects: list[Launch]) -> None:
        launch, *others = suspects
        text = f"kernel `{launch.function}` failed: {_reason(event)}"
        help = _HELP
        places = messages.related(f"the failure showed up here, in {event.call}", event.site)
        if others:
            text = (
                f"one of {len(suspects)} launches failed, of which this is the first "
                f"(kernel `{launch.function}`): {_reason(event)}"
            )
            help = "run it with --blocking to find the one that fails"
            for other in others[:_NAMED]:
                places += messages.related(f"or kernel `{other.function}`, launched here", other.site)
        self.report(
            event,
            text,
            help,
            site=launch.site,
            kernel=messages.kernel_location(launch),
            related=places,
        )


def _reason(event: CallFailed | LaunchFinished) -> str:
    """Return how the kernel failed, with what the device knows beyond the driver's words."""
    kernel = statuses.kernel(event)
    detail = statuses.detail(event).removeprefix(f"kernel {kernel}").lstrip(", ")
    return f"{statuses.words(event)} ({detail})" if detail else statuses.words(event)
