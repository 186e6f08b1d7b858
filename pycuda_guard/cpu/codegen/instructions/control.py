"""Instructions without an effect that anybody could see here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction


@lowers("nanosleep", "brkpt", "pmevent", "setmaxnreg", "griddepcontrol", limits="has no effect")
def nothing(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """Pauses, break points, counters of events and register budgets."""
    m.flag(*i.modifiers)
