"""What stands in for an access that is not done, and guards as predicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Immediate, Register, Vector

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Guard, Operand


def emit_zeros(frame: Frame, access: Access, guard: Guard | None = None) -> None:
    """Put 0 in what an access that is not done should have read, where ``guard`` holds."""
    builder = frame.builder
    for name in access.destinations:
        bits = 8 * TYPE_SIZES[frame.flat.registers[name]]
        zero: Operand = Immediate("int", 0)
        if bits == 128:
            zero = Vector((builder.value("mov.b64", "b64", 0),) * 2)
        builder.emit(f"mov.b{bits}", Register(name), zero, guard=guard)


def predicate_of(frame: Frame, guard: Guard) -> Register:
    """Return a predicate that holds where a guard does."""
    register = Register(guard.register)
    return frame.builder.value("not.pred", "pred", register) if guard.negated else register


def holds_too(frame: Frame, predicate: Register, guard: Guard) -> Register:
    """Return a predicate that holds where ``predicate`` and a guard do."""
    return frame.builder.value("and.pred", "pred", predicate, predicate_of(frame, guard))
