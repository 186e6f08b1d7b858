"""Device memory is freed a second time.

What it does
------------
Reports a second `free()` of an allocation or of a block of a memory pool.

Why is this bad
---------------
PyCUDA raises "invalid resource handle". It mostly means that two parts of the program think that
they own the memory, and that one of them goes on using it after the other has freed it.

Example
-------
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(1024)
    try:
        x_gpu.free()
    finally:
        x_gpu.free()

Use instead
-----------
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(1024)
    try:
        pass
    finally:
        x_gpu.free()

Known limits
------------
None.

References
----------
PyCUDA documentation, DeviceAllocation.free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import Freed
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import CallFailed


class DoubleFree(Rule):
    """PG206."""

    code: ClassVar[str] = "PG206"
    name: ClassVar[str] = "double-free"
    severity: ClassVar[Severity] = Severity.ERROR
    only_odd = frozenset({Freed})

    def on_freed(self, event: Freed) -> None:
        """Look whether the memory was freed before."""
        if event.how != "free":
            return
        region = self.state.memory.find_freed(event.address)
        if region is not None and region.base == event.address and region.kind is event.kind:
            self._report(event, event, region)

    def on_call_failed(self, event: CallFailed) -> None:
        """Look at a free that PyCUDA refused."""
        if statuses.STALE_HANDLE not in event.message or self.explained(event.announced):
            return
        freed = self.state.announced(event.announced)
        if isinstance(freed, Freed):
            self._report(event, freed, None)

    def _report(self, event: Freed | CallFailed, freed: Freed, region: Region | None) -> None:
        if self.again(event, site=freed.site):
            return
        name = messages.region_name(region) if region is not None else "this allocation"
        self.report(
            event,
            f"{name} is freed a second time",
            "free it in one place only, or drop the last reference and let PyCUDA free it",
            site=freed.site,
            related=messages.story(region) if region is not None else (),
        )
