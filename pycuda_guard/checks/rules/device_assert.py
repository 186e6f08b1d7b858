"""An assertion in a kernel fails, or the kernel stops itself.

What it does
------------
Reports `assert()` that fails in a kernel, and `__trap()`, with the first thread and the kernel's line.

Why is this bad
---------------
The program itself has found a state that must not be. On a device, the kernel ends with "device-side
assert triggered" or an unspecified failure, which comes out of some later call, and every CUDA call of
the process fails from then on.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    #include <assert.h>
    __global__ void check(const int *x) { assert(x[threadIdx.x] > 0); }
    ''')
    mod.get_function("check")(gpuarray.to_gpu(np.arange(32, dtype=np.int32)), block=(32, 1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    #include <assert.h>
    __global__ void check(const int *x) { assert(x[threadIdx.x] >= 0); }
    ''')
    mod.get_function("check")(gpuarray.to_gpu(np.arange(32, dtype=np.int32)), block=(32, 1, 1))

Known limits
------------
With `-DNDEBUG` there are no assertions.

References
----------
CUDA C++ programming guide, Assertion and Trap function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.kernels import KernelRule, kernel_name
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport

_WHAT = {"assert": "an assertion fails in {}", "trap": "{} stops itself by a trap"}


class DeviceAssert(KernelRule):
    """PG506."""

    code: ClassVar[str] = "PG506"
    name: ClassVar[str] = "device-assert"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at an assertion that failed."""
        if event.reason not in _WHAT or self.is_told(event):
            return
        scene = self.scene(event)
        what = _WHAT[event.reason].format(kernel_name(event))
        self.tell(
            scene,
            f"{what}: {scene.where()}, in {scene.launched()}",
            "look at what the kernel was given for that thread; the condition is on the kernel's line",
            skipped=False,
        )
