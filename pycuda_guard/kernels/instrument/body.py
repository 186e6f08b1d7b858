"""The careful form of any statement: an instruction as it was, each access with a check of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.asking import emit_asked
from pycuda_guard.kernels.instrument.calls import emit_call, with_guarded
from pycuda_guard.kernels.instrument.careful import emit_careful
from pycuda_guard.kernels.instrument.traps import Ending, ending, report_ending
from pycuda_guard.kernels.instrument.variables import (
    check_in_variable,
    emit_in_variable,
    report_variable,
    watched_variable,
)
from pycuda_guard.kernels.ptx.ir import Address, Arguments, Instruction, Space, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.careful import AtAccess
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Label, Pragma

_LEAVING = frozenset({"bra", "brx", "call", "ret", "exit"})


def emit_statement(
    frame: Frame, statement: Instruction | Label | Pragma | Ending, added: AtAccess | None = None
) -> None:
    """Emit one of :func:`statements`, an access in its careful form."""
    if isinstance(statement, Instruction):
        emit_instruction(frame, statement, added)
    elif isinstance(statement, Ending):
        report_ending(frame, statement)
    else:
        frame.builder.keep(statement)


def statements(flat: FlatFunction) -> Iterator[Instruction | Label | Pragma | Ending]:
    """Yield a function's statements in order, and an Ending where an assertion or a trap is to be reported.

    What passes arguments to a call must stand right before it, so the report of an assertion comes
    before its first argument.
    """
    endings: dict[int, list[Ending]] = {}
    for index, statement in enumerate(flat.body):
        end = ending(statement) if isinstance(statement, Instruction) else None
        if end is not None:
            endings.setdefault(first_argument(flat, index), []).append(end)
    pragmas: dict[int, list[Pragma]] = {}
    for index, pragma in flat.pragmas:
        pragmas.setdefault(index, []).append(pragma)
    for index, statement in enumerate(flat.body):
        yield from pragmas.get(index, ())
        yield from endings.get(index, ())
        yield statement
    yield from pragmas.get(len(flat.body), ())


def first_argument(flat: FlatFunction, index: int) -> int:
    """Return where the instructions begin that pass arguments to the call at ``index``."""
    call = flat.body[index]
    if not isinstance(call, Instruction):
        return index
    names = {
        argument.name
        for operand in call.operands
        if isinstance(operand, Arguments)
        for argument in operand.elements
        if isinstance(argument, Symbol)
    }
    first = index
    for before in range(index - 1, -1, -1):
        statement = flat.body[before]
        if not isinstance(statement, Instruction) or statement.opcode in _LEAVING:
            break
        target = statement.operands[0] if statement.opcode == "st" and statement.operands else None
        if isinstance(target, Address) and isinstance(target.base, Symbol) and target.base.name in names:
            first = before
    return first


def emit_instruction(frame: Frame, instruction: Instruction, added: AtAccess | None = None) -> None:
    """Emit one instruction; its accesses are checked, each alone, and bad ones reported and not done."""
    accesses = accesses_of(instruction)
    if len(accesses) == 1:
        emit_access(frame, accesses[0], added)
    elif accesses:
        _emit_copy(frame, accesses[0], accesses[1], added)
    elif instruction.opcode == "call":
        emit_call(frame, instruction)
    else:
        frame.builder.keep(with_guarded(frame, instruction))


def emit_access(frame: Frame, access: Access, added: AtAccess | None = None) -> None:
    """Emit one access in its careful form, whatever memory it is to.

    Without something to be added, an access to global memory is asked about.
    """
    variable = watched_variable(frame, access)
    if variable is not None:
        emit_in_variable(frame, access, variable)
    elif needs_check(frame, access) and added is not None:
        emit_careful(frame, access, added)
    elif needs_check(frame, access):
        emit_asked(frame, access)
    else:
        frame.builder.keep(access.instruction)


def needs_check(frame: Frame, access: Access) -> bool:
    """Tell whether an access may be to global memory that no variable of the program is in."""
    if access.space not in (Space.GLOBAL, Space.GENERIC):
        return False
    variable = frame.variable_of(access)
    return variable is None or variable.space is Space.GLOBAL


def _emit_copy(frame: Frame, read: Access, written: Access, added: AtAccess | None) -> None:
    """Emit ``cp.async``, whose two sides are checked one after the other."""
    builder = frame.builder
    variable = watched_variable(frame, written)
    if variable is None:
        emit_access(frame, read, added)
        return
    builder.mark(read.instruction.source)
    slow, following = builder.label(), builder.label()
    place = check_in_variable(frame, written, variable, slow)
    emit_access(frame, read, added)
    builder.place_label(following)
    with builder.outlined(slow, following):
        builder.mark(read.instruction.source)
        report_variable(frame, written, place)
