"""Asks ``pg_check`` about accesses: whether each may be done, after its report if not.

An access is asked about where its address comes from no root, or where its quick check has failed. The
accesses of a group are asked about all at once, before the first of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import reports
from pycuda_guard.kernels.instrument.builder import is_false, is_true
from pycuda_guard.kernels.instrument.coverage import note_write, place_in
from pycuda_guard.kernels.instrument.reports import Shape
from pycuda_guard.kernels.instrument.variables import (
    is_certain,
    is_dynamic,
    locate,
    start_of,
    watched_variable,
)
from pycuda_guard.kernels.instrument.zeros import emit_zeros
from pycuda_guard.kernels.ptx.ir import Register, Space

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Guard, Operand, Variable


@dataclass(frozen=True, slots=True)
class Answers:
    """Which accesses may be done: the entry of each in the frame, by the identity of its instruction."""

    entries: dict[int, int]

    def of(self, frame: Frame, access: Access) -> Register | None:
        """Emit the predicate that an access may be done; None where it was not asked about."""
        entry = self.entries.get(id(access.instruction))
        if entry is None:
            return None
        return frame.builder.value("setp.ne.u64", "pred", reports.found_range(frame, entry), reports.SKIP)


def ask(frame: Frame, accesses: list[Access], notes: bool, guarded: bool = True) -> Answers:
    """Ask about accesses, but for those that can't be bad.

    ``notes``: whether those that write are to be noted. Where they are not ``guarded``, guards are known to
    hold.
    """
    asked = [access for access in accesses if not _is_certain(frame, access)]
    for index, access in enumerate(asked):
        _question(frame, index, access, Shape.NOTES if notes else Shape(0), guarded, index == len(asked) - 1)
    reports.call_check(frame, len(asked))
    return Answers({id(access.instruction): index for index, access in enumerate(asked)})


def ask_one(frame: Frame, access: Access, notes: bool, guarded: bool) -> Register:
    """Ask about one access as :func:`ask` does; return the register that has what was found."""
    _question(frame, 0, access, Shape.NOTES if notes else Shape(0), guarded, True)
    reports.call_check(frame, 1)
    return reports.found_range(frame, 0)


def emit_answered(frame: Frame, access: Access, done: Register, guarded: bool = True) -> None:
    """Emit an access where the predicate ``done`` holds; else, if its guard holds, its destinations are 0.

    What is read stays behind a branch, or else many loads would be issued, and registers kept, early.
    """
    builder = frame.builder
    builder.mark(access.instruction.source)
    if not access.destinations:
        builder.keep(replace(access.instruction, guard=is_true(done)))
        _note(frame, access, is_true(done))
        return
    skipped, following = builder.label(), builder.label()
    builder.branch(skipped, is_false(done))
    address = address_of(frame, access) if access.writes else None
    builder.keep(replace(access.instruction, guard=None))
    _note(frame, access, None, address)
    builder.place_label(following)
    with builder.outlined(skipped, following):
        emit_zeros(frame, access, access.guard if guarded else None)


def _note(frame: Frame, access: Access, guard: Guard | None, address: Register | None = None) -> None:
    """Note what an access wrote through a root that the host has told the range of."""
    root = frame.root_of(access)
    if root is None or not access.writes:
        return
    known = frame.range_of(root[0])
    address = address or address_of(frame, access)
    offset = frame.builder.value("sub.u64", "b64", address, known.base)
    note_write(frame, place_in(known, offset), access.width, guard)


def emit_asked(frame: Frame, access: Access, guarded: bool = True) -> None:
    """Emit an access that is asked about, and noted if it writes; ``guarded`` as in :func:`ask`."""
    frame.builder.mark(access.instruction.source)
    found = ask_one(frame, access, True, guarded)
    done = frame.builder.value("setp.ne.u64", "pred", found, reports.SKIP)
    emit_answered(frame, access, done, guarded)


def _is_certain(frame: Frame, access: Access) -> bool:
    variable = watched_variable(frame, access)
    return variable is not None and is_certain(access, variable)


def _question(frame: Frame, index: int, access: Access, notes: Shape, guarded: bool, last: bool) -> None:
    """Put what is to be known of an access in the frame."""
    builder = frame.builder
    variable = watched_variable(frame, access)
    root = frame.root_of(access)
    if variable is not None:
        site, shape = _about_variable(frame, index, access, variable)
    else:
        known = frame.range_of(root[0]) if root else None
        base, size = (known.base, known.size) if known else (0, 0)
        reports.fill(frame, index, address=address_of(frame, access), base=base, size=size)
        site = frame.sites.of_access(frame.name, access, root[0] if root else None)
        shape = access.width | (Shape.GENERIC if access.space is Space.GENERIC else 0)
        shape |= notes if access.writes else 0
    end = Shape.LAST if last else 0
    what: Operand | int = site << 32 | shape | end
    if access.guard is not None and guarded:
        values = (end, what) if access.guard.negated else (what, end)
        what = builder.value("selp.b64", "b64", *values, Register(access.guard.register))
    reports.fill(frame, index, what=what)


def _about_variable(frame: Frame, index: int, access: Access, variable: Variable) -> tuple[int, int]:
    """Put in the frame what is to be known of an access to a variable; return its site and shape."""
    builder = frame.builder
    site = frame.sites.of_access(frame.name, access, None, variable.name, variable.size)
    shape = access.width | (Shape.UNALIGNED if variable.alignment % access.width else 0)
    size: Operand | int = variable.size
    if is_dynamic(variable):
        size = builder.value("cvt.u64.u32", "b64", frame.header("dynamic"))
    if variable.space is Space.SHARED:
        place = locate(frame, access, variable)
        offset = place.offset
        if place.bits == 32:
            offset = builder.value("cvt.s64.s32", "b64", offset)
        reports.fill(frame, index, address=offset, base=0, size=size)
        return site, shape | Shape.SHARED
    base = start_of(frame, access, variable, 64)
    reports.fill(frame, index, address=address_of(frame, access), base=base, size=size)
    return site, shape | Shape.VARIABLE


def address_of(frame: Frame, access: Access) -> Register:
    """Return a register with an access's address, which the access itself does not write."""
    address = frame.address(access.address)
    if address.name in access.destinations:
        return frame.builder.value("mov.b64", "b64", address)
    return address
