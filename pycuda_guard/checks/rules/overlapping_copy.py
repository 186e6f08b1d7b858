"""Source and destination of a device-to-device copy overlap.

What it does
------------
Compares the two ranges of a device-to-device copy, row by row where both have a pitch.

Why is this bad
---------------
The copy is done by many threads in no particular order. Where the ranges overlap, bytes are read
after they were overwritten: the result depends on the device and the size, and may look right on
one of them.

Example
-------
    import pycuda.autoinit
    import pycuda.driver as cuda

    history = cuda.mem_alloc(4096)
    cuda.memset_d8(history, 0, 4096)
    cuda.memcpy_dtod(int(history) + 1024, int(history), 3072)  # shift down by a quarter

Use instead
-----------
    import pycuda.autoinit
    import pycuda.driver as cuda

    history, spare = cuda.mem_alloc(4096), cuda.mem_alloc(4096)
    cuda.memset_d8(history, 0, 4096)
    cuda.memcpy_dtod(int(spare) + 1024, int(history), 3072)
    history, spare = spare, history

Known limits
------------
A copy of a range onto exactly itself changes nothing and is not reported. Pitched copies are compared
where both pitches agree, and 3D copies are not.

References
----------
CUDA driver API, cuMemcpyDtoD; C standard, memcpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import CopyKind, DeviceOperand
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import Copy


class OverlappingCopy(Rule):
    """PG210."""

    code: ClassVar[str] = "PG210"
    name: ClassVar[str] = "overlapping-copy"
    severity: ClassVar[Severity] = Severity.ERROR
    copies = frozenset({CopyKind.DTOD, CopyKind.PEER, CopyKind.MIXED})
    only_new = frozenset(copies)

    def on_copy(self, event: Copy) -> None:
        """Compare the ranges of a device-to-device copy."""
        destination, source = event.destination, event.source
        if type(destination) is not DeviceOperand or type(source) is not DeviceOperand:
            return
        shared = _overlap(destination, source)
        if not shared or self.explained(event.sequence) or self.again(event):
            return
        names = messages.copy_names(event)
        region = self.state.source
        inside = f" of {messages.region_name(region)}" if region is not None else ""
        self.report(
            event,
            f"{event.call} of {messages.extent(source.extent)} from {names[1] or 'the source'} to "
            f"{names[0] or 'the destination'}: {messages.size(shared)}{inside} are in both",
            "copy through a second buffer, or let a kernel move the data in a safe order",
            related=messages.story(region) if region is not None else (),
        )


def _overlap(destination: DeviceOperand, source: DeviceOperand) -> int:
    """Return how many bytes of a row lie in both ranges; 0 where none do or it can't be told."""
    low, high = destination.extent, source.extent
    distance = destination.address + low.offset - source.address - high.offset
    width, rows = high.width, high.rows
    if distance == 0 or low.slices != 1 or high.slices != 1 or width <= 0:
        return 0
    if rows == 1:
        return max(width - abs(distance), 0)
    pitch = high.pitch
    if pitch != low.pitch or pitch < width:
        return 0
    # Row i of the one lies against row i + shift of the other, or the one after that.
    shift = distance // pitch
    gaps = [abs(distance - n * pitch) for n in (shift, shift + 1) if abs(n) < rows]
    return max((width - gap for gap in gaps if gap < width), default=0)
