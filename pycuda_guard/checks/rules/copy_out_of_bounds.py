"""A copy or memset reaches outside the memory it was given.

What it does
------------
Compares every copy and memset with the memory at both of its ends: on the device the size that was
asked for when it was allocated (also for a block of a memory pool, a `__device__` or `__constant__`
variable, and the rows of a pitched 2D or 3D copy), on the host the size of the buffer.

Why is this bad
---------------
PyCUDA copies as many bytes as the host buffer has and never looks at the allocation. The driver
either answers with a bare "invalid argument", or, where the overrun stays within its own rounding,
says nothing and lets the copy run into memory that is not yours. A 2D copy that is too large for
the host side corrupts the heap of the process.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    n = 1000
    y_gpu = cuda.mem_alloc(n * np.dtype(np.float32).itemsize)
    cuda.memset_d32(y_gpu, 0, n)
    y = np.zeros(n)  # float64: twice as large
    cuda.memcpy_dtoh(y, y_gpu)

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    n = 1000
    y_gpu = cuda.mem_alloc(n * np.dtype(np.float32).itemsize)
    cuda.memset_d32(y_gpu, 0, n)
    y = np.zeros(n, np.float32)
    cuda.memcpy_dtoh(y, y_gpu)

Known limits
------------
Memory of other libraries and memory allocated before the guard was enabled has no known size. An
address computed past the end of one allocation and into the next one counts as the next one's.

References
----------
CUDA driver API, Memory Management: cuMemcpyHtoD, cuMemcpyDtoH, cuMemcpy2D, cuMemsetD32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.base import Rule
from pycuda_guard.checks.pointers import Place, locate, moves
from pycuda_guard.events.model import (
    ArrayOperand,
    CallFailed,
    Copy,
    DeviceOperand,
    HostOperand,
    MemoryKind,
    Memset,
    OddOperand,
)
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region

_GEOMETRY = "make height, width, pitch and offsets those of the memory, or enlarge it"

#: dtypes that numpy gives where none is asked for, and what CUDA code mostly uses.
_DEFAULTS = {"float64": "np.float32", "int64": "np.int32", "complex128": "np.complex64"}


class CopyOutOfBounds(Rule):
    """PG201."""

    code: ClassVar[str] = "PG201"
    name: ClassVar[str] = "copy-out-of-bounds"
    severity: ClassVar[Severity] = Severity.ERROR
    only_odd = frozenset({Copy, Memset})

    def on_copy(self, event: Copy) -> None:
        """Look at both ends of a copy."""
        if not self.state.inside and not _is_refused(event):
            self._check(event)

    def on_memset(self, event: Memset) -> None:
        """Look at the memory of a memset."""
        if not self.state.inside:
            self._check(event)

    def on_call_failed(self, event: CallFailed) -> None:
        """Look again at a refused copy, for an address just outside an allocation."""
        if statuses.words(event) != statuses.INVALID_ARGUMENT or self.explained(event.announced):
            return
        announced = self.state.announced(event.announced)
        if isinstance(announced, (Copy, Memset)):
            self._check(announced, refused=True)

    def _check(self, event: Copy | Memset, refused: bool = False) -> None:
        """Report the first operand that is out of bounds, if one is."""
        operands = [event.destination] + ([event.source] if isinstance(event, Copy) else [])
        for position, operand in enumerate(operands):
            if isinstance(operand, OddOperand):
                continue
            problem = self._problem(operand, refused)
            if problem is None:
                continue
            if not self.again(event):
                text, help, region = problem
                self.report(
                    event,
                    self._message(event, position, text, region),
                    help or self._help(event, region),
                    related=messages.story(region) if region is not None else (),
                )
            return

    def _problem(
        self, operand: DeviceOperand | HostOperand | ArrayOperand, refused: bool
    ) -> tuple[str, str, Region | None] | None:
        """Return what is wrong with an operand, a special help line or none, and the memory meant."""
        extent = operand.extent
        region = self.state.memory.find(operand.address) if isinstance(operand, DeviceOperand) else None
        if extent.width < 0:
            return "the size is negative", "check which end is subtracted from which in the size", region
        if not moves(extent):
            return None
        if isinstance(operand, DeviceOperand):
            return self._device_problem(operand, refused)
        if isinstance(operand, HostOperand) and extent.rows == extent.slices == 1 and extent.offset == 0:
            return None if extent.width <= operand.nbytes else self._too_small(operand)
        return self._too_small(operand) if extent.offset < 0 or extent.end > operand.nbytes else None

    @staticmethod
    def _too_small(operand: HostOperand | ArrayOperand) -> tuple[str, str, None]:
        over = operand.extent.end - operand.nbytes
        what = "the host array" if isinstance(operand, HostOperand) else "the CUDA array"
        if operand.extent.offset < 0:
            text = f"it starts {messages.size(-operand.extent.offset)} before {what}"
        else:
            text = f"{what} holds {messages.size(operand.nbytes)}, {messages.size(over)} too few"
        return text, _GEOMETRY, None

    def _device_problem(self, operand: DeviceOperand, refused: bool) -> tuple[str, str, Region] | None:
        extent = operand.extent
        place, region = locate(self.state, operand, refused)
        if region is None or place is Place.FREED:
            return None
        name = messages.region_name(region)
        if place is Place.LIVE:
            if region.kind is MemoryKind.REGISTERED:
                return None
            start = operand.address - region.base + extent.offset
            over = operand.address + extent.end - region.end
            if start >= 0 and over <= 0:
                return None
            if start < 0:
                return f"it starts {messages.size(-start)} before {name}", "", region
            text = f"{name} holds {messages.holds(region)}"
            if start:
                text += f"; this starts at byte {start} and runs {messages.size(over)} past the end"
            return text, "", region
        if place is Place.AFTER:
            gap = operand.address - region.end
            where = f"{messages.size(gap)} after the end of" if gap else "at the end of"
            return f"it starts {where} {name}, which holds {messages.holds(region)}", "", region
        before = region.base - operand.address
        return f"it starts {messages.size(before)} before {name} and runs into it", "", region

    def _message(self, event: Copy | Memset, position: int, text: str, region: Region | None) -> str:
        names = messages.copy_names(event)
        if isinstance(event, Memset):
            target = names[0] or (messages.region_name(region) if region is not None else "memory")
            amount = f"{messages.count(event.count, 'element')} of {messages.size(event.item_size)}"
            rows = event.destination.extent.rows if isinstance(event.destination, DeviceOperand) else 1
            nbytes = event.count * event.item_size
            amount = f"{rows} rows of {amount}" if rows > 1 else f"{amount} ({messages.size(nbytes)})"
            message = f"{event.call} of {amount} on {target}"
            return _joined(message, target, text)
        wrong = event.source if position else event.destination
        amount = messages.extent(wrong.extent) if not isinstance(wrong, OddOperand) else ""
        ends = []
        for operand, name, preposition in (
            (event.source, names[1], "from"),
            (event.destination, names[0], "to"),
        ):
            if isinstance(operand, HostOperand):
                inside = [messages.array(operand.shape, operand.dtype), name or "the host array"]
                amount += f" ({', '.join(part for part in inside if part)})"
                continue
            if not name and isinstance(operand, DeviceOperand):
                meant = region if operand is wrong else self.state.memory.find(operand.address)
                name = messages.region_name(meant) if meant is not None else ""
            unnamed = "the CUDA array" if isinstance(operand, ArrayOperand) else "device memory"
            ends.append(f"{preposition} {name or unnamed}")
        return _joined(f"copy of {amount} {' '.join(ends)}", ends[-1].partition(" ")[2] if ends else "", text)

    @staticmethod
    def _help(event: Copy | Memset, region: Region | None) -> str:
        if isinstance(event, Memset):
            return _memset_help(event, region)
        for operand in (event.destination, event.source):
            if not isinstance(operand, OddOperand) and operand.extent.rows > 1:
                return _GEOMETRY
        host = next((o for o in (event.destination, event.source) if isinstance(o, HostOperand)), None)
        if host is None or region is None:
            return "copy no more bytes than both allocations hold"
        smaller = _DEFAULTS.get(host.dtype or "")
        if smaller and host.nbytes == 2 * region.nbytes:
            return f"give the array dtype={smaller} ({host.dtype} is numpy's default), or allocate its nbytes"
        if region.kind is MemoryKind.GLOBAL:
            return f"the variable's size is fixed: copy {messages.size(region.nbytes)} at most"
        device = event.source if host is event.destination else event.destination
        if (
            isinstance(device, DeviceOperand)
            and device.address > region.base
            and host.nbytes <= region.nbytes
        ):
            return "make the offset one that leaves room for the array's nbytes: offsets count bytes"
        return "allocate the array's nbytes, or copy a slice of the array that fits"


def _is_refused(event: Copy) -> bool:
    """Tell whether PyCUDA turns a copy down for its host array, so that nothing is out of bounds."""
    return any(
        isinstance(operand, HostOperand) and not operand.contiguous
        for operand in (event.destination, event.source)
    )


def _memset_help(event: Memset, region: Region | None) -> str:
    """Say how many elements there are to set."""
    operand, item = event.destination, event.item_size
    if region is None or not isinstance(operand, DeviceOperand):
        return f"{event.call} counts elements of {messages.size(item)}; pass how many there are"
    room = max(region.end - operand.address, 0)
    if "d2d" in event.call:
        pitch, rows = operand.extent.pitch, operand.extent.rows
        return (
            f"pass (pointer, pitch in bytes, value, width in elements of {messages.size(item)}, height): "
            f"{messages.size(room)} are {room // max(pitch, 1)} rows of the pitch {pitch}, not {rows}"
            if event.count * item <= pitch
            else f"the width counts elements of {messages.size(item)}: pass at most {pitch // item}"
        )
    if item > 1 and event.count == region.nbytes:
        return f"{event.call} counts elements, not bytes: pass {room // item}"
    return f"pass at most {room // item}, which is what fits"


def _joined(message: str, last: str, text: str) -> str:
    """Append what is wrong to what was asked for, without naming the same memory twice in a row."""
    if last and text.startswith(f"{last} holds"):
        return f"{message}, which {text.removeprefix(last).lstrip()}"
    return f"{message}: {text}"
