"""An object of one context is used while another one is current.

What it does
------------
Follows which context every module, stream, event and allocation belongs to. Reports launches of a
kernel or on a stream of another context than the current one, kernels that are certain to access
another context's memory without peer access, and whatever else the driver refuses for that reason.

Why is this bad
---------------
Each context has an address space and objects of its own. The driver answers "invalid resource handle",
which names neither the object nor the contexts. A kernel that follows a pointer into another context
fails with an illegal address, and its context is lost.

Example
-------
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    cuda.init()
    first = cuda.Device(0).make_context()
    set_two = SourceModule("__global__ void f(float *x) { x[threadIdx.x] = 2; }").get_function("f")
    second = cuda.Device(0).make_context()
    x_gpu = cuda.mem_alloc(400)
    try:
        set_two(x_gpu, block=(100, 1, 1))
    finally:
        second.pop()
        first.pop()

Use instead
-----------
    import numpy as np
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    cuda.init()
    first = cuda.Device(0).make_context()
    second = cuda.Device(0).make_context()
    set_two = SourceModule("__global__ void f(float *x) { x[threadIdx.x] = 2; }").get_function("f")
    x_gpu = cuda.mem_alloc(400)
    try:
        set_two(x_gpu, block=(100, 1, 1))
        print(cuda.from_device(x_gpu, 100, np.float32))
    finally:
        second.pop()
        first.pop()

Known limits
------------
Copies by address between contexts are right and never reported, nor are waiting for an event and
synchronizing with a stream of another context. Memory of another context is reported where the kernel's
code shows that it is accessed.

References
----------
CUDA driver API, cuLaunchKernel, cuEventRecord, cuCtxEnablePeerAccess; CUDA C++ programming guide, Context;
PyCUDA documentation, pycuda.driver.Context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import Launch, MemoryKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.owners import Owned
    from pycuda_guard.events.model import CallFailed, ContextId, Event
    from pycuda_guard.findings import Related

#: memory that other contexts don't have, unless they may access its context as a peer
_PRIVATE = frozenset({MemoryKind.DEVICE, MemoryKind.POOL, MemoryKind.GLOBAL})

_HELP = "push the context that it belongs to first, or make it anew in the current one"


class WrongContext(Rule):
    """PG602."""

    code: ClassVar[str] = "PG602"
    name: ClassVar[str] = "wrong-context"
    severity: ClassVar[Severity] = Severity.ERROR
    only_odd = frozenset({Launch})

    def on_launch(self, event: Launch) -> None:
        """Look whether kernel, stream and memory belong to the current context."""
        owners = self.state.owners
        if not owners.are_several or not event.context or event.thread in owners.replaced:
            return
        module, stream = owners.modules.get(event.module), owners.streams.get(event.stream)
        if self._is_elsewhere(module, event.context):
            self._report(event, f"kernel `{event.function}`", module, "its module is loaded")
        elif self._is_elsewhere(stream, event.context):
            text = f"kernel `{event.function}` is launched on a stream that"
            self._report(event, text, stream, "the stream is made")
        elif not owners.was_replaced:
            self._check_memory(event)

    def on_call_failed(self, event: CallFailed) -> None:
        """Look for the stream or event behind a call that the driver refused."""
        if not event.announced or statuses.words(event) != statuses.STALE_HANDLE:
            return
        announced, owners = self.state.announced(event.announced), self.state.owners
        if announced is None or self.explained(event.announced) or event.thread in owners.replaced:
            return
        for what, owned in owners.named(announced):
            if self._is_elsewhere(owned, announced.context):
                self.explain(event.sequence)
                self._report(announced, f"{event.call}: {what}", owned, f"{what} is made")
                return

    def _is_elsewhere(self, owned: Owned | None, current: ContextId) -> bool:
        """Tell whether something belongs to another living context than the current one."""
        if owned is None or not owned.context or owned.context == current:
            return False
        return owned.context not in self.state.owners.detached

    def _check_memory(self, event: Launch) -> None:
        """Look for memory of another context that the kernel is certain to access."""
        for kind, touched in self.state.plans.footprint(self.state.plan):
            region = self.state.memory.find(touched.start)
            if region is None or region.kind not in _PRIVATE:
                continue
            if region.context in (0, event.context) or (
                (event.context, region.context) in self.state.owners.peers
                or region.context not in self.state.owners.makers
            ):
                continue
            if self.again(event, kernel=event.function):
                return
            name = messages.region_name(region)
            verb = "reads" if kind == "read" else "writes"
            self.report(
                event,
                f"kernel `{event.function}` {verb} {name}, which belongs to another context than the current "
                "one, without peer access to it",
                "allocate it in the current context, or copy it there with memcpy_dtod",
                kernel=messages.kernel_location(event),
                related=messages.story(region) + self._current(event),
            )
            return

    def _report(self, event: Event, what: str, owned: Owned | None, made: str) -> None:
        kernel = event.function if isinstance(event, Launch) else ""
        if owned is None or self.again(event, kernel=kernel):
            return
        self.report(
            event,
            f"{what} belongs to another context than the current one",
            _HELP,
            kernel=messages.kernel_location(event) if isinstance(event, Launch) else None,
            related=messages.related(f"{made} here, in its context", owned.site) + self._current(event),
        )

    def _current(self, event: Event) -> tuple[Related, ...]:
        """Return where the current context was made so."""
        stack = self.state.devices.stacks.get(event.thread)
        return messages.related("the current context is made current here", stack[-1].site) if stack else ()
