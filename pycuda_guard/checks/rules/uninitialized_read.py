"""A kernel uses device memory that nobody has written.

What it does
------------
Follows values that a kernel loads from bytes that were never written since their allocation, and reports
them where they reach arithmetic, a branch, an address or an atomic. A value that is only stored again
carries the state along to where it is stored. Masked-out bits and padding don't count.

Why is this bad
---------------
`mem_alloc` and `gpuarray.empty` do not clear memory: it holds what was there before. The result may be
right as long as that is zeros.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void count(const int *x, int *bins) { atomicAdd(&bins[x[threadIdx.x]], 1); }
    ''')
    bins = gpuarray.empty(10, np.int32)
    mod.get_function("count")(gpuarray.to_gpu(np.ones(64, np.int32)), bins, block=(64, 1, 1))
    print(bins.get())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void count(const int *x, int *bins) { atomicAdd(&bins[x[threadIdx.x]], 1); }
    ''')
    bins = gpuarray.zeros(10, np.int32)
    mod.get_function("count")(gpuarray.to_gpu(np.ones(64, np.int32)), bins, block=(64, 1, 1))
    print(bins.get())

Known limits
------------
Memory that other libraries allocated counts as written.

References
----------
CUDA driver API, cuMemAlloc: the memory is not cleared; compute-sanitizer's initcheck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, outputs
from pycuda_guard.checks.kernels import KernelRule, kernel_name
from pycuda_guard.events.model import Copy
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.collector import Collector
    from pycuda_guard.checks.kernels import Scene
    from pycuda_guard.checks.state import State
    from pycuda_guard.checks.state.outputs import Gap
    from pycuda_guard.events.model import Contents, KernelReport, RunEnded

_MAX_WAITING = 256


class UninitializedRead(KernelRule):
    """PG303."""

    code: ClassVar[str] = "PG303"
    name: ClassVar[str] = "uninitialized-read"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self, state: State, collector: Collector) -> None:
        super().__init__(state, collector)
        # what follows from an output that a launch left out, until it is known whether the host reads that
        self._waiting: list[tuple[Scene, Gap]] = []

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a value that nobody wrote."""
        if event.reason != "uninitialized" or self.is_told(event):
            return
        scene = self.scene(event)
        region = scene.region
        if region is not None and event.address:
            gap = self._gap(event, scene)
            if self._collector.was_told("PG301", region):
                return
            if gap is not None and len(self._waiting) < _MAX_WAITING:
                self._waiting.append((scene, gap))
                return
        self._report(scene, None)

    def on_contents(self, event: Contents) -> None:
        """Report what waits for an array that is gone."""
        if self._waiting and not isinstance(self.state.announced(event.cause), Copy):
            region = self.state.asked_about(event)
            self._finish([waiting for waiting in self._waiting if waiting[1].region is region])

    def on_run_ended(self, event: RunEnded) -> None:
        """Report what still waits."""
        self._finish(list(self._waiting))

    def _finish(self, waiting: list[tuple[Scene, Gap]]) -> None:
        for scene, gap in waiting:
            self._waiting.remove((scene, gap))
            if not self._collector.was_told("PG301", gap.region) and not self.is_told(scene.event):
                self._report(scene, gap)

    def _gap(self, event: KernelReport, scene: Scene) -> Gap | None:
        """Return the gap of an earlier launch that a report's address is in."""
        for gap in (
            self.state.outputs.left_out(scene.region, event.launch) if scene.region is not None else ()
        ):
            if any(start <= event.address < end for start, end in gap.missing):
                return gap
        return None

    def _report(self, scene: Scene, gap: Gap | None) -> None:
        event = scene.event
        if scene.region is not None:
            self._collector.tell("PG303", scene.region)
        known = scene.region is not None and event.address
        text = f"{kernel_name(event)} uses {scene.target() if known else 'a value'} that nobody has written"
        if known:
            text += f": {scene.element(event.address)}"
        text += f", in {scene.where()}, in {scene.launched()}"
        name = scene.array_name or "the array"
        help = f"write {name} first: copy the data to it, or clear it (gpuarray.zeros, memset_d32)"
        places = scene.story()
        if gap is not None:
            signature = self.state.signature(gap.launch)
            text += f"; {outputs.blame(gap, signature).replace('write them', 'write it')}"
            help = outputs.covering_grid(gap, signature)
            cause = messages.related("the launch that should have written it", gap.launch.site)
            places = (*cause, *places)
        self.tell(scene, text, help, related=places, skipped=False)
