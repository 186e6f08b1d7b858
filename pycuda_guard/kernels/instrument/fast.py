"""The fast variant: groups in two versions, one without checks between the accesses, one careful.

Several groups may be in a region (see versions.py). Accesses that can't be in a group are asked about.
What is emitted for a group::

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

from functools import partial
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.accesses import Access, accesses_of
from pycuda_guard.kernels.instrument.asking import ask, emit_answered
from pycuda_guard.kernels.instrument.body import emit_instruction, emit_statement, statements
from pycuda_guard.kernels.instrument.builder import is_false
from pycuda_guard.kernels.instrument.checks import GroupChecks
from pycuda_guard.kernels.instrument.coverage import note, note_all
from pycuda_guard.kernels.instrument.displacements import Displacements
from pycuda_guard.kernels.instrument.groups import MOST_ACCESSES, Group, find_groups
from pycuda_guard.kernels.instrument.regions import find_regions
from pycuda_guard.kernels.instrument.variables import is_certain, watched_variable
from pycuda_guard.kernels.instrument.versions import emit_region
from pycuda_guard.kernels.ptx.ir import Instruction, Register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.kernels.instrument.checks import Span
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.traps import Ending
    from pycuda_guard.kernels.ptx.ir import Label, Pragma

#: accesses of a group in functions that have to get by with the stack that the program asked for
_FEW_ACCESSES = 2


def emit_fast(frame: Frame) -> None:
    """Emit the body of a function in its fast variant."""
    displacements = Displacements(frame.flat)
    body = list(statements(frame.flat))
    regions = {} if frame.is_short_of_stack else find_regions(frame.flat, body, partial(_early, frame))
    start = 0
    for index in sorted(regions):
        _emit_statements(frame, displacements, body[start:index])
        emit_region(frame, displacements, regions[index], partial(_emit_statements, frame, displacements))
        start = index + len(regions[index].body)
    _emit_statements(frame, displacements, body[start:])


def _emit_statements(
    frame: Frame, displacements: Displacements, body: Sequence[Instruction | Label | Pragma | Ending]
) -> None:
    """Emit statements, in groups where they have accesses."""
    block: list[Instruction] = []
    for statement in body:
        if isinstance(statement, Instruction):
            block.append(statement)
            continue
        _emit_block(frame, displacements, block)
        block = []
        emit_statement(frame, statement)
    _emit_block(frame, displacements, block)


def _early(frame: Frame, instruction: Instruction) -> Access | None:
    """Return the access of an instruction if it is through a root that tells whether it is aligned."""
    access = _member(frame, instruction)
    root = frame.root_of(access) if access is not None else None
    return access if access is not None and root and root[1] % access.width == 0 else None


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
            note(frame, access, span)
    note_all(frame, written, join)
    builder.place_label(join)
    with builder.outlined(careful, join):
        builder.mark(group.rest[0].source)
        answers = ask(frame, group.accesses, notes=True)
        for instruction in group.rest:
            access = accesses.get(id(instruction))
            done = answers.of(frame, access) if access is not None else None
            if access is not None and done is not None:
                emit_answered(frame, access, done)
            else:
                builder.keep(instruction)
