"""Kernels of a module could not be looked into.

What it does
------------
Says which module's kernels are unknown to the guard and why: a prebuilt cubin, or PTX that it can't
read.

Why is this bad
---------------
It is no bug. But what the guard doesn't know it doesn't check: launches of these kernels are made
without comparing their arguments with their parameters.

Example
-------
    import pycuda.autoinit
    import pycuda.driver as cuda

    mod = cuda.module_from_file("kernels.cubin")  # made by nvcc -cubin kernels.cu

Use instead
-----------
    import pycuda.autoinit
    from pycuda.compiler import SourceModule

    with open("kernels.cu") as file:
        mod = SourceModule(file.read())

Known limits
------------
None.

References
----------
CUDA C++ programming guide, Compilation with NVCC: cubin and PTX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.base import Rule
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import ModuleLoaded


class NotInstrumented(Rule):
    """PG901."""

    code: ClassVar[str] = "PG901"
    name: ClassVar[str] = "not-instrumented"
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "guard"

    def on_module_loaded(self, event: ModuleLoaded) -> None:
        """Report a module whose kernels are not known."""
        if event.kernels is not None or event.library or self.again(event):
            return
        reason = event.unknown or "their PTX is not known"
        self.report(
            event,
            f"the kernels of this module are not checked: {reason}",
            "load PTX or source (SourceModule, or compile(..., target='ptx')) to have them checked",
        )
