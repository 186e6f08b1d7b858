"""A copy to the host is right only because the legacy default stream waits for the kernel.

What it does
------------
Reports a synchronous copy from memory that a kernel was given to write, where the host has not
waited for that kernel: the copy runs on the legacy default stream, which happens to be ordered
after the kernel's stream.

Why is this bad
---------------
It is not wrong: `memcpy_dtoh` waits for all kernels on the default stream and on ordinary streams.
But the order is nowhere to be seen in the program, and it is gone as soon as the kernel moves to a
non-blocking stream (`Stream(1)`), the copy becomes asynchronous, or another library makes the
kernel's stream: then the host reads old data.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void twice(float *x) { x[threadIdx.x] *= 2; }")
    x = np.ones(64, np.float32)
    x_gpu = cuda.to_device(x)
    stream = cuda.Stream()
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
    stream = cuda.Stream()
    mod.get_function("twice")(x_gpu, block=(64, 1, 1), stream=stream)
    stream.synchronize()
    cuda.memcpy_dtoh(x, x_gpu)

Known limits
------------
PyCUDA's own kernels on the default stream (GPUArray arithmetic and the like) are left out. Only a
kernel that was given the copied memory as an argument counts.

References
----------
CUDA driver API: Stream synchronization behavior; API synchronization behavior.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import DEFAULT_STREAM, ArgumentKind, CopyKind, DeviceOperand, HostOperand
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import Copy, Launch


class ImplicitSync(Rule):
    """PG104."""

    code: ClassVar[str] = "PG104"
    name: ClassVar[str] = "implicit-sync"
    severity: ClassVar[Severity] = Severity.NOTE
    copies = frozenset({CopyKind.DTOH, CopyKind.MIXED})

    def on_copy(self, event: Copy) -> None:
        """Look for an unfinished kernel behind the source of a copy that waits for it."""
        source = event.source
        if type(event.destination) is not HostOperand or event.asynchronous:
            return
        if type(source) is not DeviceOperand:
            return
        launches = self.state.pending.before_default(event.context)
        if not launches or self.again(event):
            return
        region = self.state.source
        if region is None:
            return
        launch = next((launch for launch in reversed(launches) if self._writes(launch, region)), None)
        if launch is None:
            return
        name = messages.copy_names(event)[1] or messages.region_name(region)
        on_default = launch.stream == DEFAULT_STREAM
        where = "the default stream" if on_default else "another stream"
        wait = "cuda.Context.synchronize()" if on_default else "stream.synchronize()"
        self.report(
            event,
            f"copy from {name} waits for kernel `{launch.function}` on {where} only because the legacy "
            "default stream orders it after the kernel",
            f"call {wait} before the copy, so that it stays right on any stream",
            related=messages.related(f"kernel `{launch.function}` is launched here", launch.site),
        )

    def _writes(self, launch: Launch, region: Region) -> bool:
        """Tell whether a launch was given a region as an argument that it may write through."""
        if launch.library and launch.stream == DEFAULT_STREAM:
            return False
        kernel = self.state.modules.kernels.get((launch.module, launch.function))
        writes = kernel.writes if kernel is not None else ()
        return any(
            self.state.region_of(argument) is region and (index >= len(writes) or writes[index])
            for index, argument in enumerate(launch.arguments or ())
            if argument.kind is ArgumentKind.POINTER
        )
