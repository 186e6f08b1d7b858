"""What instructions compute of linear forms, on one path through a kernel.

Numbers are those of mathematics; what no linear form says is unknown. Where a result is right under a
condition only, such as that a number is not negative, the path takes that condition as one of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.model import LinearForm
from pycuda_guard.kernels.analysis.linear import Condition, is_never_negative, plus, times, with_low_bits
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.kernels.ptx.ir import Instruction

_MAX_WAYS = 4  # of a predicate to hold, or to fail
_MAX_CONDITIONS = 8  # of a path

Ways = tuple[tuple[Condition, ...], ...]  #: all conditions of one of these


class Compared(NamedTuple):
    """A predicate that is not decided yet: the ways in which it holds, and in which it fails."""

    holds: Ways
    fails: Ways


class Somewhere(NamedTuple):
    """The value of a pointer parameter plus who knows what: ``x + index[i]``."""

    pointer: int


Value = LinearForm | Somewhere | Compared | bool | None  #: a number, a predicate, or unknown


class Path:
    """A path that is still to be followed: where it stands, and what is known there."""

    def __init__(self, at: int, values: dict[str, Value], conditions: tuple[Condition, ...]):
        self.at = at
        self.values = values
        self.conditions = conditions
        self.visits: dict[int, int] = {}
        self.possible = True

    @property
    def is_cut_short(self) -> bool:
        """Whether there are more conditions than are followed."""
        return len(self.conditions) > _MAX_CONDITIONS

    def assume(self, condition: Condition) -> None:
        """Add a condition. The path becomes impossible where it can't hold or there are too many."""
        kind, form = condition
        if not form.terms:
            value = form.constant
            self.possible &= {">=": value >= 0, "==": value == 0, "!=": value != 0}[kind]
        elif condition not in self.conditions and not (kind == ">=" and is_never_negative(form)):
            self.conditions += (condition,)
            self.possible &= not self.is_cut_short

    def fork(self, at: int) -> Path:
        """Return a path that goes on from here by itself."""
        path = Path(at, dict(self.values), self.conditions)
        path.visits = dict(self.visits)
        return path


_ODD = frozenset({"hi", "sat"})
#: opcodes of sums
ADDING = frozenset({"add", "sub", "mad"})


def is_integer(instruction: Instruction) -> bool:
    """Return whether an instruction is one on integers or bits."""
    return bool(instruction.modifiers) and instruction.modifiers[-1][0] in "usb"


def _linear(
    form: Callable[[list[LinearForm]], LinearForm | None],
) -> Callable[[Path, Instruction, list[Value]], Value]:
    """Make a function of forms into one of values, unknown where one of them is."""

    def compute(path: Path, instruction: Instruction, values: list[Value]) -> Value:
        forms = [value for value in values if isinstance(value, LinearForm)]
        if len(forms) != len(values) or not is_integer(instruction) or _ODD & {*instruction.modifiers}:
            return None
        # A narrow unsigned value is widened without its sign: the form holds if there is none.
        if "wide" in instruction.modifiers and instruction.modifiers[-1][0] == "u":
            for value in forms[:2]:
                path.assume((">=", value))
        return form(forms)

    return compute


def _product_sum(forms: list[LinearForm]) -> LinearForm | None:
    product = times(forms[0], forms[1])
    return None if product is None else plus(product, forms[2])


def _shifted(forms: list[LinearForm]) -> LinearForm | None:
    value, by = forms
    return None if by.terms or not 0 <= by.constant < 64 else plus(LinearForm(0), value, 1 << by.constant)


def _constant(of: Callable[[int, int], int]) -> Callable[[list[LinearForm]], LinearForm | None]:
    """Make a function of two numbers that are known."""

    def compute(forms: list[LinearForm]) -> LinearForm | None:
        left, right = forms
        if left.terms or right.terms or left.constant < 0 or right.constant <= 0:
            return None
        return LinearForm(of(left.constant, right.constant))

    return compute


def _moved(path: Path, instruction: Instruction, values: list[Value]) -> Value:
    return values[0] if values and instruction.modifiers[-1][0] in "usbp" else None


def _converted(path: Path, instruction: Instruction, values: list[Value]) -> Value:
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


def _chosen(path: Path, instruction: Instruction, values: list[Value]) -> Value:
    first, second, predicate = values
    return (first if predicate else second) if isinstance(predicate, bool) else None


def _compared(path: Path, instruction: Instruction, values: list[Value]) -> Value:
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
    up, down = plus(right, left, -1), plus(left, right, -1)
    holds: tuple[Condition, ...]
    fails: tuple[Condition, ...]
    if relation in ("eq", "ne"):
        holds, fails = (("==", up),), (("!=", up),)
        if relation == "ne":
            holds, fails = fails, holds
    elif relation in ("lt", "lo"):
        holds, fails = ((">=", plus(up, LinearForm(-1))),), ((">=", down),)
    elif relation in ("ge", "hs"):
        holds, fails = ((">=", down),), ((">=", plus(up, LinearForm(-1))),)
    else:
        return None
    if kind[0] == "u" and relation not in ("eq", "ne"):
        natural: tuple[Condition, ...] = ((">=", left), (">=", right))
        holds, fails = holds + natural, fails + natural
    return Compared((holds,), (fails,))


def _joined(path: Path, instruction: Instruction, values: list[Value]) -> Value:
    """And, or of predicates; or of a number whose low bits are 0, which adds."""
    left, right = values
    every = instruction.opcode == "and"
    if "pred" not in instruction.modifiers:
        if every or not isinstance(left, LinearForm) or not isinstance(right, LinearForm):
            return None
        return None if right.terms else with_low_bits(left, right.constant)
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


def _both(left: Ways, right: Ways) -> Ways:
    return tuple(one + other for one in left for other in right)


def _inverted(path: Path, instruction: Instruction, values: list[Value]) -> Value:
    value = values[0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, Compared):
        return Compared(value.fails, value.holds)
    if isinstance(value, LinearForm) and "pred" not in instruction.modifiers:
        return plus(LinearForm(-1), value, -1)
    return None


#: by opcode; each takes the path, the instruction and the values of its sources
COMPUTE: dict[str, Callable[[Path, Instruction, list[Value]], Value]] = {
    "mov": _moved,
    "cvta": _moved,
    "cvt": _converted,
    "selp": _chosen,
    "setp": _compared,
    "and": _joined,
    "or": _joined,
    "not": _inverted,
    "neg": _linear(lambda forms: plus(LinearForm(0), forms[0], -1)),
    "add": _linear(lambda forms: plus(forms[0], forms[1])),
    "sub": _linear(lambda forms: plus(forms[0], forms[1], -1)),
    "mul": _linear(lambda forms: times(forms[0], forms[1])),
    "mad": _linear(_product_sum),
    "shl": _linear(_shifted),
    "div": _linear(_constant(lambda left, right: left // right)),
    "rem": _linear(_constant(lambda left, right: left % right)),
}
