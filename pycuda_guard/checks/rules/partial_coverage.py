"""A launch leaves a part of its output as it was.

What it does
------------
Works out, from the kernel's index arithmetic and its guard, which elements a launch means to write
(`if (i < n) x[i] = …` means the first `n`), and compares with what its threads do write. Elements that it
leaves out are reported when the host first reads them, or at the end, if they still hold what was
there before: what the host copied or what an earlier pass over the whole array left.

Why is this bad
---------------
A part of the result is stale. With `grid=(n // 256, 1)`, it is the last elements, and only for some `n`.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void twice(float *x, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) x[i] *= 2;
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.ones(1000, np.float32))
    mod.get_function("twice")(x_gpu, np.int32(1000), block=(256, 1, 1), grid=(1000 // 256, 1))
    print(x_gpu.get())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void twice(float *x, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) x[i] *= 2;
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.ones(1000, np.float32))
    mod.get_function("twice")(x_gpu, np.int32(1000), block=(256, 1, 1), grid=(-(-1000 // 256), 1))
    print(x_gpu.get())

Known limits
------------
A program that passes a larger bound than it launches threads for, on purpose, and then reads all of the
array, looks the same. Kernels with an offset among their arguments (`i = first + …`) are left alone: the
bound is where the last of their launches ends.

References
----------
CUDA C++ programming guide, Thread Hierarchy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, outputs
from pycuda_guard.checks.base import Rule
from pycuda_guard.checks.state import ranges
from pycuda_guard.checks.state.outputs import HOST, NOBODY
from pycuda_guard.events.model import Copy, Launch
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.outputs import Gap
    from pycuda_guard.checks.state.ranges import Ranges
    from pycuda_guard.events.model import Contents


class PartialCoverage(Rule):
    """PG302."""

    code: ClassVar[str] = "PG302"
    name: ClassVar[str] = "partial-coverage"
    severity: ClassVar[Severity] = Severity.WARNING
    source: ClassVar[str] = "kernel"

    def on_contents(self, event: Contents) -> None:
        """Look at who wrote what launches have left out, where it is read or lost."""
        if not event.runs:
            return
        region = self.state.asked_about(event)
        gaps = self.state.outputs.gaps(region, event.cause) if region is not None else []
        if not gaps:
            return
        copy = self.state.announced(event.cause)
        read = copy if isinstance(copy, Copy) else None
        asked = outputs.asked(self.state, event)
        for gap in gaps:
            if (read is None and gap.spared) or self.explained(gap.launch.sequence):
                continue
            stale = ranges.common(ranges.common(gap.missing, asked), self._stale(event, gap))
            if stale:
                self._report(event, read, gap, stale)
                return

    def _stale(self, event: Contents, gap: Gap) -> Ranges:
        """Return the bytes that hold what was there before the launch, put there with all the others."""
        found = []
        for start, end, writer in outputs.written_by(event):
            if writer == HOST:
                old = self.state.outputs.filled_at_once(gap, start, end, event.cause)
            else:
                old = writer > NOBODY and self._passed_before(gap, writer)
            if old:
                found.append((start, end))
        return ranges.merged(found)

    def _passed_before(self, gap: Gap, writer: int) -> bool:
        """Tell whether an earlier launch wrote all that this one means to.

        One that wrote a part of it may be the other half of the work.
        """
        launch = self.state.announced(writer)
        if (
            not isinstance(launch, Launch)
            or writer >= gap.launch.sequence
            or launch.stream != gap.launch.stream
        ):
            return False
        if launch.library:
            return True
        arguments = launch.arguments or ()
        plans = self.state.plans
        for meant in plans.meant(plans.of_launch(launch)):
            value = arguments[meant.parameter].value
            if type(value) is int and not meant.missing and self.state.memory.find(value) is gap.region:
                return value + meant.low <= gap.low and gap.high <= value + meant.high
        return False

    def _report(self, event: Contents, read: Copy | None, gap: Gap, stale: Ranges) -> None:
        launch = gap.launch
        if self.again(event, site=launch.site, kernel=launch.function):
            return
        signature = self.state.signature(launch)
        item = outputs.item_size(gap, signature)
        text = f"{outputs.share(gap, stale, item)} keep their old values: {outputs.which(gap, stale, item)}"
        places = messages.related("read here", read.site) if read is not None else ()
        self.report(
            event,
            f"{text}; {outputs.blame(gap, signature)}",
            outputs.covering_grid(gap, signature),
            site=launch.site,
            kernel=messages.kernel_location(launch),
            related=(*places, *messages.allocated(gap.region)),
        )
