"""Kernels of a module could not be looked into.

What it does
------------
Says which module's kernels are unknown to the guard and why: a prebuilt cubin, or PTX that it can't
read. Names kernels whose arguments are checked, but whose own accesses are not, because they could not
be instrumented.

Why is this bad
---------------
It is no bug. But what the guard doesn't know it doesn't check: launches of these kernels are made
without comparing their arguments with their parameters.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __device__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
    __global__ void fill(int *x) { x[threadIdx.x] = fibonacci(threadIdx.x); }  // calls what calls itself
    ''')
    x_gpu = gpuarray.zeros(10, np.int32)
    mod.get_function("fill")(x_gpu, block=(10, 1, 1))
    print(x_gpu.get())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void fill(int *x) {
        int before = 1, last = 0;
        for (int n = 0; n < threadIdx.x; n++) { int sum = before + last; before = last; last = sum; }
        x[threadIdx.x] = last;
    }
    ''')
    x_gpu = gpuarray.zeros(10, np.int32)
    mod.get_function("fill")(x_gpu, block=(10, 1, 1))
    print(x_gpu.get())

Known limits
------------
None.

References
----------
CUDA C++ programming guide, Compilation with NVCC: cubin and PTX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import ModuleLoaded

#: kernels that a finding names
_NAMED = 5


class NotInstrumented(Rule):
    """PG901."""

    code: ClassVar[str] = "PG901"
    name: ClassVar[str] = "not-instrumented"
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "guard"

    def on_module_loaded(self, event: ModuleLoaded) -> None:
        """Report a module whose kernels are not known, or not instrumented."""
        if event.library or self.again(event):
            return
        if event.kernels is not None:
            self._left_out(event)
            return
        reason = event.unknown or "their PTX is not known"
        self.report(
            event,
            f"the kernels of this module are not checked: {reason}",
            "load PTX or source (SourceModule, or compile(..., target='ptx')) to have them checked",
        )

    def _left_out(self, event: ModuleLoaded) -> None:
        """Report kernels whose accesses are not checked."""
        if not event.left_out:
            return
        reasons: dict[str, list[str]] = {}
        for name, reason in event.left_out:
            reasons.setdefault(reason, []).append(f"`{name}`" if name else "")
        parts = []
        for reason, names in reasons.items():
            shown = [*names[:_NAMED], f"{len(names) - _NAMED} more"] if len(names) > _NAMED else names
            kernels = "kernel " if len(names) == 1 else "kernels "
            which = "this module's kernels" if "" in names else kernels + messages.listed(shown)
            parts.append(f"the accesses of {which} are not checked: {reason}")
        self.report(
            event, "; ".join(parts), "only their arguments and launches are; nothing else has to change"
        )
