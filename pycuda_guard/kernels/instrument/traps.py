"""Assertions and traps: reported before the kernel ends by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.model import Site
from pycuda_guard.kernels.ptx.ir import Guard, Symbol
from pycuda_guard.kernels.ptx.opcodes import called

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Instruction

ASSERTION = "__assertfail"


@dataclass(frozen=True, slots=True)
class Ending:
    """An instruction that ends the launch, and how."""

    instruction: Instruction
    reason: abi.Reason


def ending(instruction: Instruction) -> Ending | None:
    """Tell how an instruction ends the launch: by an assertion or a trap; None where it does not."""
    if instruction.opcode == "trap":
        return Ending(instruction, abi.Reason.TRAP)
    callee = called(instruction)
    if isinstance(callee, Symbol) and callee.name == ASSERTION:
        return Ending(instruction, abi.Reason.ASSERT)
    return None


def report_ending(frame: Frame, end: Ending) -> None:
    """Emit the report of an instruction that ends the launch, where its guard holds."""
    instruction, reason = end.instruction, end.reason
    builder = frame.builder
    builder.mark(instruction.source)
    kind = "assert" if reason is abi.Reason.ASSERT else "trap"
    site = frame.sites.number(instruction, Site(frame.name, kind, 0, "", instruction.source))
    after = builder.label()
    if instruction.guard is not None:
        guard = instruction.guard
        builder.branch(after, Guard(guard.register, not guard.negated))
    reports.call_report(frame, site, int(reason), 0)
    builder.place_label(after)
