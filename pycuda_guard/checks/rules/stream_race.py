"""Two device operations touch the same bytes on two streams, and nothing orders them.

What it does
------------
Follows the order that streams, events, synchronization and the legacy default stream make. Reports
a copy, a memset or a kernel that touches bytes which an unfinished operation of another stream
touches too, if one of the two writes and the later one need not wait for the earlier. Of a kernel,
the PTX tells which bytes it certainly touches with the arguments it was given. Where that depends on
data, the instrumented kernel tells which bytes it has touched, and the finding comes when the program
waits for it next.

Why is this bad
---------------
The two may run in either order or at the same time. What is read or left behind then depends on
the load of the device: right in tests, wrong in production. `memcpy_dtoh` and the copies of
`cuda.In` and `cuda.Out` run on the default stream, which does not wait for a NON_BLOCKING stream
(`Stream(1)`); nor do two ordinary streams wait for each other.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void twice(float *x) { x[threadIdx.x] *= 2; }")
    x = np.ones(64, np.float32)
    x_gpu = cuda.to_device(x)
    cuda.Context.synchronize()
    stream = cuda.Stream(1)
    mod.get_function("twice")(x_gpu, block=(64, 1, 1), stream=stream)
    cuda.memcpy_dtoh(x, x_gpu)

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void twice(float *x) { x[threadIdx.x] *= 2; }")
    x = np.ones(64, np.float32)
    x_gpu = cuda.to_device(x)
    cuda.Context.synchronize()
    stream = cuda.Stream(1)
    mod.get_function("twice")(x_gpu, block=(64, 1, 1), stream=stream)
    stream.synchronize()
    cuda.memcpy_dtoh(x, x_gpu)

Known limits
------------
Where kernels are not instrumented (`--no-kernels`, PG901), in PyCUDA's generators of random numbers, in
its other kernels where no loaded index or mask decides, and in those that fence or lock in memory, an
access counts if its address and the branches that decide about it are linear in the thread's x index and
the arguments. Of memory that a kernel reaches through a pointer that was itself loaded, or chosen, all bytes
touched are known as long as the program has no more than about 100 MB, else of the larger arrays the first
and the last one. Two atomic operations are no race, nor is what a kernel reads of an array that it updates by
atomics. Variables of modules that are not instrumented count from when the program has asked for their
address (`get_global`).
Where a stream or an event is older than the guard, it is taken to order everything.
Waiting through another library is not seen.

References
----------
CUDA driver API: Stream synchronization behavior; API synchronization behavior; cuStreamWaitEvent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, streams
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.conflicts import Conflict, Operation


class StreamRace(streams.ConflictRule):
    """PG103."""

    code: ClassVar[str] = "PG103"
    name: ClassVar[str] = "stream-race"
    severity: ClassVar[Severity] = Severity.ERROR

    def judge(self, event: Operation, conflicts: list[Conflict]) -> None:
        """Look at the conflicts of an operation that is about to be issued, or was issued before."""
        if self.explained(event.sequence):
            return
        for conflict in conflicts:
            earlier = conflict.earlier
            if not earlier.staged and earlier.region is conflict.later.region:
                if not self.again(event):
                    self._report(event, conflict)
                return

    def _report(self, event: Operation, conflict: Conflict) -> None:
        earlier, later = conflict.earlier, conflict.later
        name = messages.region_name(later.region)
        does, did = streams.verb(later), streams.verb(earlier, False)
        other = streams.name(earlier.track, later.track)
        where = ""
        if conflict.common is not None:
            first, end = conflict.common
            which = f"bytes {first} to {end - 1}" if end > first + 1 else f"byte {first}"
            where = f" ({which} of {later.region.nbytes})"
        self.report(
            event,
            f"{streams.operation(event)} on {streams.name(later.track)} {does} {name}{where} while "
            f"{streams.operation(earlier.event)} on {other} may still {did} it",
            streams.order(earlier, later),
            related=messages.related(
                f"{streams.operation(earlier.event)} {streams.verb(earlier)} {name} here",
                earlier.event.site,
            )
            + messages.allocated(later.region),
        )
