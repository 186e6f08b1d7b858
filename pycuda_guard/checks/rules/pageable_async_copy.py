"""An asynchronous copy uses pageable host memory.

What it does
------------
Reports a `*_async` copy (also `GPUArray.set_async` and `get_async`) whose host side is an ordinary
numpy array.

Why is this bad
---------------
Only page-locked memory can be copied while the host goes on. With an ordinary array the driver
stages the data through a buffer of its own, mostly blocking the call: nothing overlaps, and whether
the array may be touched at once is unspecified.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x = np.ones(1000, np.float32)
    x_gpu = cuda.mem_alloc(x.nbytes)
    stream = cuda.Stream()
    cuda.memcpy_htod_async(x_gpu, x, stream)
    stream.synchronize()

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x = cuda.pagelocked_empty(1000, np.float32)
    x[:] = 1
    x_gpu = cuda.mem_alloc(x.nbytes)
    stream = cuda.Stream()
    cuda.memcpy_htod_async(x_gpu, x, stream)
    stream.synchronize()

Known limits
------------
None.

References
----------
CUDA driver API, API synchronization behavior; CUDA C++ best practices guide, Pinned Memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import CopyKind, HostKind, HostOperand
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import Copy


class PageableAsyncCopy(Rule):
    """PG106."""

    code: ClassVar[str] = "PG106"
    name: ClassVar[str] = "pageable-async-copy"
    severity: ClassVar[Severity] = Severity.NOTE
    copies = frozenset({CopyKind.HTOD, CopyKind.DTOH, CopyKind.ARRAY, CopyKind.MIXED})
    only_new = frozenset(copies)

    def on_copy(self, event: Copy) -> None:
        """Look at the host memory of an asynchronous copy."""
        if not event.asynchronous:
            return
        for position, operand in enumerate((event.destination, event.source)):
            if isinstance(operand, HostOperand) and operand.kind is HostKind.PAGEABLE:
                if operand.extent.width > 0 and not self.again(event):
                    self._report(event, position, operand)
                return

    def _report(self, event: Copy, position: int, operand: HostOperand) -> None:
        name = messages.operand(operand, messages.copy_names(event)[position])
        inside = f"{operand.shape}, np.{operand.dtype}" if operand.shape and operand.dtype else "shape, dtype"
        self.report(
            event,
            f"{event.call}: {name} is pageable memory, so the copy is staged by the driver and overlaps with "
            "nothing",
            f"make it page-locked: cuda.pagelocked_empty({inside})",
        )
