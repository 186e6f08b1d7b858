"""Which bytes of global memory a kernel certainly touches, as formulas of its arguments.

The kernel is run symbolically for the threads whose z indices are 0, and once more for those whose y
indices are 0, too, of which more may be known. A register holds a linear form of the parameters, the extents
of the launch and the thread's x and y index; or an address that is known but for its offset to a pointer
parameter; or it is unknown. At a branch on a form both ways are taken, each under its condition; a path ends
at a branch on anything else, such as loaded data, or goes on where the ways come together, without what they
may have written to registers. So every access that is found does happen in a launch for which its conditions
hold. What is not found may happen all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.model import ANYWHERE, VARIABLES, CertainAccess, LinearForm
from pycuda_guard.kernels.analysis.joins import Joins
from pycuda_guard.kernels.analysis.linear import ROWS, SPECIAL, plus
from pycuda_guard.kernels.analysis.ordering import ORDERED, orders_others
from pycuda_guard.kernels.analysis.provenance import find_provenance
from pycuda_guard.kernels.analysis.sources import ParameterWord, VariableAddress
from pycuda_guard.kernels.analysis.symbolic import ADDING, COMPUTE, Compared, Path, Somewhere, is_integer
from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Address,
    Immediate,
    Instruction,
    Label,
    Register,
    Symbol,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from pycuda_guard.kernels.analysis.symbolic import Value
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand

# Bounds of the search; what lies beyond them is not found.
_MAX_PATHS = 24
_MAX_STEPS = 1000
_MAX_FOUND = 32

_OWN = frozenset({"shared", "local", "param"})
_NOT_GLOBAL = _OWN | {"const"}
_INDICES = {**SPECIAL, **ROWS}
_ZERO_INDICES = frozenset({"%tid.z", "%ctaid.z"})
#: what names functions and labels
_NAMING_CODE = frozenset({"bra", "brx", "call"})
_ACCESSING = frozenset({"ld", "ldu", "st", "atom", "red"})


def certain_accesses(function: FlatFunction) -> tuple[CertainAccess, ...]:
    """Return the accesses to global memory that launches of a kernel are certain to make.

    Where not all paths can be followed, also those that come after a branch whichever way it goes; unless
    the kernel may have waited for another by then, whose accesses come before in that case. What it updates
    by atomics it may look at before, at whatever another launch has made of it: such reads do not count.
    Takes time proportional to the bounds of the search at most, and to the square of the number of branches.
    """
    found: dict[CertainAccess, None] = {}
    rows = _names(function, ROWS)
    for zero in (_ZERO_INDICES, _ZERO_INDICES | ROWS.keys()) if rows else (_ZERO_INDICES,):
        search = _Search(function, zero)
        search.run()
        found.update(search.found)
        if search.is_cut_short and not (orders_others(function) or _has_calls(function)):
            search = _Search(function, zero, Joins(function))
            search.run()
            found.update(search.found)
    weakest = _weakest(found)
    updated = _updated(function) if any(each.kind == "read" for each in weakest) else ()
    return tuple([each for each in weakest if each.kind != "read" or not _is_in(each, updated)])


def _is_in(access: CertainAccess, pointers: Container[int]) -> bool:
    return any(symbol in pointers for symbol, _ in access.address.terms)


def _updated(function: FlatFunction) -> set[int]:
    """Return the symbols of what a kernel uses atomics on, of those that addresses come from."""
    atomics = [
        operand
        for entry in function.body
        if isinstance(entry, Instruction) and entry.opcode in ("atom", "red")
        for operand in entry.operands
        if isinstance(operand, Address) and not _NOT_GLOBAL.issuperset(_spaces(entry))
    ]
    if not atomics:
        return set()
    provenance, names = find_provenance(function), named_variables(function)
    found: set[int] = set()
    for origin in map(provenance.origin, atomics):
        source = None if origin is None else origin.source
        if isinstance(source, ParameterWord):
            found.add(source.position)
        elif isinstance(source, VariableAddress) and source.name in names:
            found.add(VARIABLES + names.index(source.name))
    return found


def _has_calls(function: FlatFunction) -> bool:
    return any(isinstance(entry, Instruction) and entry.opcode == "call" for entry in function.body)


def _weakest(accesses: Iterable[CertainAccess]) -> tuple[CertainAccess, ...]:
    """Return accesses without those that are made under more conditions than another one of them."""
    alike: dict[tuple[str, int, LinearForm], list[CertainAccess]] = {}
    for each in accesses:
        known = alike.setdefault((each.kind, each.width, each.address), [])
        if not any({*each.conditions} >= {*other.conditions} for other in known):
            known[:] = [other for other in known if not {*other.conditions} >= {*each.conditions}]
            known.append(each)
    return tuple(each for known in alike.values() for each in known)


def named_variables(function: FlatFunction) -> tuple[str, ...]:
    """Return what a kernel names that may be variables of its module, in the order of their symbols."""
    own = {*function.variables, *(each.name for each in function.function.parameters)}
    found: dict[str, None] = {}
    for entry in function.body:
        if isinstance(entry, Instruction) and entry.opcode not in _NAMING_CODE:
            for operand in entry.operands:
                base = operand.base if isinstance(operand, Address) else operand
                if isinstance(base, Symbol) and base.name not in own:
                    found[base.name] = None
    return tuple(found)


def vague_accesses(function: FlatFunction) -> frozenset[int]:
    """Return the instructions, by their identity, of whose accesses :func:`certain_accesses` may miss some.

    Those by addresses that are no forms, in turns of loops, or behind branches on loaded data; not those
    that are made to signal others. Constant memory is memory like any other here.
    """
    search = _Search(function, _ZERO_INDICES)
    search.run()
    missed = search.is_cut_short or _names(function, _ZERO_INDICES)
    return frozenset(
        id(entry)
        for entry in function.body
        if isinstance(entry, Instruction)
        and (entry.opcode == "cp" or (entry.opcode in _ACCESSING and _kind(entry)))
        and not _OWN.issuperset(_spaces(entry))
        and (missed or id(entry) in search.vague)
    )


def _spaces(instruction: Instruction) -> set[str]:
    """Return the state spaces that an instruction names: ``global`` where it names none."""
    return {*instruction.modifiers} & {*_NOT_GLOBAL, "global"} or {"global"}


def _names(function: FlatFunction, registers: Container[str]) -> bool:
    return any(
        isinstance(operand, Register) and operand.name in registers
        for entry in function.body
        if isinstance(entry, Instruction)
        for operand in entry.operands
    )


class _Search:
    """Follows the paths of one kernel, for the threads whose indices named in ``zero`` are 0.

    With ``joins`` also those from a branch to where its ways come together.
    """

    def __init__(self, function: FlatFunction, zero: frozenset[str], joins: Joins | None = None) -> None:
        self.zero = zero
        self.joins = joins
        self.body = function.body
        self.labels = {entry.name: at for at, entry in enumerate(self.body) if isinstance(entry, Label)}
        self.parameters = {
            parameter.name: (position, parameter.type)
            for position, parameter in enumerate(function.function.parameters)
            if not parameter.dims and parameter.vector == 1
        }
        self.variables = {name: VARIABLES + at for at, name in enumerate(named_variables(function))}
        #: the symbols of what may be pointers
        self.wide = {
            at for at, kind in self.parameters.values() if TYPE_SIZES[kind] == 8 and kind[0] in "usb"
        }.union(self.variables.values())
        self.found: dict[CertainAccess, None] = {}
        self.vague: set[int] = set()  # instructions, by identity, that nobody knows what they access
        self.is_cut_short = False  # a path was not followed to its end
        self.paths = [Path(0, {}, ())]
        self.steps = 0

    def run(self) -> None:
        """Follow all paths, within bounds."""
        followed = 0
        while self.paths and followed < _MAX_PATHS and len(self.found) < _MAX_FOUND:
            followed += 1
            self.follow(self.paths.pop())
        self.is_cut_short |= bool(self.paths)

    def follow(self, path: Path) -> None:
        """Follow one path to its end; forks are put aside."""
        while path.at < len(self.body) and self.steps < _MAX_STEPS:
            self.steps += 1
            entry = self.body[path.at]
            path.at += 1
            if isinstance(entry, Instruction) and not self.step(path, entry):
                return
        self.is_cut_short |= path.at < len(self.body)

    def step(self, path: Path, instruction: Instruction) -> bool:
        """Do one instruction; False where the path ends."""
        opcode = instruction.opcode
        if instruction.guard is not None:
            taken = path.values.get(instruction.guard.register)
            if isinstance(taken, Compared):
                self.fork(path, instruction.guard.register, taken)
                self.skip(path, instruction)
                return False
            if not isinstance(taken, bool):
                self.skip(path, instruction)
                self.forget(path, instruction)
                self.vague.add(id(instruction))
                self.is_cut_short |= opcode in ("bra", "brx", "ret", "exit")
                return opcode not in ("bra", "brx", "ret", "exit", "trap")
            if taken is instruction.guard.negated:
                return True
        if opcode in ("ret", "exit", "trap", "brx"):
            self.is_cut_short |= opcode == "brx"
            return False
        if opcode == "bra":
            return self.jump(path, instruction)
        if opcode in _ACCESSING:
            self.access(path, instruction)
            return True
        compute = COMPUTE.get(opcode)
        names = definitions(instruction)
        if compute is None or len(names) != 1:
            self.forget(path, instruction)
            return True
        values = [self.read(path, operand) for operand in instruction.operands[1:]]
        if opcode == "selp" and isinstance(values[2], Compared):
            predicate = instruction.operands[3]
            assert isinstance(predicate, Register)
            return self.fork(path, predicate.name, values[2])
        value = compute(path, instruction, values)
        path.values[names[0]] = self.somewhere(instruction, values) if value is None else value
        return path.possible

    def somewhere(self, instruction: Instruction, values: list[Value]) -> Somewhere | None:
        """Return a sum of which something is unknown, if what is known has one pointer."""
        opcode = instruction.opcode
        if opcode not in ADDING or not is_integer(instruction):
            return None
        known = values[:1] if opcode == "sub" else values[2:] if opcode == "mad" else values
        pointers = [value.pointer for value in known if isinstance(value, Somewhere)]
        for value in known:
            if isinstance(value, LinearForm):
                pointers.extend(
                    symbol for symbol, factor in value.terms if factor == 1 and symbol in self.wide
                )
        return Somewhere(pointers[0]) if len(pointers) == 1 else None

    def fork(self, path: Path, register: str, compared: Compared) -> bool:
        """Do the same instruction again on several paths, on each of which the predicate is decided."""
        at = path.at - 1
        path.visits[at] = path.visits.get(at, 0) + 1
        if path.visits[at] > 2:
            self.is_cut_short = True
            return False
        for value, ways in ((True, compared.holds), (False, compared.fails)):
            for conditions in ways:
                other = path.fork(at)
                other.values[register] = value
                for condition in conditions:
                    other.assume(condition)
                if other.possible:
                    self.paths.append(other)
                self.is_cut_short |= other.is_cut_short
        return False

    def skip(self, path: Path, instruction: Instruction) -> None:
        """Put aside, to be followed next, the path that goes on where the ways of a branch come together."""
        join = None
        if self.joins is not None and instruction.opcode == "bra":
            join = self.joins.of_branch(path.at - 1)
        if join is not None:
            other = path.fork(join.at)
            other.values.update(dict.fromkeys(join.written))
            self.paths.append(other)

    def jump(self, path: Path, instruction: Instruction) -> bool:
        """Go on at a label; False where there is none."""
        target = instruction.operands[0]
        if not isinstance(target, Symbol) or target.name not in self.labels:
            self.is_cut_short = True
            return False
        path.at = self.labels[target.name]
        return True

    def forget(self, path: Path, instruction: Instruction) -> None:
        """Make what an instruction writes unknown."""
        for name in definitions(instruction):
            path.values[name] = None

    def read(self, path: Path, operand: Operand) -> Value:
        """Return the value of an operand."""
        if isinstance(operand, Immediate):
            return LinearForm(operand.value) if operand.kind == "int" else None
        if isinstance(operand, Register):
            if operand.name in self.zero:
                return LinearForm(0)
            if operand.name in _INDICES:
                return LinearForm(0, ((_INDICES[operand.name], 1),))
            return path.values.get(operand.name)
        if isinstance(operand, Symbol) and operand.name in self.variables:
            return LinearForm(operand.offset, ((self.variables[operand.name], 1),))
        return None

    def access(self, path: Path, instruction: Instruction) -> None:
        """Note an access to global memory, and what a load of a parameter brings."""
        address = next((o for o in instruction.operands if isinstance(o, Address)), None)
        modifiers = set(instruction.modifiers)
        self.forget(path, instruction)
        if address is None:
            return
        if isinstance(address.base, Symbol) and address.base.name not in self.variables:
            known = self.parameters.get(address.base.name)
            target = instruction.operands[0]
            if instruction.opcode == "ld" and known and not address.offset and isinstance(target, Register):
                position, kind = known
                loaded = instruction.modifiers[-1]
                same = TYPE_SIZES.get(loaded) == TYPE_SIZES[kind] >= 4
                if same and kind[0] in "usb" and loaded[0] in "usb":
                    path.values[target.name] = LinearForm(0, ((position, 1),))
            return
        first = _place(self.read(path, address.base), address.offset)
        if modifiers & _NOT_GLOBAL and not ("const" in modifiers and _is_in_variable(first)):
            first = None
        width = TYPE_SIZES.get(instruction.modifiers[-1], 0)
        for operand in instruction.operands:
            if isinstance(operand, Vector):
                width *= len(operand.elements)
        kind = _kind(instruction)
        if first is not None and width and kind:
            self.found[CertainAccess(kind, width, first, path.conditions)] = None
        if first is None or not width or any(symbol == ANYWHERE for symbol, _ in first.terms):
            self.vague.add(id(instruction))


def _place(base: Value, offset: int) -> LinearForm | None:
    """Return an address in global memory; None where it is nothing known."""
    if isinstance(base, Somewhere):
        return LinearForm(0, ((ANYWHERE, 1), (base.pointer, 1)))
    if not isinstance(base, LinearForm) or not base.terms:
        return None
    return plus(base, LinearForm(offset))


def _is_in_variable(place: LinearForm | None) -> bool:
    return place is not None and any(symbol >= VARIABLES for symbol, _ in place.terms)


def _kind(instruction: Instruction) -> str:
    """Return what an instruction does; nothing for volatile and ordered accesses, made to signal others."""
    if instruction.opcode in ("atom", "red"):
        return "atomic"
    if not ORDERED.isdisjoint(instruction.modifiers):
        return ""
    return "write" if instruction.opcode == "st" else "read"
