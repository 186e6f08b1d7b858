"""What the code generator hands to the loader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import Variable


@dataclass(slots=True)
class KernelPlan:
    """A kernel as the runtime must know it; all sizes in bytes. Its fields can be written as JSON.

    ``parameters`` are (offset, size) in order. ``local_bytes`` and ``frame_slots`` (of 8 bytes) are for each
    thread. ``suspensions`` holds the ``abi.Suspension`` at the start of each region; it is empty if threads
    never wait. ``registers`` is an estimate for one thread. ``max_threads`` is the kernel's own limit, or None.
    ``unsupported`` says why the kernel cannot run; then there is no code for it.
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
    unsupported: str = ""


@dataclass(slots=True)
class LoweredModule:
    """A PTX module as LLVM text, and what loading it needs.

    ``globals`` are the variables in the order of the table ``pg.globals``, ``functions`` the names of the
    functions in that of ``pg.functions``.
    """

    ir: str
    kernels: list[KernelPlan]
    globals: list[Variable]
    functions: list[str]
