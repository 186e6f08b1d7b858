"""Memory is given back while a copy or a kernel may still use it.

What it does
------------
Reports page-locked memory that is freed or collected while an asynchronous copy uses it. A block of
a `DeviceMemoryPool` or a `PageLockedMemoryPool` is reported once its next owner touches the same
bytes without waiting for the old use: what is handed out again on the same stream is right. The free
of an ordinary allocation waits in practice: a `free()` while another stream uses it is a note.

Why is this bad
---------------
`*_async` copies keep no reference to the host array, and a memory pool knows nothing of streams: a
block that is given back may be handed out at once, and the new owner's data meet those of the
copy or the kernel that is still running.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(4000)
    stream = cuda.Stream()
    x = cuda.pagelocked_empty(1000, np.float32)
    x[:] = 1
    cuda.memcpy_htod_async(x_gpu, x, stream)
    del x
    stream.synchronize()

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(4000)
    stream = cuda.Stream()
    x = cuda.pagelocked_empty(1000, np.float32)
    x[:] = 1
    cuda.memcpy_htod_async(x_gpu, x, stream)
    stream.synchronize()
    del x

Known limits
------------
Those of PG103. A page-locked block of a pool is reported when it is copied from or to again, not when
only the host has written to it.

References
----------
PyCUDA documentation, Memory Pools; CUDA driver API, cuMemFreeHost, cuMemFree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, streams
from pycuda_guard.checks.state.moves import PAGE_LOCKED
from pycuda_guard.events.model import DEFAULT_STREAM, MemoryKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.conflicts import Access, Conflict, Operation
    from pycuda_guard.events.model import Footprint, Freed

_WAYS = {"free": "freed", "collected": "freed by garbage collection"}


class FreedInFlight(streams.ConflictRule):
    """PG105."""

    code: ClassVar[str] = "PG105"
    name: ClassVar[str] = "freed-in-flight"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_freed(self, event: Freed) -> None:
        """Look for unfinished uses of memory that is freed for good."""
        region, work = self.state.freed, self.state.work
        unfinished = [] if region is None else work.unfinished(region)
        if region is None or not unfinished or region.base != event.address or work.is_pooled(region):
            return
        self._judge_free(event, region, unfinished)

    def _judge_free(self, event: Freed, region: Region, unfinished: list[Access]) -> None:
        """Tell of memory that is freed for good while something uses it, as far as that is wrong."""
        is_locked = region.kind in PAGE_LOCKED
        if not is_locked and (region.kind is not MemoryKind.DEVICE or event.how != "free"):
            return
        severity = Severity.ERROR
        if not is_locked:
            unfinished = [access for access in unfinished if access.track.handle != DEFAULT_STREAM]
            severity = Severity.NOTE
        if unfinished and not self.again(event, severity=severity):
            self._report_free(event, region, unfinished[-1], severity)

    def on_footprint(self, event: Footprint) -> None:
        """Judge what was freed while a launch, as it turns out, used it."""
        super().on_footprint(event)
        for freed, access in self.state.work.late_frees:
            if not self.explained(freed.sequence):
                self._judge_free(freed, access.region, [access])

    def judge(self, event: Operation, conflicts: list[Conflict]) -> None:
        """Look at the conflicts of an operation that is about to be issued, or was issued before."""
        for conflict in conflicts:
            old = conflict.earlier.region
            if old is not conflict.later.region and not conflict.earlier.staged:
                if not self.again(event, site=old.freed_site):
                    self._report_reuse(event, conflict)
                return

    def _report_free(self, event: Freed, region: Region, access: Access, severity: Severity) -> None:
        name = messages.region_name(region)
        on = streams.name(access.track)
        known = streams.variable(access.track) or "stream"
        wait = "cuda.Context" if access.track.handle == DEFAULT_STREAM else known
        function = _left(event, region, access)
        before = f"before `{function}` returns: it is freed there" if function else "before it is freed"
        waits = "" if severity is Severity.ERROR else ": right only as long as cuMemFree waits for it"
        self.report(
            event,
            f"{name} is {_WAYS.get(event.how, 'freed')} while {streams.operation(access.event)} on {on} may "
            f"still {streams.verb(access, False)} it{waits}",
            f"call {wait}.synchronize() {before}",
            related=messages.related(f"{streams.operation(access.event)} is here", access.event.site)
            + messages.allocated(region),
            severity=severity,
        )

    def _report_reuse(self, event: Operation, conflict: Conflict) -> None:
        earlier, later = conflict.earlier, conflict.later
        name = messages.region_name(earlier.region)
        did = streams.verb(earlier, False)
        known = streams.variable(earlier.track) or "stream"
        wait = "cuda.Context" if earlier.track.handle == DEFAULT_STREAM else known
        self.report(
            event,
            f"{name} goes back to its pool while {streams.operation(earlier.event)} on "
            f"{streams.name(earlier.track)} may still {did} it; handed out again, it is used by "
            f"{streams.operation(event)} on {streams.name(later.track, earlier.track)}, "
            "which does not wait for that",
            f"call {wait}.synchronize() before it is freed, or keep it until the work is done",
            site=earlier.region.freed_site,
            related=messages.related(f"{streams.operation(earlier.event)} is here", earlier.event.site)
            + messages.related("it is handed out again here", later.region.site)
            + messages.related(f"{streams.operation(event)} uses it here", event.site),
        )


def _left(event: Freed, region: Region, access: Access) -> str:
    """Return the function that kept what is collected for itself, and was left with its work unfinished."""
    made, used = region.site, access.event.site
    if event.how != "collected" or event.site is None or made is None or used is None:
        return ""
    inside = {(site.file, site.function) for site in (made, used)}
    if len(inside) > 1 or (event.site.file, event.site.function) in inside:
        return ""
    return "" if made.function.startswith("<") else made.function
