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
from pycuda_guard.events.model import ArgumentKind, DeviceOperand, HostOperand, MemoryKind, ParameterKind
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
        KernelSignature,
        Launch,
        ModuleId,
        RunEnded,
    )

_PRIVATE = frozenset({MemoryKind.DEVICE, MemoryKind.POOL})
_MAX_WAITING = 10_000

#: a launch that wrote, and what the memory was called
_Output = tuple["Launch", str]


class ResultNeverRead(Rule):
    """PG304."""

    code: ClassVar[str] = "PG304"
    name: ClassVar[str] = "result-never-read"
    severity: ClassVar[Severity] = Severity.NOTE
    source: ClassVar[str] = "exit"

    def __init__(self, state: State, collector: Collector) -> None:
        super().__init__(state, collector)
        self._blind = False
        self._outputs: dict[tuple[ModuleId, str], frozenset[int]] = {}
        self._waiting: dict[Region, _Output] = {}
        self._lost: list[_Output] = []

    def on_launch(self, event: Launch) -> None:
        """Note what a launch writes; what it may read is read."""
        if self._blind:
            return
        signature, arguments = self.state.signature(event), event.arguments
        if arguments is None or any(_is_opaque(argument.kind, argument.table) for argument in arguments):
            self._give_up()
            return
        if signature is not None and signature.follows:
            self._give_up()
            return
        outputs = self._outputs_of(event, signature)
        for index, region in enumerate(self.state.regions):
            if region is None or region.kind not in _PRIVATE:
                continue
            before = self._waiting.get(region)
            if before is not None and (index not in outputs or _kernel(before[0]) != _kernel(event)):
                del self._waiting[region]
            if index in outputs and not arguments[index].handler and len(self._waiting) < _MAX_WAITING:
                self._waiting[region] = event, messages.region_name(region)

    def on_copy(self, event: Copy) -> None:
        """Note what a copy reads, and addresses that it stores where kernels may find them."""
        source, destination = event.source, event.destination
        if isinstance(source, DeviceOperand):
            region = self.state.memory.find(source.address)
            if region is not None:
                self._waiting.pop(region, None)
        elif isinstance(source, HostOperand) and isinstance(destination, DeviceOperand):
            region = self.state.memory.find(destination.address)
            if region is not None and region.kind is MemoryKind.GLOBAL and source.dtype in _ADDRESSES:
                self._give_up()

    def on_call_failed(self, event: CallFailed) -> None:
        """Note that a launch was refused: it has written nothing."""
        if event.announced:
            for region, output in list(self._waiting.items()):
                if output[0].sequence == event.announced:
                    del self._waiting[region]

    def on_exported(self, event: Exported) -> None:
        """Note that somebody else may read from now on."""
        region = self.state.memory.find(event.address)
        if region is not None:
            self._waiting.pop(region, None)

    def on_freed(self, event: Freed) -> None:
        """Note that nobody can read any more."""
        region = self.state.memory.find(event.address)
        output = self._waiting.pop(region, None) if region is not None else None
        if output is not None and len(self._lost) < _MAX_WAITING:
            self._lost.append(output)

    def on_run_ended(self, event: RunEnded) -> None:
        """Report the outputs that nobody has read."""
        if self._blind or self.state.late:
            return
        for launch, name in [*self._lost, *self._waiting.values()]:
            if launch.library or self.again(event, site=launch.site, kernel=launch.function):
                continue
            self.report(
                event,
                f"kernel `{launch.function}` writes {name}, which is never copied back, nor read by another "
                "kernel",
                "copy it to the host with memcpy_dtoh, or leave the launch out",
                site=launch.site,
                kernel=messages.kernel_location(launch),
            )

    def _outputs_of(self, event: Launch, signature: KernelSignature | None) -> frozenset[int]:
        """Return the positions of the pointers that a kernel is certain to write through."""
        key = _kernel(event)
        known = self._outputs.get(key)
        if known is None:
            pointers = [] if signature is None else signature.parameters
            known = self._outputs[key] = frozenset(
                symbol
                for access in (signature.accesses or () if signature is not None else ())
                if access.kind != "read"
                for symbol, factor in access.address.terms
                if 0 <= symbol < len(pointers)
                and factor == 1
                and pointers[symbol].kind is ParameterKind.POINTER
            )
        return known

    def _give_up(self) -> None:
        """Say nothing about this run: pointers may be where they can't be seen."""
        self._blind = True
        self._waiting.clear()
        self._lost.clear()


#: dtypes of host arrays that may hold addresses; None for raw bytes
_ADDRESSES = frozenset({"int64", "uint64", None})


def _kernel(event: Launch) -> tuple[ModuleId, str]:
    return event.module, event.function


def _is_opaque(kind: ArgumentKind, table: tuple[int, ...] | None) -> bool:
    """Tell whether an argument may hold pointers inside."""
    return table is not None or kind is ArgumentKind.BYTES
