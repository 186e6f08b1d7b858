"""A buffer is too small for what a kernel's arguments tell it to write.

What it does
------------
Looks at launches of kernels that could not be instrumented (PG901 names them). Their index arithmetic and
their guard (`if (i < n) x[i] = …`) say, with the numbers of the launch, which elements its threads write;
where the last one lies past the end of the buffer, the launch is reported before it is made.

Why is this bad
---------------
The kernel writes to memory of others, or ends with an error that every later call reports.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __device__ int depth(int n) { return n < 2 ? n : depth(n - 1) + depth(n - 2); }  // recursive
    __global__ void fill(int *x, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) x[i] = depth(i % 5);
    }
    ''')
    x_gpu = cuda.mem_alloc(100)
    mod.get_function("fill")(x_gpu, np.int32(100), block=(128, 1, 1), grid=(1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __device__ int depth(int n) { return n < 2 ? n : depth(n - 1) + depth(n - 2); }
    __global__ void fill(int *x, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) x[i] = depth(i % 5);
    }
    ''')
    x_gpu = cuda.mem_alloc(100 * np.dtype(np.int32).itemsize)
    mod.get_function("fill")(x_gpu, np.int32(100), block=(128, 1, 1), grid=(1, 1))
    cuda.memcpy_dtoh(np.empty(100, np.int32), x_gpu)

Known limits
------------
Only what is written, and only where all that decides on it is comparisons of the thread's indices with the
arguments. Kernels that are instrumented are watched at each access instead (PG202).

References
----------
CUDA C++ programming guide, Thread Hierarchy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import Launch
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.coverage import Meant
    from pycuda_guard.checks.state.modules import Kernel


class UndersizedBuffer(Rule):
    """PG208."""

    code: ClassVar[str] = "PG208"
    name: ClassVar[str] = "undersized-buffer"
    severity: ClassVar[Severity] = Severity.WARNING
    source: ClassVar[str] = "kernel"
    only_new = frozenset({Launch})

    def on_launch(self, event: Launch) -> None:
        """Compare the end of what a launch is certain to write with the end of each buffer."""
        plan = self.state.plan
        kernel = plan.kernel
        if kernel is None or not kernel.left_out or event.library:
            return
        for meant in self.state.plans.meant(plan):
            value = (event.arguments or ())[meant.parameter].value
            region = plan.regions[meant.parameter]
            if region is None or type(value) is not int or meant.reach is None:
                continue
            if value + meant.reach > region.end and not self.again(event, kernel=event.function):
                self._report(event, kernel, meant, region, value)

    def _report(self, event: Launch, kernel: Kernel, meant: Meant, region: Region, value: int) -> None:
        assert meant.reach is not None
        parameter = kernel.signature.parameters[meant.parameter]
        item = parameter.pointee_size or meant.width
        name = messages.array_argument(event, meant.parameter) or messages.region_name(region)
        last = (meant.reach - 1) // item
        room = max(region.end - value, 0)
        self.report(
            event,
            f"kernel `{event.function}` writes element {last} through `{messages.declared(parameter)}`, but "
            f"{name} has room for {room // item} (block={event.block}, grid={event.grid})",
            f"allocate {value - region.base + meant.reach} bytes for {name}, or let the kernel write less",
            kernel=messages.kernel_location(event),
            related=messages.allocated(region),
        )
