"""Another library has changed the current context; PyCUDA goes on with the old one's objects.

What it does
------------
As long as a library that uses CUDA beside PyCUDA is loaded (CuPy, PyTorch, Numba, JAX, TensorFlow, TensorRT,
cuda-python), compares the driver's current context with the one that PyCUDA takes for current. Reports the
use of a kernel, stream or event of the latter while they differ.

Why is this bad
---------------
These libraries work in the device's primary context and make it current when they like. PyCUDA does not
notice: its kernels then fail with "invalid resource handle", and its allocations land in a context that
they are not freed from.

Example
-------
    import ctypes
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    set_two = SourceModule("__global__ void f(float *x) { x[threadIdx.x] = 2; }").get_function("f")
    x_gpu = cuda.mem_alloc(400)
    primary = cuda.Device(0).retain_primary_context()
    # what `import torch; torch.zeros(1, device="cuda")` does
    ctypes.CDLL("libcuda.so.1").cuCtxSetCurrent(ctypes.c_void_p(primary.handle))
    try:
        set_two(x_gpu, block=(100, 1, 1))
    finally:
        handle = ctypes.c_void_p(pycuda.autoinit.context.handle)
        ctypes.CDLL("libcuda.so.1").cuCtxSetCurrent(handle)

Use instead
-----------
    import numpy as np
    import pycuda.autoprimaryctx
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    set_two = SourceModule("__global__ void f(float *x) { x[threadIdx.x] = 2; }").get_function("f")
    x_gpu = cuda.mem_alloc(400)
    set_two(x_gpu, block=(100, 1, 1))
    print(cuda.from_device(x_gpu, 100, np.float32))

Known limits
------------
Of libraries beyond those named, a change is noticed when a PyCUDA call fails for it.

References
----------
PyCUDA documentation, pycuda.autoprimaryctx; CUDA runtime API, Interactions with the CUDA Driver API: Primary
Contexts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import Copy, EventRecorded, Launch, Memset
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.owners import Owned
    from pycuda_guard.events.model import CallFailed, ContextReplaced, Event


class ForeignContext(Rule):
    """PG606."""

    code: ClassVar[str] = "PG606"
    name: ClassVar[str] = "foreign-context"
    severity: ClassVar[Severity] = Severity.WARNING
    only_odd = frozenset({Copy, Memset, Launch})

    def on_launch(self, event: Launch) -> None:
        """Look at the kernel and the stream of a launch."""
        self._check(event)

    def on_copy(self, event: Copy) -> None:
        """Look at the stream of a copy."""
        self._check(event)

    def on_memset(self, event: Memset) -> None:
        """Look at the stream of a memset."""
        self._check(event)

    def on_event_recorded(self, event: EventRecorded) -> None:
        """Look at the event that is recorded."""
        self._check(event)

    def on_call_failed(self, event: CallFailed) -> None:
        """Look again at a call that failed: only then was the driver asked."""
        announced = self.state.announced(event.announced) if event.announced else None
        if announced is not None and not self.explained(event.announced):
            self._check(announced)
            if self.explained(event.announced):
                self.explain(event.sequence)

    def _check(self, event: Event) -> None:
        replaced = self.state.owners.replaced.get(event.thread)
        if replaced is None or event.context != replaced.context:
            return
        for what, made, owned in self._named(event):
            if owned is not None and owned.context == replaced.context:
                self.explain(event.sequence)
                self._report(event, replaced, what, made, owned)
                return

    def _named(self, event: Event) -> list[tuple[str, str, Owned | None]]:
        """Return what a call names that belongs to one context."""
        owners = self.state.owners
        named = []
        if isinstance(event, Launch):
            module = owners.modules.get(event.module)
            named.append((f"kernel `{event.function}`", "its module is loaded here", module))
        if isinstance(event, EventRecorded):
            named.append(("an event", "the event is made here", owners.events.get(event.event)))
        if isinstance(event, Launch | Copy | Memset | EventRecorded):
            named.append(("a stream", "the stream is made here", owners.streams.get(event.stream)))
        return named

    def _report(self, event: Event, replaced: ContextReplaced, what: str, made: str, owned: Owned) -> None:
        kernel = event.function if isinstance(event, Launch) else ""
        if self.again(event, kernel=kernel):
            return
        who = f"another library ({replaced.library}?)" if replaced.library else "somebody else"
        now = "made another context current" if replaced.actual else "left no context current"
        self.report(
            event,
            f"{what} of PyCUDA's context is used, but {who} has {now} since",
            "use pycuda.autoprimaryctx instead of pycuda.autoinit, so that both share one context, or push "
            "PyCUDA's context again",
            kernel=messages.kernel_location(event) if isinstance(event, Launch) else None,
            related=messages.related(made, owned.site),
        )
