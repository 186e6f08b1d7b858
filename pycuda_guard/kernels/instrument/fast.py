"""The fast variant: groups in two versions, one without checks between the accesses, one careful.

Accesses that can't be in a group are asked about. What is emitted for a group::

        the arithmetic that addresses need
        ok = all accesses are good
        @!ok bra CAREFUL
        the accesses, and what was between them, as they were; codes for what they write
    JOIN:
        …
    CAREFUL:                    (outlined)
        what of the accesses may be done?
        the same, with those alone that may
        bra JOIN
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.accesses import Access, accesses_of
from pycuda_guard.kernels.instrument.asking import ask, emit_answered
from pycuda_guard.kernels.instrument.body import emit_instruction, emit_statement, statements
from pycuda_guard.kernels.instrument.builder import is_false
from pycuda_guard.kernels.instrument.checks import GroupChecks
from pycuda_guard.kernels.instrument.coverage import store_code
from pycuda_guard.kernels.instrument.displacements import Displacements
from pycuda_guard.kernels.instrument.groups import MOST_ACCESSES, Group, find_groups
from pycuda_guard.kernels.instrument.variables import is_certain, watched_variable
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Instruction, Register

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.checks import Span
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.ranges import Range

#: accesses of a group in functions that have to get by with the stack that the program asked for
_FEW_ACCESSES = 2


def emit_fast(frame: Frame) -> None:
    """Emit the body of a function in its fast variant."""
    displacements = Displacements(frame.flat)
    block: list[Instruction] = []
    for statement in statements(frame.flat):
        if isinstance(statement, Instruction):
            block.append(statement)
            continue
        _emit_block(frame, displacements, block)
        block = []
        emit_statement(frame, statement)
    _emit_block(frame, displacements, block)


def _emit_block(frame: Frame, displacements: Displacements, block: list[Instruction]) -> None:
    """Emit instructions between which no label stands."""
    displacements.clear()
    most = _FEW_ACCESSES if frame.is_short_of_stack else MOST_ACCESSES
    for entry in find_groups(frame.flat, block, lambda instruction: _member(frame, instruction), most):
        if isinstance(entry, Instruction):
            emit_instruction(frame, entry)
            displacements.note(entry)
        else:
            _emit_group(frame, displacements, entry)


def _member(frame: Frame, instruction: Instruction) -> Access | None:
    """Return the access of an instruction if it may be in a group."""
    accesses = accesses_of(instruction)
    if len(accesses) != 1:
        return None
    access = accesses[0]
    variable = watched_variable(frame, access)
    if variable is not None and is_certain(access, variable):
        return access
    if not isinstance(access.address.base, Register):
        return None
    return access if variable is not None or frame.root_of(access) is not None else None


def _emit_group(frame: Frame, displacements: Displacements, group: Group) -> None:
    builder = frame.builder
    for instruction in group.hoisted:
        builder.keep(instruction)
        displacements.note(instruction)
    checks = GroupChecks(frame, displacements, group.accesses)
    builder.mark(group.rest[0].source)
    holds = checks.emit()
    for instruction in group.rest:
        displacements.note(instruction)
    if holds is None:
        for instruction in group.rest:
            builder.keep(instruction)
        return
    careful, join = builder.label(), builder.label()
    builder.branch(careful, is_false(holds))
    accesses = {id(access.instruction): access for access in group.accesses}
    written: list[tuple[Access, Span]] = []
    for instruction in group.rest:
        builder.keep(instruction)
        access = accesses.get(id(instruction))
        span = checks.by_access.get(id(instruction))
        if access is None or span is None or span.root is None or not access.writes:
            continue
        if access.guard is None:
            written.append((access, span))
        else:  # what its guard is may change
            _note(frame, access, span)
    _note_all(frame, written, join)
    builder.place_label(join)
    with builder.outlined():
        builder.place_label(careful)
        builder.mark(group.rest[0].source)
        answers = ask(frame, group.accesses, notes=True)
        for instruction in group.rest:
            access = accesses.get(id(instruction))
            done = answers.of(frame, access) if access is not None else None
            if access is not None and done is not None:
                emit_answered(frame, access, done)
            else:
                builder.keep(instruction)
        builder.branch(join)


def _note_all(frame: Frame, written: list[tuple[Access, Span]], join: str) -> None:
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
        place, start = _code_place(frame, access, span, known, known.expected)
        store_code(frame, place, start, access.width, known.expected, known.code)
    with builder.outlined():
        builder.place_label(other)
        for access, span in written:
            _note(frame, access, span)
        builder.branch(join)


def _note(frame: Frame, access: Access, span: Span) -> None:
    """Note what an access of a span wrote, at each granularity that codes may have."""
    assert span.root is not None
    known = frame.range_of(span.root)
    for shift in range(known.expected, -1, -1):
        place, start = _code_place(frame, access, span, known, shift)
        holds = known.tracked(shift)
        if access.guard is not None:
            holds = holds_too(frame, holds, access.guard)
        store_code(frame, place, start, access.width, shift, known.code, holds)


def _code_place(frame: Frame, access: Access, span: Span, known: Range, shift: int) -> tuple[Register, int]:
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
