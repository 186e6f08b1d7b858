"""A copy, a memset or a kernel uses memory that was freed.

What it does
------------
Remembers the addresses of freed device memory, of blocks given back to a memory pool, and of
allocations that garbage collection freed, until the driver hands them out again; a module's variables
go with the module. A copy, a memset
or a kernel argument that points there is reported, and so is a table of addresses passed with
`cuda.In` to a kernel that follows them, if all of them are freed.

Why is this bad
---------------
A `DeviceAllocation` that goes out of scope frees its memory; an integer made from it with `int()`
keeps nothing alive. The driver may refuse the address with "invalid argument", or the memory may
already belong to another allocation, or still hold the old bytes: right on one day, wrong on
another.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    def upload(array):
        buffer = cuda.to_device(array)
        return int(buffer)  # the buffer is freed on return

    x_gpu = upload(np.arange(100, dtype=np.int32))
    out = np.empty(100, np.int32)
    cuda.memcpy_dtoh(out, x_gpu)

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    def upload(array):
        return cuda.to_device(array)

    x_gpu = upload(np.arange(100, dtype=np.int32))
    out = np.empty(100, np.int32)
    cuda.memcpy_dtoh(out, x_gpu)

Known limits
------------
An address that PyCUDA was given again belongs to its new owner.

References
----------
PyCUDA documentation, DeviceAllocation; CUDA driver API, cuMemFree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.kernels import KernelRule, kernel_name
from pycuda_guard.checks.pointers import Place, locate, moves
from pycuda_guard.events.model import (
    ArgumentKind,
    Copy,
    DeviceOperand,
    Launch,
    MemoryKind,
    Memset,
    ParameterKind,
)
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import (
        Argument,
        KernelReport,
        KernelSignature,
        Operand,
    )


class UseAfterFree(KernelRule):
    """PG203."""

    code: ClassVar[str] = "PG203"
    name: ClassVar[str] = "use-after-free"
    severity: ClassVar[Severity] = Severity.ERROR
    source: ClassVar[str] = "api"
    only_odd = frozenset({Copy, Memset, Launch})

    def on_copy(self, event: Copy) -> None:
        """Look at both ends of a copy."""
        if self.state.stray:
            self._check(event, event.destination, "to", 0)
            self._check(event, event.source, "from", 1)

    def on_memset(self, event: Memset) -> None:
        """Look at the memory of a memset."""
        if self.state.stray:
            self._check(event, event.destination, "of", 0)

    def on_launch(self, event: Launch) -> None:
        """Look at the pointers among a kernel's arguments."""
        if not self.state.stray:
            return
        arguments = event.arguments or ()
        if not self.state.memory.freed and not any(argument.table for argument in arguments):
            return
        signature = self.state.signature(event)
        if signature is not None and len(signature.parameters) != len(arguments):
            signature = None
        for index, argument in enumerate(arguments):
            if argument.kind is ArgumentKind.POINTER or argument.kind is ArgumentKind.INTEGER:
                region = self._freed_argument(event, signature, index, argument)
                if region is not None and not self.again(event, kernel=event.function):
                    self._report_argument(event, index, argument, region)

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a kernel's access that lies in no live memory."""
        if event.reason != "outside" or event.size:
            return
        region = self._freed_access(event)
        if region is None or self.is_told(event):
            return
        scene = self.scene(event)
        freed = messages.region_name(region)
        distance = messages.size(event.address - region.base)
        self.tell(
            scene,
            f"{kernel_name(event)} {scene.verb} {freed}, which {_was(region)}, {distance} from its start: "
            f"{scene.where()}, in {scene.launched()}",
            _help(region, "the kernel has run"),
            related=messages.story(region),
        )

    def _freed_access(self, event: KernelReport) -> Region | None:
        """Return the freed memory that an argument points into, or else that was accessed."""
        argument = self.scene(event).argument
        if argument is not None and type(argument.value) is int:
            return self.state.memory.find_freed(argument.value)
        return self.state.memory.find_freed(event.address)

    def _check(self, event: Copy | Memset, operand: Operand, preposition: str, position: int) -> None:
        if not isinstance(operand, DeviceOperand):
            return
        place, region = locate(self.state, operand)
        if place is not Place.FREED or region is None or not moves(operand.extent) or self.again(event):
            return
        name = messages.copy_names(event)[position]
        freed = messages.region_name(region)
        what = f"{name}, memory of {freed}" if name and name != freed else freed
        self.report(
            event,
            f"{event.call} of {messages.extent(operand.extent)} {preposition} {what}, which {_was(region)}",
            _help(region, "its last use"),
            related=messages.story(region),
        )

    def _freed_argument(
        self, event: Launch, signature: KernelSignature | None, index: int, argument: Argument
    ) -> Region | None:
        """Return the freed memory that an argument points into, directly or through its table."""
        if signature is not None and signature.parameters[index].kind is not ParameterKind.POINTER:
            return None
        if argument.table is not None:
            follows = signature is not None and index in signature.follows
            return self._freed_table(event, argument.table) if follows else None
        if type(argument.value) is not int or (signature is None and argument.kind is ArgumentKind.INTEGER):
            return None
        return self.state.memory.find_freed(argument.value)

    def _freed_table(self, event: Launch, table: tuple[int, ...]) -> Region | None:
        """Return what a table's entries meant, if all of them are freed or null."""
        regions = []
        for entry in filter(None, table):
            region = self._stale(event, entry)
            if region is None:
                return None
            regions.append(region)
        return max(regions, key=lambda region: region.freed, default=None)

    def _stale(self, event: Launch, entry: int) -> Region | None:
        """Return the region of an entry that was freed before the call.

        PyCUDA allocates for `In` and `Out` during the call, often where the freed memory was. The table
        was filled before that, so an entry that points there can't mean what lies there now.
        """
        region = self.state.memory.find(entry)
        if region is None:
            return self.state.memory.find_freed(entry)
        own = any(argument.handler and argument.value == region.base for argument in event.arguments or ())
        return region if own and region.site == event.site else None

    def _report_argument(self, event: Launch, index: int, argument: Argument, region: Region) -> None:
        described = messages.described_argument(event, index, argument)
        if argument.table is not None:
            text = f"{described} of kernel `{event.function}` is a table of addresses, all of them freed"
            help = "keep the allocations in a list while the kernel uses their addresses"
        else:
            freed = messages.region_name(region)
            text = f"{described} of kernel `{event.function}` points into {freed}, which {_was(region)}"
            help = _help(region, "the kernel has run")
        story = messages.story(region) if region.freed else ()
        self.report(event, text, help, kernel=messages.kernel_location(event), related=story)


def _help(region: Region, end: str) -> str:
    """Say how to keep memory until the ``end`` of its use."""
    if region.freed_how == "free":
        return f"free it after {end}"
    if region.kind is MemoryKind.GLOBAL:
        return f"keep the module, or a function of it, until {end}"
    return f"keep the allocation itself, not its integer address, until {end}"


def _was(region: Region) -> str:
    """Say how memory was lost."""
    if region.kind is MemoryKind.GLOBAL:
        return "went with its module, since nothing referred to that any more"
    if region.freed_how == "collected":
        return "garbage collection has freed, since nothing referred to it any more"
    return "was freed"
