"""Threads of a block wait at different barriers.

What it does
------------
With `--races`, reports a barrier at which some threads of the block wait while others wait at another
one. Threads that have left the kernel count as arrived.

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
Named barriers and barriers of a part of the block are not compared. A barrier inside `if (i < n)` with
nothing after it is the same machine code as an early return, and silent.

References
----------
CUDA C++ programming guide, Synchronization Functions; PTX ISA, bar.sync.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.kernels import kernel_name
from pycuda_guard.checks.races import RaceRule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport


class BarrierDivergence(RaceRule):
    """PG503."""

    code: ClassVar[str] = "PG503"
    name: ClassVar[str] = "barrier-divergence"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a barrier that did not bring all threads together."""
        if event.reason != "divergence" or not self.is_new(event):
            return
        scene = self.scene(event)
        other = event.other
        there = f" at line {other.line}" if other is not None and other.line and not event.library else ""
        text = (
            f"{kernel_name(event)}: thread {event.thread_index} of block {event.block_index} waits at this "
        )
        text += f"barrier while others of its block wait at another one{there}, in {scene.launched()}"
        self.tell_pair(scene, text, "move __syncthreads() out of the branch, so that all threads come to it")
