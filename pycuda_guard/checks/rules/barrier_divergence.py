"""Threads of a block wait at different barriers.

What it does
------------
With `--races`, reports a barrier at which some threads of the block wait while others wait at another
one, and a `__syncwarp()` whose mask lacks the calling lane. Threads that have left the kernel count as
arrived. A block none of whose threads can go on, because each waits for others that wait elsewhere or
have left, is reported and ended instead of hanging, on a GPU as on the CPU device.

Why is this bad
---------------
`__syncthreads()` waits for all threads of the block at the same place. Where they wait in different
places the result is undefined: one device takes any barrier for any other, so that memory is read
before it was written; another hangs.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void shift(int *x) {
        __shared__ int s[64];
        s[threadIdx.x] = x[threadIdx.x];
        if (threadIdx.x > 0) {
            __syncthreads();
            x[threadIdx.x] = s[threadIdx.x - 1];
        }
        __syncthreads();
        x[threadIdx.x] += s[0];
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.arange(64, dtype=np.int32))
    mod.get_function("shift")(x_gpu, block=(64, 1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void shift(int *x) {
        __shared__ int s[64];
        s[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        if (threadIdx.x > 0) x[threadIdx.x] = s[threadIdx.x - 1];
        __syncthreads();
        x[threadIdx.x] += s[0];
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.arange(64, dtype=np.int32))
    mod.get_function("shift")(x_gpu, block=(64, 1, 1))

Known limits
------------
Named barriers and barriers of a part of the block are not compared; where they wait for ever that is
found. A barrier inside `if (i < n)` with nothing after it is the same machine code as an early return, and
silent. On a GPU a kernel still hangs in which a thread tests a flag over and over that nobody sets, or in
which lanes of a warp wait for one another in different operations (a shuffle here, a vote there; masks that
name one another in a circle). A mask that lacks the calling lane is an illegal instruction there: the
context is lost.

References
----------
CUDA C++ programming guide, Synchronization Functions; PTX ISA, bar.sync.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.kernels import kernel_name, launch_text
from pycuda_guard.checks.races import RaceRule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import CallFailed, KernelAccess, KernelReport, Launch, LaunchFinished

_HELP = "move __syncthreads() out of the branch, so that all threads come to it"
_MEET = "let all threads that a barrier or a mask of __syncwarp() is for come to it, or leave the kernel"


def _place(other: KernelAccess) -> str:
    """Return where other threads wait: ``at the barrier of line 5``."""
    if other.kind == "warp":
        return f"in an operation of their warp at line {other.line}"
    return f"at the barrier of line {other.line}"


class BarrierDivergence(RaceRule):
    """PG503."""

    code: ClassVar[str] = "PG503"
    name: ClassVar[str] = "barrier-divergence"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_call_failed(self, event: CallFailed) -> None:
        """Look at a failure: a block whose threads wait for one another for ever."""
        if statuses.deadlock(event) is None or self.explained(event.sequence):
            return
        suspects = statuses.suspects(self.state, event)
        if suspects:
            self._tell_deadlock(event, suspects[0])

    def on_launch_finished(self, event: LaunchFinished) -> None:
        """Look at the launch that the host has just waited for."""
        launch = self.state.pending.last(event.thread)
        if launch is not None and statuses.deadlock(event) is not None:
            self._tell_deadlock(event, launch)

    def _tell_deadlock(self, event: CallFailed | LaunchFinished, launch: Launch) -> None:
        found = statuses.deadlock(event)
        if found is None or self.explained(launch.sequence):
            return
        block, waits = found
        self.explain(launch.sequence)
        self.report(
            event,
            f"kernel `{launch.function}` hangs: no thread of block {block} can go on: {waits}; "
            f"in {launch_text(launch)}",
            _MEET,
            site=launch.site,
            kernel=messages.kernel_location(launch),
        )

    def _tell_stall(self, event: KernelReport) -> None:
        """Report a block whose threads would have waited for ever."""
        if not self.is_new_place(event):
            return
        scene = self.scene(event)
        here, left, elsewhere = event.waiting
        waits = [f"{here} of its {here + left + elsewhere} threads wait here"]
        if elsewhere:
            other = event.other
            there = f", {_place(other)}" if other is not None and other.line and not event.library else ""
            waits.append(f"{elsewhere} wait elsewhere, first thread {event.other_thread}{there}")
        if left:
            waits.append(f"{left} have left the kernel")
        text = (
            f"{kernel_name(event)} hangs: no thread of block {event.block_index} can go on: "
            f"{'; '.join(waits)}; in {scene.launched()}. "
            "The guard has ended the block: what the launch computed means nothing"
        )
        self.tell_pair(scene, text, _MEET)

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a barrier that did not bring all threads together."""
        if event.reason == "stall":
            self._tell_stall(event)
            return
        if event.reason != "divergence" or not self.is_new(event):
            return
        scene = self.scene(event)
        other = event.other
        who = f"{kernel_name(event)}: thread {event.thread_index} of block {event.block_index}"
        if other is not None and other.kind == "mask":
            text = f"{who} calls __syncwarp() with a mask that lacks its own lane, in {scene.launched()}"
            self.tell_pair(scene, text, "name the calling lane in the mask, or leave it out of the call")
            return
        there = f" at line {other.line}" if other is not None and other.line and not event.library else ""
        text = f"{who} waits at this barrier while others of its block wait at another one{there}"
        self.tell_pair(scene, f"{text}, in {scene.launched()}", _HELP)
