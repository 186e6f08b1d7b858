"""One access to global memory, checked alone: the general form, which takes every access that there is.

What is emitted for an access through a root::

        offset = address - base of the root's range
        bad = offset not below the limit, or misaligned, if the guard holds
        @bad bra SLOW
        the access
        what the caller adds, with the place in the root's range
    NEXT:
        …
    SLOW:                       (outlined)
        the access, asked about
        bra NEXT

See :mod:`pycuda_guard.kernels.instrument.asking` for what it is to ask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.asking import address_of, ask_one, emit_asked
from pycuda_guard.kernels.instrument.builder import at, is_false, is_true
from pycuda_guard.kernels.instrument.coverage import SHIFTS, STRAY_WORD, Place, note_write, place_in
from pycuda_guard.kernels.instrument.zeros import emit_zeros, holds_too
from pycuda_guard.kernels.ptx.ir import Guard

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.ranges import Range
    from pycuda_guard.kernels.ptx.ir import Register


class AtAccess(Protocol):
    """What a caller adds right after the access, in the place where it was done.

    It may be called up to twice for one access, for the place in the root's range (``guard`` is then
    that of the access) and for the place in a range that was looked up (without a guard).
    ``place`` is None where nothing is known of the memory; then nothing is to be noted.
    """

    def __call__(self, frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
        """Emit what is to be added."""


def emit_careful(frame: Frame, access: Access, added: AtAccess) -> None:
    """Emit an access to global memory, or by a generic address, with its own check.

    Where the access is bad it is reported and not done, and its destinations are 0.
    """
    builder = frame.builder
    builder.mark(access.instruction.source)
    root = frame.root_of(access)
    if root is None:
        _emit_looked_up(frame, access, added)
        return
    address = address_of(frame, access)
    slow, following = builder.label(), builder.label()
    known = frame.range_of(root[0])
    offset = builder.value("sub.u64", "b64", address, known.base)
    builder.branch(slow, is_true(_is_bad(frame, access, address, offset, known, root[1])))
    builder.keep(access.instruction)
    added(frame, access, place_in(known, offset), access.guard)
    builder.place_label(following)
    with builder.outlined(slow, following):
        emit_asked(frame, access, guarded=False)
        added(frame, access, None, None)


def _emit_looked_up(frame: Frame, access: Access, added: AtAccess) -> None:
    """Emit an access by an address of unknown origin; what is added gets the place in the range found."""
    builder = frame.builder
    following, skipped, plain = builder.label(), builder.label(), builder.label()
    if access.guard is not None:
        builder.branch(following, Guard(access.guard.register, not access.guard.negated))
    address = address_of(frame, access)
    found = ask_one(frame, access, notes=False, guarded=False)
    done = builder.value("setp.ne.u64", "pred", found, reports.SKIP)
    builder.branch(skipped, is_false(done))
    builder.keep(replace(access.instruction, guard=None))
    builder.branch(plain, is_true(builder.value("setp.eq.u64", "pred", found, reports.ELSEWHERE)))
    added(frame, access, _place_found(frame, address, found), None)
    builder.place_label(following)
    with builder.outlined(plain, following):
        added(frame, access, None, None)
    with builder.outlined(skipped, following):
        emit_zeros(frame, access)


def add_write(frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
    """Note what an access wrote."""
    if access.writes and place is not None:
        note_write(frame, place, access.width, guard)


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
    return Place(offset, fields["shadow"], tracked, code, fields["base"], found)
