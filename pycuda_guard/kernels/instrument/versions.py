"""Regions in two versions: one without any check, and one with what groups need.

What is emitted for a region::

        the addresses of all its accesses, computed in advance
        ok = all of them are good
        @!ok bra CAREFUL
        the region as it was; codes for what it writes
    JOIN:
        …
    CAREFUL:                    (outlined)
        the region in groups
        bra JOIN

An access that would be bad need not be done at all: that is for CAREFUL to find out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.builder import is_false
from pycuda_guard.kernels.instrument.calls import with_guarded
from pycuda_guard.kernels.instrument.checks import GroupChecks
from pycuda_guard.kernels.instrument.coverage import code_place, store_code
from pycuda_guard.kernels.instrument.zeros import predicate_of
from pycuda_guard.kernels.ptx.ir import Instruction, Label, Negated, Pair, Register, Symbol, Vector
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.displacements import Displacements
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.regions import Region
    from pycuda_guard.kernels.ptx.ir import Operand


def emit_region(
    frame: Frame,
    displacements: Displacements,
    region: Region,
    emit_careful: Callable[[list[Instruction | Label]], None],
) -> None:
    """Emit a region in two versions; ``emit_careful`` emits statements with checks of their own."""
    builder = frame.builder
    displacements.clear()
    early = _in_advance(frame, displacements, region)
    checks = GroupChecks(frame, displacements, [early[id(access.instruction)] for access in region.accesses])
    builder.mark(region.accesses[0].instruction.source)
    holds = checks.emit()
    written = {id(access.instruction): access for access in region.accesses if access.writes}
    for root in sorted({found[0] for each in written.values() if (found := frame.root_of(each))}):
        known = frame.range_of(root)
        usual = known.tracked(known.expected)
        holds = usual if holds is None else builder.value("and.pred", "pred", holds, usual)
    assert holds is not None
    careful, join = builder.label(), builder.label()
    builder.branch(careful, is_false(holds))
    for statement in region.body:
        builder.keep(with_guarded(frame, statement) if isinstance(statement, Instruction) else statement)
        access = written.get(id(statement))
        if access is not None:
            _note(frame, checks, access, early[id(statement)])
    builder.place_label(join)
    with builder.outlined(careful, join):
        emit_careful(_with_new_labels(frame, region.body))
    displacements.clear()


def _in_advance(frame: Frame, displacements: Displacements, region: Region) -> dict[int, Access]:
    """Compute the addresses of a region; return accesses to these by the identity of the program's own."""
    names: dict[str, str] = {}
    for index in sorted({index for needed in region.slices.values() for index in needed}):
        instruction = region.body[index]
        assert isinstance(instruction, Instruction)
        operands = [_renamed(operand, names) for operand in instruction.operands[1:]]
        for name in definitions(instruction):
            names[name] = frame.builder.register(frame.flat.registers[name]).name
            frame.copies[names[name]] = name
            displacements.copy(names[name], name)
        computed = replace(instruction, operands=(_renamed(instruction.operands[0], names), *operands))
        frame.builder.keep(computed)
        displacements.note(computed)
    found = {}
    for access in region.accesses:
        base, needed = access.address.base, region.slices[id(access.instruction)]
        if isinstance(base, Register) and any(base.name in _defined(region.body[index]) for index in needed):
            base = Register(names[base.name])
        instruction = replace(access.instruction, guard=None)
        address = replace(access.address, base=base)
        found[id(access.instruction)] = replace(access, instruction=instruction, address=address)
    return found


def _defined(statement: Instruction | Label) -> tuple[str, ...]:
    return definitions(statement) if isinstance(statement, Instruction) else ()


def _note(frame: Frame, checks: GroupChecks, access: Access, early: Access) -> None:
    """Note what an access wrote, where all codes are as coarse as expected."""
    span = checks.by_access[id(early.instruction)]
    assert span.root is not None
    known = frame.range_of(span.root)
    span.codes.clear()  # what was computed at another place need not be known here
    place, start = code_place(frame, early, span, known, known.expected)
    holds = None if access.guard is None else predicate_of(frame, access.guard)
    store_code(frame, place, start, access.width, known.expected, known.code, holds)


def _renamed(operand: Operand, names: dict[str, str]) -> Operand:
    """Return an operand with other registers."""
    match operand:
        case Register(name, False):
            return replace(operand, name=names.get(name, name))
        case Negated(Register(name)):
            return Negated(Register(names.get(name, name)))
        case Vector(elements):
            return Vector(tuple(_renamed(element, names) for element in elements))
        case Pair(first, second):
            return Pair(_renamed(first, names), _renamed(second, names))
    return operand


def _with_new_labels(frame: Frame, body: list[Instruction | Label]) -> list[Instruction | Label]:
    """Return a copy of statements that branches within itself."""
    names = {statement.name: frame.builder.label() for statement in body if isinstance(statement, Label)}
    copy: list[Instruction | Label] = []
    for statement in body:
        if isinstance(statement, Label):
            copy.append(Label(names[statement.name]))
        elif statement.opcode == "bra":
            operands = tuple(
                Symbol(names[operand.name]) if isinstance(operand, Symbol) else operand
                for operand in statement.operands
            )
            copy.append(replace(statement, operands=operands))
        else:
            copy.append(statement)
    return copy
