"""A kernel's output is never used.

What it does
------------
At the end of the run, reports launches whose output, by the kernel's own code, is memory that was afterwards
neither copied back nor given to another kernel nor handed to anybody else.

Why is this bad
---------------
Either the work is for nothing, or the copy back was forgotten and the program goes on with an array that
the kernel has never written.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    double = SourceModule("__global__ void f(float *x) { x[threadIdx.x] *= 2; }").get_function("f")
    x = np.ones(100, np.float32)
    x_gpu = cuda.to_device(x)
    double(x_gpu, block=(100, 1, 1))
    print(x.sum())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    double = SourceModule("__global__ void f(float *x) { x[threadIdx.x] *= 2; }").get_function("f")
    x = np.ones(100, np.float32)
    x_gpu = cuda.to_device(x)
    double(x_gpu, block=(100, 1, 1))
    cuda.memcpy_dtoh(x, x_gpu)
    print(x.sum())

Known limits
------------
Silent where a pointer may have gone unseen: tables of pointers, structs, launches of unknown arguments,
addresses stored in device memory, other libraries on the same memory through IPC or `as_buffer`. Memory
passed to another library as an integer is not seen. A kernel that changes in place what its own earlier
launches wrote counts as no reader.

References
----------
CUDA C++ programming guide, Device Memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import CopyKind, DeviceOperand, HostOperand, MemoryKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.collector import Collector
    from pycuda_guard.checks.state import State
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import (
        CallFailed,
        Copy,
        Exported,
        Freed,
        Launch,
        RunEnded,
    )

_PRIVATE = frozenset({MemoryKind.DEVICE, MemoryKind.POOL})
_MAX_WAITING = 10_000

_NONE: frozenset[int] = frozenset()


class ResultNeverRead(Rule):
    """PG304."""

    code: ClassVar[str] = "PG304"
    name: ClassVar[str] = "result-never-read"
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "exit"
    only_new = frozenset({CopyKind.HTOD})

    def __init__(self, state: State, collector: Collector) -> None:
        super().__init__(state, collector)
        self._blind = False
        self._waiting: dict[Region, Launch] = {}
        self._lost: list[tuple[Launch, Region]] = []

    def on_launch(self, event: Launch) -> None:
        """Note what a launch writes; what it may read is read."""
        if self._blind:
            return
        plan, arguments = self.state.plan, event.arguments
        kernel = plan.kernel
        if arguments is None or plan.is_opaque or (kernel is not None and kernel.signature.follows):
            self._give_up()
            return
        outputs = _NONE if kernel is None else kernel.outputs
        waiting = self._waiting
        for index, region in plan.pointers:
            if region.kind not in _PRIVATE:
                continue
            before = waiting.get(region)
            if before is not None and (
                index not in outputs or before.function != event.function or before.module != event.module
            ):
                del waiting[region]
            if index in outputs and not arguments[index].handler and len(waiting) < _MAX_WAITING:
                waiting[region] = event

    def on_copy(self, event: Copy) -> None:
        """Note what a copy reads, and addresses that it stores where kernels may find them."""
        source, destination = event.source, event.destination
        if type(source) is DeviceOperand:
            region = self.state.source
            if region is not None:
                self._waiting.pop(region, None)
        elif type(source) is HostOperand and type(destination) is DeviceOperand:
            region = self.state.destination
            if region is not None and region.kind is MemoryKind.GLOBAL and source.dtype in _ADDRESSES:
                self._give_up()

    def on_call_failed(self, event: CallFailed) -> None:
        """Note that a launch was refused: it has written nothing."""
        if event.announced:
            for region, launch in list(self._waiting.items()):
                if launch.sequence == event.announced:
                    del self._waiting[region]

    def on_exported(self, event: Exported) -> None:
        """Note that somebody else may read from now on."""
        region = self.state.memory.find(event.address)
        if region is not None:
            self._waiting.pop(region, None)

    def on_freed(self, event: Freed) -> None:
        """Note that nobody can read any more."""
        region = self.state.freed
        launch = self._waiting.pop(region, None) if region is not None else None
        if region is not None and launch is not None and len(self._lost) < _MAX_WAITING:
            self._lost.append((launch, region))

    def on_run_ended(self, event: RunEnded) -> None:
        """Report the outputs that nobody has read."""
        if self._blind or self.state.late:
            return
        for launch, region in [*self._lost, *((launch, region) for region, launch in self._waiting.items())]:
            if launch.library or self.again(event, site=launch.site, kernel=launch.function):
                continue
            self.report(
                event,
                f"kernel `{launch.function}` writes {messages.region_name(region)}, which is never copied "
                "back, nor read by another kernel",
                "copy it to the host with memcpy_dtoh, or leave the launch out",
                site=launch.site,
                kernel=messages.kernel_location(launch),
            )

    def _give_up(self) -> None:
        """Say nothing about this run: pointers may be where they can't be seen."""
        self._blind = True
        self._waiting.clear()
        self._lost.clear()


#: dtypes of host arrays that may hold addresses; None for raw bytes
_ADDRESSES = frozenset({"int64", "uint64", None})
