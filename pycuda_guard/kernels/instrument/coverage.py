"""Notes in the shadow which bytes a kernel wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.builder import at, is_false, is_true
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Immediate, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.checks import Span
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.ranges import Range
    from pycuda_guard.kernels.ptx.ir import Guard, Operand, Register

#: granularities of codes, as ``shift`` of an abi.RANGE
SHIFTS = (2, 1, 0)
STRAY_WORD = abi.STRAY * 0x01010101


@dataclass(frozen=True, slots=True)
class Place:
    """Where the codes of the bytes are that an access touches.

    ``offset`` is that of the access in its allocation, in bytes; ``shadow`` the address of the code of the
    allocation's first byte; ``tracked`` has a predicate for each granularity that the codes may have.
    ``code`` is what a write leaves there, in each of its four bytes. ``base`` is the allocation's address.
    ``row`` is that of its abi.RANGE in the table, where it was looked up there.
    """

    offset: Register
    shadow: Register
    tracked: Mapping[int, Register]
    code: Operand
    base: Register
    row: Register | None = None


def place_in(known: Range, offset: Register) -> Place:
    """Return the place at an offset in a root's range."""
    tracked = {shift: known.tracked(shift) for shift in SHIFTS}
    return Place(offset, known.shadow, tracked, known.code, known.base)


def note_write(frame: Frame, place: Place, width: int, guard: Guard | None = None) -> None:
    """Store the code for ``width`` bytes, where ``guard`` holds."""
    for shift, predicate in place.tracked.items():
        holds = predicate if guard is None else holds_too(frame, predicate, guard)
        where = frame.builder.value("shr.u64", "b64", place.offset, shift) if shift else place.offset
        address = frame.builder.value("add.u64", "b64", where, place.shadow)
        store_code(frame, address, 0, width, shift, place.code, holds)


def store_code(
    frame: Frame,
    address: Register,
    offset: int,
    width: int,
    shift: int,
    code: Operand,
    holds: Register | None = None,
) -> None:
    """Store the code for ``width`` bytes at ``[address+offset]``, where the predicate ``holds`` if any."""
    count = max(1, width >> shift)
    for start in range(0, count, 16):
        target = at(address, offset + start)
        if count <= 4:
            data: Operand = code
            kind = f"b{8 * count}"
            if isinstance(code, Immediate):
                data = Immediate("int", code.value % (1 << 8 * count))
        else:
            words = min(count, 16) // 4
            data, kind = Vector((code,) * words), f"v{words}.b32"
        guard = None if holds is None else is_true(holds)
        frame.builder.emit(f"st.global.{kind}", target, data, guard=guard)


# --- what a group or a region writes ------------------------------------------------------------


def note_all(frame: Frame, written: list[tuple[Access, Span]], join: str) -> None:
    """Note what was written, where all codes are as coarse as expected; else in outlined code."""
    builder = frame.builder
    roots = {span.root: frame.range_of(span.root) for _, span in written if span.root is not None}
    if not roots:
        return
    usual: Register | None = None
    for known in roots.values():
        each = known.tracked(known.expected)
        usual = each if usual is None else builder.value("and.pred", "pred", usual, each)
    assert usual is not None
    other = builder.label()
    builder.branch(other, is_false(usual))
    for access, span in written:
        assert span.root is not None
        known = roots[span.root]
        place, start = code_place(frame, access, span, known, known.expected)
        store_code(frame, place, start, access.width, known.expected, known.code)
    with builder.outlined(other, join):
        for access, span in written:
            note(frame, access, span)


def note(frame: Frame, access: Access, span: Span) -> None:
    """Note what an access of a span wrote, at each granularity that codes may have."""
    assert span.root is not None
    known = frame.range_of(span.root)
    for shift in range(known.expected, -1, -1):
        place, start = code_place(frame, access, span, known, shift)
        holds = known.tracked(shift)
        if access.guard is not None:
            holds = holds_too(frame, holds, access.guard)
        store_code(frame, place, start, access.width, shift, known.code, holds)


def code_place(frame: Frame, access: Access, span: Span, known: Range, shift: int) -> tuple[Register, int]:
    """Emit an address near the code of what an access of a span writes; return how far it is from that."""
    assert span.offset is not None
    distance = access.address.offset - span.low
    if distance % (1 << shift):  # what is accessed first is narrower than what is written
        offset = frame.builder.value("add.u64", "b64", span.offset, distance)
        return _code_address(frame, offset, shift, known), 0
    if frame.builder.is_outlined:
        return _code_address(frame, span.offset, shift, known), distance >> shift
    place = span.codes.get(shift)
    if place is None:
        place = span.codes[shift] = _code_address(frame, span.offset, shift, known)
    return place, distance >> shift


def _code_address(frame: Frame, offset: Register, shift: int, known: Range) -> Register:
    """Emit the address of the code of what is at an offset."""
    builder = frame.builder
    place = builder.value("shr.u64", "b64", offset, shift) if shift else offset
    return builder.value("add.u64", "b64", place, known.shadow)
