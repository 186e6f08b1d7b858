"""One access to global memory, checked alone: the general form, which takes every access that there is.

What is emitted::

        offset = address - base of the root's range
        bad = offset not below the limit, or misaligned, if the guard holds
        @bad bra SLOW
        the access
        what the caller adds, with the place in the root's range
    NEXT:
        …
    SLOW:                       (outlined)
        found = pg_check(…)
        a reason not to do it: report, destinations = 0, bra NEXT
        the access
        what the caller adds, with the place in the range found
        bra NEXT
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.builder import at, is_true
from pycuda_guard.kernels.instrument.coverage import SHIFTS, STRAY_WORD, Place, note_write
from pycuda_guard.kernels.instrument.zeros import emit_zeros, holds_too
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.ranges import Range
    from pycuda_guard.kernels.ptx.ir import Guard, Instruction, Register


class AtAccess(Protocol):
    """What a caller adds right after the access, in the place where it was done.

    It may be called up to twice for one access, for the place in the root's range (``guard`` is then
    that of the access) and for the place in a range that was looked up (without a guard).
    ``place`` is None where nothing is known of the memory; then nothing is to be noted.
    """

    def __call__(self, frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
        """Emit what is to be added."""


def emit_careful(frame: Frame, access: Access, added: AtAccess | None = None) -> None:
    """Emit an access to global memory, or by a generic address, with its own check.

    ``added`` is by default what notes writes in the shadow. Where the access is bad it is reported
    and not done, and its destinations are 0.
    """
    builder = frame.builder
    added = added or add_write
    builder.mark(access.instruction.source)
    address = frame.address(access.address)
    if address.name in access.destinations:
        address = builder.value("mov.b64", "b64", address)
    slow, following = builder.label(), builder.label()
    root = frame.root_of(access)
    site = frame.sites.of_access(frame.name, access, root[0] if root else None)
    if root is None:
        if access.guard is None:
            builder.branch(slow)
        else:
            builder.branch(slow, access.guard)
    else:
        known = frame.range_of(root[0])
        offset = builder.value("sub.u64", "b64", address, known.base)
        builder.branch(slow, is_true(_is_bad(frame, access, address, offset, known, root[1])))
        builder.keep(access.instruction)
        added(frame, access, place_in(frame, known, offset), access.guard)
    builder.place_label(following)
    with builder.outlined():
        builder.place_label(slow)
        builder.mark(access.instruction.source)
        _emit_slow(frame, access, address, site, added)
        builder.branch(following)


def add_write(frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
    """Note what an access wrote: what a variant without other checks adds."""
    if access.writes and place is not None:
        note_write(frame, place, access.width, guard)


def place_in(frame: Frame, known: Range, offset: Register) -> Place:
    """Return the place at an offset in a root's range."""
    tracked = {shift: known.tracked(shift) for shift in SHIFTS}
    return Place(offset, known.shadow, tracked, known.code, known.base)


def _is_bad(
    frame: Frame, access: Access, address: Register, offset: Register, known: Range, alignment: int
) -> Register:
    """Emit the check of an access through a root, and return a predicate of its failure.

    ``alignment`` is that of what is added to the root.
    """
    builder = frame.builder
    certain = alignment % access.width == 0
    limit = known.limit(access.width, access.width if certain else 1)
    bad = builder.value("setp.ge.u64", "pred", offset, limit)
    if not certain:
        low = builder.value("and.b64", "b64", address, access.width - 1)
        bad = builder.value("setp.ne.or.u64", "pred", low, 0, bad)
    return bad if access.guard is None else holds_too(frame, bad, access.guard)


def _emit_slow(frame: Frame, access: Access, address: Register, site: int, added: AtAccess) -> None:
    """Emit what a failed check leads to; the guard of the access is known to hold."""
    builder = frame.builder
    shape = access.width | (reports.GENERIC if access.space is Space.GENERIC else 0)
    root = frame.root_of(access)
    known = frame.range_of(root[0]) if root else None
    arguments = (address, known.base, known.size) if known else (address, 0, 0)
    found = reports.call_check(frame, arguments, shape)
    skipped, plain, done = builder.label(), builder.label(), builder.label()
    before = builder.value("sub.u64", "b64", found, 1)
    builder.branch(skipped, is_true(builder.value("setp.lt.u64", "pred", before, reports.LAST_REASON)))
    builder.keep(unguarded(access))
    builder.branch(plain, is_true(builder.value("setp.eq.u64", "pred", found, reports.ELSEWHERE)))
    added(frame, access, _place_found(frame, address, found), None)
    builder.branch(done)
    builder.place_label(plain)
    added(frame, access, None, None)
    builder.branch(done)
    builder.place_label(skipped)
    reason = builder.value("cvt.u32.u64", "b32", found)
    reports.call_report(frame, site, reason, address)
    emit_zeros(frame, access)
    builder.place_label(done)


def _place_found(frame: Frame, address: Register, found: Register) -> Place:
    """Return the place of an address in the range that ``pg_check`` found."""
    builder = frame.builder
    fields = {}
    for name in ("base", "shadow"):
        fields[name] = builder.register("b64")
        builder.emit("ld.global.b64", fields[name], at(found, abi.RANGE_FIELDS[name]))
    shift = builder.register("b32")
    builder.emit("ld.global.b32", shift, at(found, abi.RANGE_FIELDS["shift"]))
    tracked = {each: builder.value("setp.eq.u32", "pred", shift, each) for each in SHIFTS}
    offset = builder.value("sub.u64", "b64", address, fields["base"])
    code = builder.value("mov.b32", "b32", STRAY_WORD)
    return Place(offset, fields["shadow"], tracked, code, fields["base"])


def unguarded(access: Access) -> Instruction:
    """Return the instruction of an access without its guard."""
    return replace(access.instruction, guard=None)
