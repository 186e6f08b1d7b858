"""Which bytes of global memory a kernel certainly touches, as formulas of its arguments.

The kernel is run symbolically for the threads whose z indices are 0, and once more for those whose y
indices are 0, too, of which more may be known.
A register holds a linear form of the parameters, the extents of the launch and the thread's x
and y index; or an address that is known but for its offset to a pointer parameter; or it is unknown.
At a branch on a form both ways are taken, each under its condition; a
path ends at a branch on anything else, such as loaded data. So every access that is found
does happen in a launch for which its conditions hold. What is not found may happen all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.model import ANYWHERE, CertainAccess, LinearForm, product
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
    from collections.abc import Callable, Container

    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand

# Bounds of the search; what lies beyond them is not found.
_MAX_PATHS = 24
_MAX_STEPS = 1000
_MAX_CONDITIONS = 8
_MAX_FOUND = 32
_MAX_WAYS = 4  # of a predicate to hold, or to fail

_NOT_GLOBAL = frozenset({"shared", "local", "param", "const"})
_ORDERED = frozenset({"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"})
_SPECIAL = {
    "%ntid.x": -1,
    "%ntid.y": -2,
    "%ntid.z": -3,
    "%nctaid.x": -4,
    "%nctaid.y": -5,
    "%nctaid.z": -6,
    "%tid.x": -7,
    "%ctaid.x": -8,
}
_ROWS = {"%tid.y": -10, "%ctaid.y": -11}
_INDICES = {**_SPECIAL, **_ROWS}
_ZERO_INDICES = frozenset({"%tid.z", "%ctaid.z"})
_ACCESSING = frozenset({"ld", "ldu", "st", "atom", "red"})
_PRODUCTS = {(-8, -1): -9, (-11, -2): -12}  # ctaid.x * ntid.x, ctaid.y * ntid.y

Condition = tuple[str, LinearForm]  #: the form is ``>=``, ``==`` or ``!=`` zero
Ways = tuple[tuple[Condition, ...], ...]  #: all conditions of one of these


class Compared(NamedTuple):
    """A predicate that is not decided yet: the ways in which it holds, and in which it fails."""

    holds: Ways
    fails: Ways


class Somewhere(NamedTuple):
    """The value of a pointer parameter plus who knows what: ``x + index[i]``."""

    pointer: int


Value = LinearForm | Somewhere | Compared | bool | None  #: a number, a predicate, or unknown


def certain_accesses(function: FlatFunction) -> tuple[CertainAccess, ...]:
    """Return the accesses to global memory that launches of a kernel are certain to make.

    Takes time proportional to the bounds of the search at most, whatever the kernel.
    """
    found: dict[CertainAccess, None] = {}
    rows = _names(function, _ROWS)
    for zero in (_ZERO_INDICES, _ZERO_INDICES | _ROWS.keys()) if rows else (_ZERO_INDICES,):
        search = _Search(function, zero)
        search.run()
        found.update(search.found)
    return tuple(found)


def vague_accesses(function: FlatFunction) -> frozenset[int]:
    """Return the instructions, by their identity, of whose accesses :func:`certain_accesses` may miss some.

    Those by addresses that are no forms, in turns of loops, or behind branches on loaded data; not those
    that are made to signal others.
    """
    search = _Search(function, _ZERO_INDICES)
    search.run()
    missed = search.is_cut_short or _names(function, _ZERO_INDICES)
    return frozenset(
        id(entry)
        for entry in function.body
        if isinstance(entry, Instruction)
        and (entry.opcode == "cp" or (entry.opcode in _ACCESSING and _kind(entry)))
        and not _NOT_GLOBAL.issuperset(_spaces(entry))
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


def _plus(left: LinearForm, right: LinearForm, factor: int = 1) -> LinearForm:
    """Return ``left + factor * right``."""
    terms = dict(left.terms)
    for symbol, coefficient in right.terms:
        terms[symbol] = terms.get(symbol, 0) + factor * coefficient
    kept = tuple(sorted((symbol, value) for symbol, value in terms.items() if value))
    return LinearForm(left.constant + factor * right.constant, kept)


def _times(left: LinearForm, right: LinearForm) -> LinearForm | None:
    found = _plus(LinearForm(left.constant * right.constant), LinearForm(0, left.terms), right.constant)
    found = _plus(found, LinearForm(0, right.terms), left.constant)
    for one, factor in left.terms:
        for other, times in right.terms:
            symbol = _product(min(one, other), max(one, other))
            if symbol is None:
                return None
            found = _plus(found, LinearForm(0, ((symbol, factor * times),)))
    return found


def _product(low: int, high: int) -> int | None:
    """Return the symbol of the product of two; None where it has none."""
    if high >= 0 and low >= -12 and not -7 < low < 0:
        return product(low, high)
    return _PRODUCTS.get((low, high))


def _never_negative(form: LinearForm) -> bool:
    """Tell whether a form of launch extents and indices alone can't be negative."""
    return form.constant >= 0 and all(-12 <= symbol < 0 and factor > 0 for symbol, factor in form.terms)


class _Path:
    """A path that is still to be followed: where it stands, and what is known there."""

    def __init__(self, at: int, values: dict[str, Value], conditions: tuple[Condition, ...]):
        self.at = at
        self.values = values
        self.conditions = conditions
        self.visits: dict[int, int] = {}
        self.possible = True

    def assume(self, condition: Condition) -> None:
        """Add a condition. The path becomes impossible where it can't hold or there are too many."""
        kind, form = condition
        if not form.terms:
            value = form.constant
            self.possible &= {">=": value >= 0, "==": value == 0, "!=": value != 0}[kind]
        elif condition not in self.conditions and not (kind == ">=" and _never_negative(form)):
            self.conditions += (condition,)
            self.possible &= len(self.conditions) <= _MAX_CONDITIONS

    def fork(self, at: int) -> _Path:
        """Return a path that goes on from here by itself."""
        path = _Path(at, dict(self.values), self.conditions)
        path.visits = dict(self.visits)
        return path


class _Search:
    """Follows the paths of one kernel, for the threads whose indices named in ``zero`` are 0."""

    def __init__(self, function: FlatFunction, zero: frozenset[str]) -> None:
        self.zero = zero
        self.body = function.body
        self.labels = {entry.name: at for at, entry in enumerate(self.body) if isinstance(entry, Label)}
        self.parameters = {
            parameter.name: (position, parameter.type)
            for position, parameter in enumerate(function.function.parameters)
            if not parameter.dims and parameter.vector == 1
        }
        #: the positions of those that may be pointers
        self.wide = {
            at for at, kind in self.parameters.values() if TYPE_SIZES[kind] == 8 and kind[0] in "usb"
        }
        self.found: dict[CertainAccess, None] = {}
        self.vague: set[int] = set()  # instructions, by identity, that nobody knows what they access
        self.is_cut_short = False  # a path was not followed to its end
        self.paths = [_Path(0, {}, ())]
        self.steps = 0

    def run(self) -> None:
        """Follow all paths, within bounds."""
        followed = 0
        while self.paths and followed < _MAX_PATHS and len(self.found) < _MAX_FOUND:
            followed += 1
            self.follow(self.paths.pop())
        self.is_cut_short |= bool(self.paths)

    def follow(self, path: _Path) -> None:
        """Follow one path to its end; forks are put aside."""
        while path.at < len(self.body) and self.steps < _MAX_STEPS:
            self.steps += 1
            entry = self.body[path.at]
            path.at += 1
            if isinstance(entry, Instruction) and not self.step(path, entry):
                return
        self.is_cut_short |= path.at < len(self.body)

    def step(self, path: _Path, instruction: Instruction) -> bool:
        """Do one instruction; False where the path ends."""
        opcode = instruction.opcode
        if instruction.guard is not None:
            taken = path.values.get(instruction.guard.register)
            if isinstance(taken, Compared):
                return self.fork(path, instruction.guard.register, taken)
            if not isinstance(taken, bool):
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
        compute = _COMPUTE.get(opcode)
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
        if opcode not in _ADDING or not _is_integer(instruction):
            return None
        known = values[:1] if opcode == "sub" else values[2:] if opcode == "mad" else values
        pointers = [value.pointer for value in known if isinstance(value, Somewhere)]
        for value in known:
            if isinstance(value, LinearForm):
                pointers.extend(
                    symbol for symbol, factor in value.terms if factor == 1 and symbol in self.wide
                )
        return Somewhere(pointers[0]) if len(pointers) == 1 else None

    def fork(self, path: _Path, register: str, compared: Compared) -> bool:
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
                self.is_cut_short |= len(other.conditions) > _MAX_CONDITIONS
        return False

    def jump(self, path: _Path, instruction: Instruction) -> bool:
        """Go on at a label; False where there is none."""
        target = instruction.operands[0]
        if not isinstance(target, Symbol) or target.name not in self.labels:
            self.is_cut_short = True
            return False
        path.at = self.labels[target.name]
        return True

    def forget(self, path: _Path, instruction: Instruction) -> None:
        """Make what an instruction writes unknown."""
        for name in definitions(instruction):
            path.values[name] = None

    def read(self, path: _Path, operand: Operand) -> Value:
        """Return the value of an operand."""
        if isinstance(operand, Immediate):
            return LinearForm(operand.value) if operand.kind == "int" else None
        if isinstance(operand, Register):
            if operand.name in self.zero:
                return LinearForm(0)
            if operand.name in _INDICES:
                return LinearForm(0, ((_INDICES[operand.name], 1),))
            return path.values.get(operand.name)
        return None

    def access(self, path: _Path, instruction: Instruction) -> None:
        """Note an access to global memory, and what a load of a parameter brings."""
        address = next((o for o in instruction.operands if isinstance(o, Address)), None)
        modifiers = set(instruction.modifiers)
        self.forget(path, instruction)
        if address is None:
            return
        if isinstance(address.base, Symbol):
            known = self.parameters.get(address.base.name)
            target = instruction.operands[0]
            if instruction.opcode == "ld" and known and not address.offset and isinstance(target, Register):
                position, kind = known
                loaded = instruction.modifiers[-1]
                same = TYPE_SIZES.get(loaded) == TYPE_SIZES[kind] >= 4
                if same and kind[0] in "usb" and loaded[0] in "usb":
                    path.values[target.name] = LinearForm(0, ((position, 1),))
            return
        first = None if modifiers & _NOT_GLOBAL else _place(self.read(path, address.base), address.offset)
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
    return _plus(base, LinearForm(offset))


def _kind(instruction: Instruction) -> str:
    """Return what an instruction does; nothing for volatile and ordered accesses, made to signal others."""
    if instruction.opcode in ("atom", "red"):
        return "atomic"
    if not _ORDERED.isdisjoint(instruction.modifiers):
        return ""
    return "write" if instruction.opcode == "st" else "read"


# --- what instructions compute ------------------------------------------------------------------

_ODD = frozenset({"hi", "sat"})
_ADDING = frozenset({"add", "sub", "mad"})


def _is_integer(instruction: Instruction) -> bool:
    return bool(instruction.modifiers) and instruction.modifiers[-1][0] in "usb"


def _linear(
    form: Callable[[list[LinearForm]], LinearForm | None],
) -> Callable[[_Path, Instruction, list[Value]], Value]:
    """Make a function of forms into one of values, unknown where one of them is."""

    def compute(path: _Path, instruction: Instruction, values: list[Value]) -> Value:
        forms = [value for value in values if isinstance(value, LinearForm)]
        if len(forms) != len(values) or not _is_integer(instruction) or _ODD & {*instruction.modifiers}:
            return None
        # A narrow unsigned value is widened without its sign: the form holds if there is none.
        if "wide" in instruction.modifiers and instruction.modifiers[-1][0] == "u":
            for value in forms[:2]:
                path.assume((">=", value))
        return form(forms)

    return compute


def _product_sum(forms: list[LinearForm]) -> LinearForm | None:
    product = _times(forms[0], forms[1])
    return None if product is None else _plus(product, forms[2])


def _shifted(forms: list[LinearForm]) -> LinearForm | None:
    value, by = forms
    return None if by.terms or not 0 <= by.constant < 64 else _plus(LinearForm(0), value, 1 << by.constant)


def _constant(of: Callable[[int, int], int]) -> Callable[[list[LinearForm]], LinearForm | None]:
    """Make a function of two numbers that are known."""

    def compute(forms: list[LinearForm]) -> LinearForm | None:
        left, right = forms
        if left.terms or right.terms or left.constant < 0 or right.constant <= 0:
            return None
        return LinearForm(of(left.constant, right.constant))

    return compute


def _moved(path: _Path, instruction: Instruction, values: list[Value]) -> Value:
    return values[0] if values and instruction.modifiers[-1][0] in "usbp" else None


def _converted(path: _Path, instruction: Instruction, values: list[Value]) -> Value:
    value = values[0]
    types = [modifier for modifier in instruction.modifiers if modifier in TYPE_SIZES]
    if not isinstance(value, LinearForm) or len(types) != 2 or any(kind[0] not in "usb" for kind in types):
        return None
    to, of = types
    if TYPE_SIZES[to] < 4 or TYPE_SIZES[of] < 4:
        return None
    if of[0] == "u" and TYPE_SIZES[to] > TYPE_SIZES[of]:
        path.assume((">=", value))
    return value


def _chosen(path: _Path, instruction: Instruction, values: list[Value]) -> Value:
    first, second, predicate = values
    return (first if predicate else second) if isinstance(predicate, bool) else None


def _compared(path: _Path, instruction: Instruction, values: list[Value]) -> Value:
    """Compare two forms, as integers of the mathematical kind."""
    left, right = values[:2]
    relation, kind = instruction.modifiers[0], instruction.modifiers[-1]
    if len(values) != 2 or len(instruction.modifiers) != 2 or kind[0] not in "usb":
        return None
    if not isinstance(left, LinearForm) or not isinstance(right, LinearForm):
        return None
    swap = {"gt": "lt", "le": "ge", "hi": "lo", "ls": "hs"}
    if relation in swap:
        relation, left, right = swap[relation], right, left
    up, down = _plus(right, left, -1), _plus(left, right, -1)
    holds: tuple[Condition, ...]
    fails: tuple[Condition, ...]
    if relation in ("eq", "ne"):
        holds, fails = (("==", up),), (("!=", up),)
        if relation == "ne":
            holds, fails = fails, holds
    elif relation in ("lt", "lo"):
        holds, fails = ((">=", _plus(up, LinearForm(-1))),), ((">=", down),)
    elif relation in ("ge", "hs"):
        holds, fails = ((">=", down),), ((">=", _plus(up, LinearForm(-1))),)
    else:
        return None
    if kind[0] == "u" and relation not in ("eq", "ne"):
        natural: tuple[Condition, ...] = ((">=", left), (">=", right))
        holds, fails = holds + natural, fails + natural
    return Compared((holds,), (fails,))


def _joined(path: _Path, instruction: Instruction, values: list[Value]) -> Value:
    """And, or of predicates; or of a number whose low bits are 0, which adds."""
    left, right = values
    every = instruction.opcode == "and"
    if "pred" not in instruction.modifiers:
        if every or not isinstance(left, LinearForm) or not isinstance(right, LinearForm):
            return None
        return None if right.terms else _with_low_bits(left, right.constant)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, bool):
            return other if one is every else one
    if not isinstance(left, Compared) or not isinstance(right, Compared):
        return None
    if every:
        joined = Compared(_both(left.holds, right.holds), left.fails + right.fails)
    else:
        joined = Compared(left.holds + right.holds, _both(left.fails, right.fails))
    return joined if max(len(joined.holds), len(joined.fails)) <= _MAX_WAYS else None


def _with_low_bits(form: LinearForm, bits: int) -> LinearForm | None:
    unit = 1 << max(bits, 0).bit_length()
    even = form.constant % unit == 0 and all(factor % unit == 0 for _, factor in form.terms)
    return _plus(form, LinearForm(bits)) if even and bits >= 0 else None


def _both(left: Ways, right: Ways) -> Ways:
    return tuple(one + other for one in left for other in right)


def _inverted(path: _Path, instruction: Instruction, values: list[Value]) -> Value:
    value = values[0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, Compared):
        return Compared(value.fails, value.holds)
    if isinstance(value, LinearForm) and "pred" not in instruction.modifiers:
        return _plus(LinearForm(-1), value, -1)
    return None


_COMPUTE: dict[str, Callable[[_Path, Instruction, list[Value]], Value]] = {
    "mov": _moved,
    "cvta": _moved,
    "cvt": _converted,
    "selp": _chosen,
    "setp": _compared,
    "and": _joined,
    "or": _joined,
    "not": _inverted,
    "neg": _linear(lambda forms: _plus(LinearForm(0), forms[0], -1)),
    "add": _linear(lambda forms: _plus(forms[0], forms[1])),
    "sub": _linear(lambda forms: _plus(forms[0], forms[1], -1)),
    "mul": _linear(lambda forms: _times(forms[0], forms[1])),
    "mad": _linear(_product_sum),
    "shl": _linear(_shifted),
    "div": _linear(_constant(lambda left, right: left // right)),
    "rem": _linear(_constant(lambda left, right: left % right)),
}
