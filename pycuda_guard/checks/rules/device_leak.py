"""Memory piles up: one line's allocations are never freed.

What it does
------------
At the end of the run, looks for lines that have allocated device or pinned memory, or made streams or
events, again and again with kernels in between, and of which eight or more are still alive.

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
A note: whether the program still needs them is its own affair. Fewer than eight of one line do not count as
piling up, nor do those made one after another with nothing in between.

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
    from pycuda_guard.events.model import RunEnded

_ENOUGH = 8
_OWNED = frozenset({MemoryKind.DEVICE, MemoryKind.POOL, MemoryKind.MANAGED, MemoryKind.PINNED})

_HELPS = {
    "allocation": "reuse one buffer, or free each when its work is done",
    "stream": "make a few streams once and use them again",
    "event": "make an event once and record it again",
}


class DeviceLeak(Rule):
    """PG207."""

    code: ClassVar[str] = "PG207"
    name: ClassVar[str] = "device-leak"
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "exit"

    def on_run_ended(self, event: RunEnded) -> None:
        """Look for lines whose allocations, streams or events have piled up."""
        for (site, thing), found in self._alive().items():
            # Kernels in between mean that the count grows with the work, not with the program.
            if len(found) < _ENOUGH or len({launches for launches, _ in found}) < _ENOUGH:
                continue
            nbytes = sum(size for _, size in found)
            in_all = f", {messages.size(nbytes)} in all" if nbytes else ""
            self.report(
                event,
                f"{messages.count(len(found), thing)} of this line are still alive at the end{in_all}: "
                "one more for each round of work",
                _HELPS[thing],
                site=site,
            )

    def _alive(self) -> dict[tuple[Site, str], list[tuple[int, int]]]:
        """Return what is alive by line and kind: after how many launches it was made, and its bytes."""
        alive: defaultdict[tuple[Site, str], list[tuple[int, int]]] = defaultdict(list)
        for region in self.state.memory.live:
            if region.kind in _OWNED and region.site is not None:
                alive[region.site, "allocation"].append((region.launches, region.nbytes))
        owners = self.state.owners
        for thing, owned in (("stream", owners.streams), ("event", owners.events)):
            for one in owned.values():
                if one.site is not None:
                    alive[one.site, thing].append((one.launches, 0))
        return alive
