"""A kernel uses shared memory that its block has never written.

What it does
------------
Follows values that were loaded from shared memory that no thread of the block wrote, and reports them
where they are used: in arithmetic, a branch, an address or an atomic. A value that is only stored
again is no use.

Why is this bad
---------------
Shared memory is not cleared: it holds what the last block on that multiprocessor left there. Results
change with the device, the load and the order of blocks.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void count(const int *x, int *total) {
        __shared__ int sum;
        atomicAdd(&sum, x[threadIdx.x]);
        __syncthreads();
        if (threadIdx.x == 0) *total = sum;
    }
    ''')
    total = gpuarray.zeros(1, np.int32)
    mod.get_function("count")(gpuarray.to_gpu(np.ones(64, np.int32)), total, block=(64, 1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void count(const int *x, int *total) {
        __shared__ int sum;
        if (threadIdx.x == 0) sum = 0;
        __syncthreads();
        atomicAdd(&sum, x[threadIdx.x]);
        __syncthreads();
        if (threadIdx.x == 0) *total = sum;
    }
    ''')
    total = gpuarray.zeros(1, np.int32)
    mod.get_function("count")(gpuarray.to_gpu(np.ones(64, np.int32)), total, block=(64, 1, 1))

Known limits
------------
Kernels whose shared memory leaves no room for the guard's own notes are not watched.

References
----------
CUDA C++ programming guide, Shared Memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.kernels import KernelRule, kernel_name, variable_name
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport


class UninitializedShared(KernelRule):
    """PG505."""

    code: ClassVar[str] = "PG505"
    name: ClassVar[str] = "uninitialized-shared"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a value that nobody wrote."""
        if event.reason != "shared-uninitialized" or self.is_told(event):
            return
        scene = self.scene(event)
        access = event.access
        target = f"shared {variable_name(access.variable)}" if access.variable else "shared memory"
        size = f" ({messages.size(access.variable_size)})" if access.variable_size else ""
        name = variable_name(access.variable) if access.variable else "the shared memory"
        self.tell(
            scene,
            f"{kernel_name(event)} uses {target}{size} that its block never wrote: "
            f"{scene.where()}, in {scene.launched()}",
            f"set {name} first, and call __syncthreads() before it is used",
            skipped=False,
        )
