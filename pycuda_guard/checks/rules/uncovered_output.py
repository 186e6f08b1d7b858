"""The host reads elements that no thread has written.

What it does
------------
Looks at every copy to the host for bytes that nobody has written since their allocation. It is an error
where a launch was to write them by its own arguments (`if (i < n) y[i] = …` with `n` beyond the last
thread), and where nobody ever wrote to that memory at all. Without such evidence it is a note: a
program may copy a whole buffer and use a part of it. Padding does not count.

Why is this bad
---------------
Fresh memory holds whatever was there before: zeros on one day, an older array's values on the next.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void fill(int *y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) y[i] = i;
    }
    ''')
    y_gpu = gpuarray.empty(1000, np.int32)
    mod.get_function("fill")(y_gpu, np.int32(1000), block=(256, 1, 1), grid=(3, 1))
    print(y_gpu.get())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void fill(int *y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) y[i] = i;
    }
    ''')
    y_gpu = gpuarray.empty(1000, np.int32)
    mod.get_function("fill")(y_gpu, np.int32(1000), block=(256, 1, 1), grid=(4, 1))
    print(y_gpu.get())

Known limits
------------
The evidence has to be plain: a guard that compares the thread's index with arguments, and a place that
follows from both. Where data or a loop decide, there is a note only.

References
----------
CUDA C++ programming guide, Thread Hierarchy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, outputs
from pycuda_guard.checks.base import Rule
from pycuda_guard.checks.state import ranges
from pycuda_guard.events.model import Copy, DeviceOperand, HostOperand, MemoryKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.outputs import Gap
    from pycuda_guard.checks.state.ranges import Ranges
    from pycuda_guard.events.model import Contents

#: fewer bytes than this between written ones may be the padding of a structure
_PADDING = 8

_OWN = frozenset({MemoryKind.DEVICE, MemoryKind.POOL})


class UncoveredOutput(Rule):
    """PG301."""

    code: ClassVar[str] = "PG301"
    name: ClassVar[str] = "uncovered-output"
    severity: ClassVar[Severity] = Severity.ERROR
    source: ClassVar[str] = "kernel"

    def on_contents(self, event: Contents) -> None:
        """Look at what a copy to the host reads."""
        if not event.unwritten and not any(writer == 0 for _, _, writer in event.runs):
            return
        copy = self.state.announced(event.cause)
        region = self.state.asked_about(event)
        if not isinstance(copy, Copy) or region is None:
            return
        asked = outputs.asked(self.state, event)
        missing = ranges.common(outputs.unwritten(event), asked)
        if not missing:
            return
        for gap in self.state.outputs.left_out(region, event.cause):
            hit = ranges.common(missing, gap.missing)
            if hit and not self._is_explained(gap):
                self._report_gap(event, copy, gap, hit)
                return
        never = missing == asked or event.unwritten >= event.nbytes
        if never and self._never_written(region):
            if not self._collector.was_told("PG303", region):
                self._report_never(event, copy, region)
        elif not self.explained(region.written):
            self._note(event, copy, region, missing)

    def _is_explained(self, gap: Gap) -> bool:
        """Tell whether the launch itself was found wrong."""
        number = gap.launch.sequence
        return self.explained(number) and number not in self._collector.in_kernel

    def _never_written(self, region: Region) -> bool:
        """Tell whether nothing at all ever wrote to an allocation that the program owns."""
        untouched = not region.written and not region.copied and region.kind in _OWN
        unknown = self.state.late or self.state.memory.blind
        return untouched and not unknown

    def _report_gap(self, event: Contents, copy: Copy, gap: Gap, hit: Ranges) -> None:
        self._collector.tell("PG301", gap.region)
        launch = gap.launch
        self.explain(launch.sequence)
        if self.again(event, site=launch.site, kernel=launch.function):
            return
        signature = self.state.signature(launch)
        item = outputs.item_size(gap, signature)
        if event.runs:
            text = f"{outputs.share(gap, hit, item)} were never written, and {copy.call} reads them: "
            text += outputs.which(gap, hit, item)
        else:
            text = f"elements of {outputs.array_name(gap)} were never written, and {copy.call} reads them: "
            text += f"the first is {outputs.element(gap, hit[0][0], item)}"
        self.report(
            event,
            f"{text}; {outputs.blame(gap, signature)}",
            outputs.covering_grid(gap, signature),
            site=launch.site,
            kernel=messages.kernel_location(launch),
            related=(*messages.related("read here", copy.site), *messages.allocated(gap.region)),
        )

    def _report_never(self, event: Contents, copy: Copy, region: Region) -> None:
        self._collector.tell("PG301", region)
        if self.again(event, site=copy.site):
            return
        name = messages.copy_names(copy)[1] or messages.region_name(region)
        self.report(
            event,
            f"{copy.call} of {messages.size(event.nbytes)} from {name}, which nothing has written since it "
            "was allocated: no copy, no memset and no kernel",
            "copy from the array that the kernel wrote, or fill this one first",
            site=copy.site,
            related=messages.allocated(region),
        )

    def _note(self, event: Contents, copy: Copy, region: Region, missing: Ranges) -> None:
        """Say that a copy reads bytes that nobody wrote, without evidence that somebody should have."""
        source, destination = copy.source, copy.destination
        dtype = source.dtype if isinstance(source, DeviceOperand) else None
        if dtype is None and isinstance(destination, HostOperand):
            dtype = destination.dtype
        item = messages.item_size(dtype) or 1
        start = event.address
        count = event.unwritten
        if event.runs:
            whole = [
                (start + -(-(a - start) // item) * item, start + (b - start) // item * item)
                for a, b in missing
            ]
            count = sum(b - a for a, b in whole if b - a >= max(item, _PADDING) or (b - a >= item > 1))
        if count <= 0 or self.again(event, site=copy.site, severity=Severity.NOTE):
            return
        name = messages.copy_names(copy)[1] or messages.region_name(region)
        inside = messages.elements(count, dtype)
        self.report(
            event,
            f"{copy.call} from {name} reads {messages.size(count)}{f' ({inside})' if inside else ''} that "
            f"nobody has written, the first at byte {missing[0][0] - region.base}",
            "copy only what was written, or clear the array first, with gpuarray.zeros or a memset",
            site=copy.site,
            related=messages.allocated(region),
            severity=Severity.NOTE,
        )
