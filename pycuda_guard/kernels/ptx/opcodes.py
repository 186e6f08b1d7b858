"""The one table of PTX opcodes: what each operand is for, and what an instruction does.

``OPCODES`` has a row for every opcode of the ISA manual. :func:`uses` and :func:`definitions`
answer for one instruction which registers it reads and writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Composite,
    Negated,
    Pair,
    Register,
    Symbol,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


class Role(Enum):
    """What an instruction does with an operand."""

    DESTINATION = "destination"
    SOURCE = "source"
    ADDRESS = "address"  # [a]: memory is accessed there, or would be
    PREDICATE = "predicate"  # a predicate that is read
    LABEL = "label"  # a branch target, a function, a list of targets or a prototype
    NONE = "none"  # a constant that configures the instruction


class Category(Enum):
    """Kinds of instructions, after the chapters of the ISA manual."""

    ARITHMETIC = "arithmetic"
    LOGIC = "logic"
    COMPARISON = "comparison"
    MOVE = "move"
    CONVERSION = "conversion"
    MEMORY = "memory"
    ATOMIC = "atomic"
    CONTROL = "control"
    BARRIER = "barrier"
    WARP = "warp"
    SPECIAL = "special"  # approximations of transcendental functions
    TEXTURE = "texture"
    MATRIX = "matrix"
    VIDEO = "video"
    MISCELLANEOUS = "miscellaneous"


class Operands(NamedTuple):
    """The roles of an instruction's operands; the last holds for all after it. ``needed``: the fewest."""

    roles: tuple[Role, ...]
    needed: int


@dataclass(frozen=True, slots=True)
class Opcode:
    """What holds for all instructions of one opcode.

    ``variants`` maps a modifier to the operands that it brings. ``suspends``: a thread waits there for
    others of its warp or block. ``reads_carry``: takes in the carry flag, which instructions with
    ``.cc`` set. ``supported`` is false for opcodes that are known by name only.
    """

    name: str
    category: Category
    operands: Operands
    variants: tuple[tuple[str, Operands], ...] = ()
    suspends: bool = False
    reads_memory: bool = False
    writes_memory: bool = False
    reads_carry: bool = False
    supported: bool = True


_UNKNOWN = Operands((Role.DESTINATION, Role.SOURCE), 0)
_ROLES = {
    "d": Role.DESTINATION,
    "s": Role.SOURCE,
    "a": Role.ADDRESS,
    "p": Role.PREDICATE,
    "l": Role.LABEL,
    "n": Role.NONE,
}

# category, roles by letter (a capital: the operand may be missing), what it does (r and w: memory,
# s: suspends, c: reads the carry flag, x: by name only), opcodes; an opcode may say what roles a
# modifier brings: ``name:modifier=roles``
_TABLE: tuple[tuple[Category, str, str, str], ...] = (
    (Category.ARITHMETIC, "ds", "", "abs neg rcp sqrt rsqrt popc clz bfind brev"),
    (Category.ARITHMETIC, "dss", "", "add sub mul mul24 div rem min max copysign szext bmsk"),
    (Category.ARITHMETIC, "dsss", "", "mad mad24 fma sad dp2a dp4a bfe fns"),
    (Category.ARITHMETIC, "dssss", "", "bfi"),
    (Category.ARITHMETIC, "dss", "c", "addc subc"),
    (Category.ARITHMETIC, "dsss", "c", "madc"),
    (Category.SPECIAL, "ds", "", "sin cos lg2 ex2 tanh"),
    (Category.LOGIC, "ds", "", "not cnot"),
    (Category.LOGIC, "dss", "", "and or xor shl shr"),
    (Category.LOGIC, "dsss", "", "shf lop3"),
    (Category.COMPARISON, "dssP", "", "set setp"),
    (Category.COMPARISON, "dssp", "", "selp"),
    (Category.COMPARISON, "dsss", "", "slct"),
    (Category.COMPARISON, "ds", "", "testp"),
    (Category.MOVE, "ds", "", "mov"),
    (Category.MOVE, "dsss", "", "prmt"),
    (Category.CONVERSION, "ds", "", "cvt cvta isspacep getctarank"),
    (Category.CONVERSION, "dss", "", "mapa"),
    (Category.MEMORY, "daS", "r", "ld ldu"),
    (Category.MEMORY, "as", "w", "st"),
    (Category.MEMORY, "aN", "", "prefetch prefetchu applypriority"),
    (Category.MEMORY, "aN", "w", "discard"),
    (Category.MEMORY, "dS", "", "createpolicy:range=das"),
    (Category.MEMORY, "aAS", "rw", "cp:commit_group=N:wait_group=n:wait_all=N:mbarrier=a:prefetch=as"),
    (Category.MEMORY, "d", "", "stacksave"),
    (Category.MEMORY, "s", "", "stackrestore"),
    (Category.MEMORY, "ds", "", "alloca"),
    (Category.ATOMIC, "das", "rw", "atom"),
    (Category.ATOMIC, "as", "rw", "red"),
    (Category.ATOMIC, "daS", "rw", "multimem:st=as:red=as"),
    (Category.CONTROL, "l", "", "bra call"),
    (Category.CONTROL, "sl", "", "brx"),
    (Category.CONTROL, "", "", "ret exit trap brkpt"),
    (Category.BARRIER, "S", "s", "bar:red=dssP barrier:red=dssP"),
    (Category.BARRIER, "AN", "", "membar fence"),
    (
        Category.BARRIER,
        "daS",
        "rws",
        "mbarrier:init=as:inval=a:expect_tx=as:complete_tx=as:pending_count=ds",
    ),
    (Category.BARRIER, "", "", "griddepcontrol"),
    (Category.WARP, "dsss", "s", "shfl"),
    (Category.WARP, "ds", "s", "elect"),
    (Category.WARP, "dpS", "s", "vote"),
    (Category.WARP, "dss", "s", "match redux"),
    (Category.WARP, "d", "", "activemask"),
    (Category.TEXTURE, "daS", "r", "tex tld4 suld"),
    (Category.TEXTURE, "da", "", "txq suq"),
    (Category.TEXTURE, "as", "w", "sust"),
    (Category.TEXTURE, "as", "rw", "sured"),
    (Category.TEXTURE, "ds", "", "istypep"),
    (Category.MATRIX, "dsss", "rws", "wmma:load=daS:store=as"),
    (Category.MATRIX, "dsss", "s", "mma"),
    (Category.MATRIX, "da", "rs", "ldmatrix"),
    (Category.MATRIX, "as", "ws", "stmatrix"),
    (Category.MATRIX, "ds", "s", "movmatrix"),
    (Category.MATRIX, "ds", "rwsx", "wgmma tcgen05"),
    (Category.MEMORY, "as", "rwx", "tensormap"),
    (Category.VIDEO, "dssS", "", "vadd vsub vabsdiff vmin vmax vshl vshr vset vmad"),
    (Category.VIDEO, "dsss", "", "vadd2 vsub2 vavrg2 vabsdiff2 vmin2 vmax2 vset2"),
    (Category.VIDEO, "dsss", "", "vadd4 vsub4 vavrg4 vabsdiff4 vmin4 vmax4 vset4"),
    (Category.MISCELLANEOUS, "s", "", "nanosleep"),
    (Category.MISCELLANEOUS, "n", "", "pmevent setmaxnreg"),
    (Category.MISCELLANEOUS, "as", "rwx", "clusterlaunchcontrol"),
)


def _operands(letters: str) -> Operands:
    roles = tuple(_ROLES[letter] for letter in letters.lower())
    return Operands(roles, sum(letter.islower() for letter in letters))


def _rows() -> Iterator[Opcode]:
    for category, roles, marks, names in _TABLE:
        for entry in names.split():
            name, *variants = entry.split(":")
            yield Opcode(
                name,
                category,
                _operands(roles),
                tuple((modifier, _operands(each)) for modifier, each in (v.split("=") for v in variants)),
                suspends="s" in marks,
                reads_memory="r" in marks,
                writes_memory="w" in marks,
                reads_carry="c" in marks,
                supported="x" not in marks,
            )


#: every opcode of the PTX ISA by name
OPCODES: dict[str, Opcode] = {row.name: row for row in _rows()}


def operand_roles(instruction: Instruction) -> tuple[Role, ...]:
    """Return the role of each operand of an instruction.

    ``[a]`` is an address wherever it stands. An opcode that the table lacks is taken to write its
    first operand and to read the others. Raises nothing.
    """
    operands = instruction.operands
    if instruction.opcode == "call":
        return _call_roles(operands)
    roles = _extended(_operands_of(instruction).roles, len(operands))
    return tuple(
        Role.ADDRESS if isinstance(operand, Address | Composite) else role
        for operand, role in zip(operands, roles, strict=True)
    )


def fewest_operands(instruction: Instruction) -> int:
    """Return how many operands an instruction has at the least; 0 where the table lacks the opcode."""
    return 1 if instruction.opcode == "call" else _operands_of(instruction).needed


def _operands_of(instruction: Instruction) -> Operands:
    row = OPCODES.get(instruction.opcode)
    if row is None:
        return _UNKNOWN
    found = row.operands
    for modifier, other in row.variants:
        if modifier in instruction.modifiers:
            found = other
    return found


def _extended(roles: tuple[Role, ...], count: int) -> tuple[Role, ...]:
    last = roles[-1] if roles else Role.NONE
    return (*roles[:count], *(last,) * (count - len(roles)))


def _call_roles(operands: tuple[Operand, ...]) -> tuple[Role, ...]:
    """``(returned), callee, (arguments), prototype``; all but the callee may be missing."""
    roles: list[Role] = []
    callee_seen = False
    for operand in operands:
        if isinstance(operand, Arguments):
            roles.append(Role.SOURCE if callee_seen else Role.DESTINATION)
        else:
            roles.append(Role.SOURCE if isinstance(operand, Register) else Role.LABEL)
            callee_seen = True
    return tuple(roles)


def uses(instruction: Instruction) -> tuple[Register, ...]:
    """Return the registers that an instruction reads, its guard's first; special ones included.

    The base of an address is read, also where memory is written. A register may occur twice.
    """
    guard = instruction.guard
    found = [Register(guard.register)] if guard else []
    for operand, role in zip(instruction.operands, operand_roles(instruction), strict=True):
        if role is not Role.DESTINATION:
            found.extend(_registers(operand))
    return tuple(found)


def definitions(instruction: Instruction) -> tuple[str, ...]:
    """Return the names of the registers that an instruction writes.

    Where :func:`is_partial` says so, the old value may survive.
    """
    return tuple(
        register.name
        for operand, role in zip(instruction.operands, operand_roles(instruction), strict=True)
        if role is Role.DESTINATION
        for register in _registers(operand)
    )


def is_partial(instruction: Instruction) -> bool:
    """Tell whether the definitions may not happen, because the instruction is guarded."""
    return instruction.guard is not None


def writes_carry(instruction: Instruction) -> bool:
    """Tell whether an instruction sets the carry flag (``.cc``)."""
    return "cc" in instruction.modifiers


def suspends(instruction: Instruction) -> bool:
    """Tell whether a thread waits at this instruction for others: not so at ``bar.arrive``."""
    row = OPCODES.get(instruction.opcode)
    if row is None or not row.suspends:
        return False
    if row.category is Category.BARRIER:
        waiting = {"sync", "red", "wait", "try_wait", "test_wait"}
        return not waiting.isdisjoint(instruction.modifiers)
    return True


def called(instruction: Instruction) -> Symbol | Register | None:
    """Return what a ``call`` calls: a function's name, or the register that holds its address."""
    if instruction.opcode != "call":
        return None
    for operand in instruction.operands:
        if isinstance(operand, Symbol | Register):
            return operand
    return None


def _registers(operand: Operand) -> Iterator[Register]:
    match operand:
        case Register():
            yield operand
        case Negated(register):
            yield register
        case Address(Register() as base):
            yield base
        case Pair(first, second):
            yield from _registers(first)
            yield from _registers(second)
        case Vector(elements) | Arguments(elements) | Composite(elements):
            for element in elements:
                yield from _registers(element)
