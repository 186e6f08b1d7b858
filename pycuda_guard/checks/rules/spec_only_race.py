"""A copy from pageable memory and a NON_BLOCKING stream that does not wait for it.

What it does
------------
Reports an operation on the bytes that `memcpy_htod` (or `cuda.In`, or an asynchronous copy) brought
from ordinary host memory, if it runs on a stream that does not wait for the copy's stream, and the
host has not waited either.

Why is this bad
---------------
Such a copy may return when the data are in a buffer of the driver's and still on their way to the
device. The default stream and ordinary streams wait for them; a NON_BLOCKING stream need not. It is
seldom seen on hardware, but the documentation allows it.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x = np.ones(1000, np.float32)
    x_gpu, y_gpu = cuda.mem_alloc(x.nbytes), cuda.mem_alloc(x.nbytes)
    stream = cuda.Stream(1)
    cuda.memcpy_htod(x_gpu, x)
    cuda.memcpy_dtod_async(y_gpu, x_gpu, x.nbytes, stream)
    stream.synchronize()

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x = np.ones(1000, np.float32)
    x_gpu, y_gpu = cuda.mem_alloc(x.nbytes), cuda.mem_alloc(x.nbytes)
    stream = cuda.Stream(1)
    cuda.memcpy_htod(x_gpu, x)
    cuda.Context.synchronize()
    cuda.memcpy_dtod_async(y_gpu, x_gpu, x.nbytes, stream)
    stream.synchronize()

Known limits
------------
Those of PG103.

References
----------
CUDA driver API, API synchronization behavior: Memcpy, Synchronous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, streams
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.conflicts import Conflict, Operation


class SpecOnlyRace(streams.ConflictRule):
    """PG108."""

    code: ClassVar[str] = "PG108"
    name: ClassVar[str] = "spec-only-race"
    severity: ClassVar[Severity] = Severity.NOTE

    def judge(self, event: Operation, conflicts: list[Conflict]) -> None:
        """Look at the conflicts of an operation that is about to be issued, or was issued before."""
        if self.explained(event.sequence):
            return
        conflict = next((c for c in conflicts if c.earlier.staged), None)
        if conflict is None or self.again(event):
            return
        earlier, later = conflict.earlier, conflict.later
        name = messages.region_name(later.region)
        call = streams.operation(earlier.event)
        does = streams.verb(later)
        self.report(
            event,
            f"{streams.operation(event)} on {streams.name(later.track)} {does} {name}, to which "
            f"{call} from pageable memory may still be moving data on "
            f"{streams.name(earlier.track, later.track)}",
            streams.order(earlier, later),
            related=messages.related(f"{call} to {name} is here", earlier.event.site)
            + messages.allocated(later.region),
        )
