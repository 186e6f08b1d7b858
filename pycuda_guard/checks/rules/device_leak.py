"""Memory piles up: one line's allocations are never freed.

What it does
------------
At the end of the run, looks for lines that have allocated device or pinned memory again and again,
with kernels in between, and whose allocations are all still alive.

Why is this bad
---------------
A buffer or two that live as long as the program are no leak. A list or a cache that gets one more
allocation for each item of work is: a longer run ends with "out of memory".

Example
-------
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    set_two = SourceModule("__global__ void f(float *x) { x[threadIdx.x] = 2; }").get_function("f")
    cache = {}
    for number in range(20):
        cache[number] = cuda.mem_alloc(400)
        set_two(cache[number], block=(100, 1, 1))

Use instead
-----------
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    set_two = SourceModule("__global__ void f(float *x) { x[threadIdx.x] = 2; }").get_function("f")
    frame_gpu = cuda.mem_alloc(400)
    for number in range(20):
        set_two(frame_gpu, block=(100, 1, 1))

Known limits
------------
A note: whether the program still needs the memory is its own affair. Fewer than eight allocations
of one line are not counted as piling up, nor are allocations made one after another with nothing in
between.

References
----------
PyCUDA documentation, DeviceAllocation; CUDA C++ best practices guide, Memory Allocation.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import MemoryKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import RunEnded

_ENOUGH = 8
_OWNED = frozenset({MemoryKind.DEVICE, MemoryKind.POOL, MemoryKind.MANAGED, MemoryKind.PINNED})


class DeviceLeak(Rule):
    """PG207."""

    code: ClassVar[str] = "PG207"
    name: ClassVar[str] = "device-leak"
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "exit"

    def on_run_ended(self, event: RunEnded) -> None:
        """Look for lines whose allocations have piled up."""
        alive: defaultdict[Site, list[Region]] = defaultdict(list)
        for region in self.state.memory.live:
            if region.kind in _OWNED and region.site is not None:
                alive[region.site].append(region)
        for site, regions in alive.items():
            # Kernels in between mean that the count grows with the work, not with the program.
            if len(regions) < _ENOUGH or len({region.launches for region in regions}) < _ENOUGH:
                continue
            nbytes = sum(region.nbytes for region in regions)
            self.report(
                event,
                f"{messages.count(len(regions), 'allocation')} of this line are still alive at the end, "
                f"{messages.size(nbytes)} in all: one more for each round of work",
                "reuse one buffer, or free each when its work is done",
                site=site,
            )
