"""Data arrive transposed: one array is in C order, the other in Fortran order.

What it does
------------
Follows a host array of two or more dimensions to the device and back. Where it comes back into an
array of the same shape and the other memory order, and no kernel wrote to the memory in between,
that is reported; likewise a copy between a host array and a device array whose order is known.

Why is this bad
---------------
A copy moves bytes, not elements. `np.asfortranarray`, `.T.copy(order="F")` and arrays from other
libraries have their columns in a row; copied into an array with its rows in a row, the shape is right
and every element is elsewhere.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    a = np.asfortranarray(np.random.rand(8, 8).astype(np.float32))
    a_gpu = cuda.mem_alloc(a.nbytes)
    cuda.memcpy_htod(a_gpu, a)
    b = np.empty((8, 8), np.float32)
    cuda.memcpy_dtoh(b, a_gpu)

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    a = np.ascontiguousarray(np.random.rand(8, 8).astype(np.float32))
    a_gpu = cuda.mem_alloc(a.nbytes)
    cuda.memcpy_htod(a_gpu, a)
    b = np.empty((8, 8), np.float32)
    cuda.memcpy_dtoh(b, a_gpu)

Known limits
------------
A warning, since a transposition may be meant. What a kernel makes of the order is not known.

References
----------
numpy documentation, Internal memory layout of an ndarray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import CopyKind, DeviceOperand, HostOperand
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import Copy

_NAMES = {"C": "C order (rows)", "F": "Fortran order (columns)"}


class ArrayOrder(Rule):
    """PG408."""

    code: ClassVar[str] = "PG408"
    name: ClassVar[str] = "array-order"
    severity: ClassVar[Severity] = Severity.WARNING
    copies = frozenset({CopyKind.HTOD, CopyKind.DTOH, CopyKind.MIXED})
    only_new = frozenset(copies)

    def on_copy(self, event: Copy) -> None:
        """Compare the orders of the two arrays of a copy."""
        destination, source = event.destination, event.source
        if type(destination) is HostOperand:
            host, device, region = destination, source, self.state.source
        elif type(source) is HostOperand:
            host, device, region = source, destination, None
        else:
            return
        if host.shape is None or len(host.shape) < 2 or type(device) is not DeviceOperand:
            return
        other: DeviceOperand | HostOperand = device
        if region is not None and device.order is None:
            self.state.move.varies = True  # what is in the memory by then decides
            contents = region.contents
            fresh = region.copied > max(region.written, self.state.memory.blind)
            if contents is None or not fresh or device.address != region.base:
                return
            other = contents
        if _transposes(host, other) and not self.explained(event.sequence) and not self.again(event):
            self._report(event, host, other)

    def _report(self, event: Copy, host: HostOperand, other: DeviceOperand | HostOperand) -> None:
        names = messages.copy_names(event)
        mine = messages.operand(host, names[0 if host is event.destination else 1])
        what = "the device array" if isinstance(other, DeviceOperand) else "what was copied there"
        orders = _NAMES[host.order or "C"], _NAMES[other.order or "C"]
        self.report(
            event,
            f"{event.call}: {mine} is in {orders[0]}, {what} in {orders[1]}: the elements arrive transposed",
            "give both arrays one order: np.ascontiguousarray(…), or order='F' for the other one",
        )


def _transposes(one: HostOperand, other: DeviceOperand | HostOperand) -> bool:
    """Tell whether two arrays of one shape and dtype have their elements in different order."""
    orders = {one.order, other.order}
    return one.shape == other.shape and one.dtype == other.dtype and orders == {"C", "F"}
