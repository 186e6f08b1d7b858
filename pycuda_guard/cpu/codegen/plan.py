"""What the loader and the scheduler must know of generated code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import Variable

#: what names of kernels end in that the guard has added to a module: long code around the program's own
_CLOSE_WATCHES = ("$checked", "$races", "$traced")

#: likewise, of all that stand for one of the program's own
_ADDED = (*_CLOSE_WATCHES, "$proven")


def name_in_program(name: str) -> str:
    """Return what the program calls a kernel: without what the guard has added to its name."""
    for suffix in _ADDED:
        name = name.removesuffix(suffix)
    return name


def is_close_watch(name: str) -> bool:
    """Tell whether a kernel is one that watches the program's own closely: better compiled soon than fast."""
    return name.endswith(_CLOSE_WATCHES)


@dataclass(slots=True)
class KernelPlan:
    """One kernel of a lowered module; all values are plain data, so that it can be kept as JSON.

    ``parameters`` are (offset, bytes) in the parameter buffer of ``parameter_bytes``. ``static_shared`` is
    in bytes, ``local_bytes`` for each thread, ``frame_slots`` in 8-byte slots for each thread.
    ``suspensions`` has the abi.Suspension at the start of each region, and is empty for a kernel whose
    threads never stop: that one is ``"{name}.blocks"(block, first, last)``, others are
    ``"{name}.full.{i}"(block)`` and ``"{name}.range.{i}"(block, low, high)`` for each region ``i``.
    ``registers`` estimates what a GPU would use. What ``needs_stack`` (it recurses, or has ``alloca``) takes
    more local memory than ``local_bytes``. ``unsupported`` says why the kernel cannot be launched.
    """

    name: str
    parameters: list[tuple[int, int]] = field(default_factory=list)
    parameter_bytes: int = 0
    static_shared: int = 0
    local_bytes: int = 0
    frame_slots: int = 0
    suspensions: list[int] = field(default_factory=list)
    registers: int = 0
    max_threads: int | None = None
    needs_stack: bool = False
    unsupported: str = ""


@dataclass(slots=True)
class LoweredModule:
    """LLVM text of a module, and what it takes to load it.

    ``globals`` are the module's variables in the order of the address table ``pg.globals`` (``i64`` device
    addresses, to be filled before the first launch). ``functions`` are the device functions in the order
    of the table ``pg.functions`` (``ptr``), for initializers that hold a function's address.
    """

    ir: str
    kernels: list[KernelPlan]
    globals: list[Variable]
    functions: list[str]
