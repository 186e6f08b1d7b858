"""Accesses to variables of the program: within the variable that the address comes from.

Shared, constant and module variables have sizes that the PTX tells, dynamic shared memory one that the
launch tells. Their addresses need no table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.builder import is_true
from pycuda_guard.kernels.instrument.zeros import emit_zeros, holds_too
from pycuda_guard.kernels.ptx.ir import Register, Space, Symbol

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Operand, Variable

_WATCHED = (Space.SHARED, Space.GLOBAL, Space.CONST)


@dataclass(frozen=True, slots=True)
class VariableOffset:
    """Where in a variable an access is.

    ``offset`` is in bytes from the variable's start, ``limit`` what it must be below, both of ``bits``.
    """

    variable: Variable
    offset: Register
    limit: Operand | int
    bits: int


def watched_variable(frame: Frame, access: Access) -> Variable | None:
    """Return the variable that an access must stay in, or None where that isn't known."""
    variable = frame.variable_of(access)
    if variable is None or variable.space not in _WATCHED:
        return None
    if access.space not in (variable.space, Space.GENERIC):
        return None
    return variable if variable.size or is_dynamic(variable) else None


def is_dynamic(variable: Variable) -> bool:
    """Tell whether a variable is shared memory of which the launch says how much there is."""
    return variable.space is Space.SHARED and "extern" in variable.linkage


def is_certain(access: Access, variable: Variable) -> bool:
    """Tell whether an access can't be outside: at the variable itself, by a constant offset."""
    address = access.address
    if not isinstance(address.base, Symbol) or is_dynamic(variable):
        return False
    offset = address.base.offset + address.offset
    aligned = offset % access.width == 0 and variable.alignment % access.width == 0
    return aligned and 0 <= offset <= variable.size - access.width


def locate(frame: Frame, access: Access, variable: Variable) -> VariableOffset:
    """Emit the offset of an access in a variable.

    The address is one of the variable's state space, or generic; the variable's own address is taken
    off in the same form.
    """
    builder = frame.builder
    address = access.address
    bits = 64 if is_wide(frame, access) else 32
    kind = f"b{bits}"
    if isinstance(address.base, Register):
        start = start_of(frame, access, variable, bits)
        offset = builder.value(f"sub.u{bits}", kind, address.base, start)
        if address.offset:
            offset = builder.value(f"add.u{bits}", kind, offset, address.offset)
    else:
        inner = address.base.offset if isinstance(address.base, Symbol) else 0
        offset = builder.value(f"mov.b{bits}", kind, (inner + address.offset) % (1 << bits))
    limit: Operand | int = max(variable.size - access.width + 1, 0)
    if is_dynamic(variable):
        limit = frame.dynamic_limit(access.width, bits)
    return VariableOffset(variable, offset, limit, bits)


def emit_in_variable(frame: Frame, access: Access, variable: Variable) -> None:
    """Emit an access to a variable with its own check; a bad one is reported and not done."""
    builder = frame.builder
    if is_certain(access, variable):
        builder.keep(access.instruction)
        return
    builder.mark(access.instruction.source)
    slow, following = builder.label(), builder.label()
    place = check_in_variable(frame, access, variable, slow)
    builder.keep(access.instruction)
    builder.place_label(following)
    with builder.outlined(slow, following):
        builder.mark(access.instruction.source)
        report_variable(frame, access, place)
        emit_zeros(frame, access)


def check_in_variable(frame: Frame, access: Access, variable: Variable, slow: str) -> VariableOffset:
    """Emit the check of an access to a variable, which branches to ``slow`` where it is bad."""
    builder = frame.builder
    place = locate(frame, access, variable)
    bad = builder.value(f"setp.ge.u{place.bits}", "pred", place.offset, place.limit)
    if not is_aligned(frame, access, variable):
        low = builder.value(f"and.b{place.bits}", f"b{place.bits}", place.offset, access.width - 1)
        bad = builder.value(f"setp.ne.or.u{place.bits}", "pred", low, 0, bad)
    if access.guard is not None:
        bad = holds_too(frame, bad, access.guard)
    builder.branch(slow, is_true(bad))
    return place


def is_aligned(frame: Frame, access: Access, variable: Variable) -> bool:
    """Tell whether an access is surely aligned, or its variable too little to tell by the offset."""
    origin = frame.provenance.origin(access.address)
    if origin is not None and origin.alignment % access.width == 0:
        return True
    return variable.alignment % access.width != 0


def report_variable(frame: Frame, access: Access, place: VariableOffset) -> None:
    """Report a bad access to a variable: by its offset in shared memory, else by its address.

    The detail is the size of a shared variable, or the offset in another.
    """
    builder = frame.builder
    variable = place.variable
    name = variable.name
    site = frame.sites.of_access(frame.name, access, None, name, variable.size)
    offset = place.offset
    if place.bits == 32:
        offset = builder.value("cvt.s64.s32", "b64", offset)
    inside = builder.value(f"setp.lt.u{place.bits}", "pred", place.offset, place.limit)
    if variable.space is Space.SHARED:
        size: Operand | int = variable.size
        if is_dynamic(variable):
            size = builder.value("cvt.u64.u32", "b64", frame.header("dynamic"))
        reason = _choose(frame, abi.Reason.SHARED_OUTSIDE, inside)
        reports.call_report(frame, site, reason, offset, size)
        return
    reason = _choose(frame, abi.Reason.OUTSIDE, inside)
    reports.call_report(frame, site, reason, frame.address(access.address), offset)


def _choose(frame: Frame, outside: abi.Reason, inside: Register) -> Register:
    """Return the reason: misaligned if the offset is ``inside``, else the other."""
    return frame.builder.value("selp.b32", "b32", int(abi.Reason.MISALIGNED), int(outside), inside)


def start_of(frame: Frame, access: Access, variable: Variable, bits: int) -> Register:
    """Emit a variable's own address, in the form in which an access names it."""
    kind = f"b{bits}"
    start = frame.builder.value(f"mov.u{bits}", kind, Symbol(variable.name))
    if access.space is Space.GENERIC:
        start = frame.builder.value(f"cvta.{variable.space.value}.u64", kind, start)
    return start


def is_wide(frame: Frame, access: Access) -> bool:
    """Tell whether an access's address has 64 bits."""
    base = access.address.base
    wide = isinstance(base, Register) and frame.flat.registers.get(base.name) in ("b64", "u64", "s64")
    return wide or access.space is not Space.SHARED
