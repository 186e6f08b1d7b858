"""The numbers that a kernel computes, as nodes.

A register is followed to the one instruction that it certainly comes from. Where it comes from several, it
may be what any of them gave; or it is a loop's, see rounds.py. All of that holds whichever way a thread has
taken, and for the last time that it has come through: what all ways to a place lead over, one after the
other, was done in the same round of each loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.proofs.instructions import compute
from pycuda_guard.kernels.instrument.proofs.model import UNKNOWN, Node
from pycuda_guard.kernels.instrument.proofs.paths import Paths, Place
from pycuda_guard.kernels.instrument.proofs.rounds import Rounds
from pycuda_guard.kernels.instrument.variables import is_dynamic
from pycuda_guard.kernels.ptx.ir import Immediate, Negated, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.proofs.model import Condition
    from pycuda_guard.kernels.ptx.ir import Guard, Operand

_MOST_CONDITIONS = 24
#: instructions that are followed back from an access in one go
_DEEPEST = 100
#: what may be a small number even where nothing is known of an operand
_LIMITING = frozenset({"and", "rem", "min", "max", "bfe"})

_AXES = ("x", "y", "z")
_SPECIAL = {
    f"%{name}.{axis}": (operation, first + number)
    for name, operation, first in (
        ("tid", "index", 0),
        ("ctaid", "index", 3),
        ("ntid", "extent", 0),
        ("nctaid", "extent", 3),
    )
    for number, axis in enumerate(_AXES)
}
_SPECIAL["%laneid"] = ("within", 31)


class Nodes:
    """The nodes of one kernel, each made when it is first asked for.

    ``hopeless`` are those that may be anything in each launch, ``numbers`` the arguments that nodes take.
    """

    def __init__(self, frame: Frame, paths: Paths) -> None:
        self.frame = frame
        self.paths = paths
        self.found: dict[Node, int] = {Node("unknown"): UNKNOWN}
        self.hopeless = {UNKNOWN}
        self.numbers: dict[tuple[int, int], None] = {}
        self.sizes: list[int] = []
        self.layout = _layout(frame)
        self._variables: dict[str, int] = {}
        self._defined: dict[Place, int] = {}
        self._conditions: dict[int, tuple[Condition, ...]] = {}
        self._depth = 0
        self.rounds = Rounds(self)
        self.rounds.limit_all()

    def node(self, operation: str, kind: str = "", operands: tuple[int, ...] = (), number: int = 0) -> int:
        """Return the number of a node."""
        found = self.found.setdefault(Node(operation, kind, operands, number), len(self.found))
        if operation not in _LIMITING and not self.hopeless.isdisjoint(operands):
            self.hopeless.add(found)
        return found

    def variable(self, name: str, size: int) -> int:
        """Return the number of a variable of the program."""
        if name not in self._variables:
            self._variables[name] = len(self.sizes)
            self.sizes.append(size)
        return self._variables[name]

    def value(self, operand: Operand, place: Place) -> int:
        """Return the node of what an operand is, read at a place."""
        if isinstance(operand, Immediate):
            return self.node("const", number=operand.value) if operand.kind == "int" else UNKNOWN
        if isinstance(operand, Negated):
            return self.node("not.pred", "pred", (self.value(operand.operand, place),))
        if isinstance(operand, Symbol):
            return self.address_of(operand)
        if not isinstance(operand, Register) or operand.part or operand.negative:
            return UNKNOWN
        if operand.special:
            operation, number = _SPECIAL.get(operand.name, ("", 0))
            return self.node(operation, number=number) if operation else UNKNOWN
        return self.register(operand.name, place)

    def register(self, name: str, place: Place) -> int:
        """Return the node of what a register holds at a place."""
        found = self.paths.reaching(name, place)
        if not found:
            return UNKNOWN
        if len(found) == 1:
            return self.defined(next(iter(found)), name)
        for loop in self.paths.loops:
            if place.block in loop.body:
                carried = self.rounds.carried(name, loop, place)
                if carried != UNKNOWN:
                    return carried
        return self.joined(found, name)

    def joined(self, found: frozenset[Place], name: str) -> int:
        """Return the node of a register that several instructions may have written."""
        values = sorted({self.defined(place, name) for place in found})
        is_number = self.frame.flat.registers.get(name) != "pred"
        return self.node("join", "", tuple(values)) if is_number and UNKNOWN not in values else UNKNOWN

    def defined(self, place: Place, name: str) -> int:
        """Return the node of what the instruction at a place puts in a register."""
        known = self._defined.get(place)
        if known is None and self._depth >= _DEEPEST:
            return UNKNOWN
        if known is None:
            self._depth += 1
            self._defined[place] = UNKNOWN  # where it comes to itself
            instruction = self.paths.at(place)
            known = UNKNOWN
            if definitions(instruction) == (name,) and isinstance(instruction.operands[0], Register):
                known = compute(self, instruction, place)
            self._defined[place] = known
            self._depth -= 1
        return known

    def address_of(self, symbol: Symbol) -> int:
        """Return the node of the address of a variable, if it is known how large that is."""
        variable = self.frame.flat.variables.get(symbol.name) or self.frame.variables.get(symbol.name)
        if variable is None or not (variable.size or is_dynamic(variable)):
            return UNKNOWN
        number = self.variable(symbol.name, -1 if is_dynamic(variable) else variable.size)
        base = self.node("variable", number=number)
        if not symbol.offset:
            return base
        return self.node("add", "s64", (base, self.node("const", number=symbol.offset)))

    def conditions_of(self, block: int) -> tuple[Condition, ...]:
        """Return what certainly holds where a block is come to."""
        known = self._conditions.get(block)
        if known is None:
            self._conditions[block] = ()
            found = [
                self.condition(edge.guard, edge.source)
                for edge in self.paths.certain_edges(block)
                if edge.guard is not None
            ]
            known = tuple(dict.fromkeys(each for each in found if each[0] != UNKNOWN))[:_MOST_CONDITIONS]
            self._conditions[block] = known
        return known

    def condition(self, guard: Guard, block: int) -> Condition:
        """Return a guard at the end of a block as a condition."""
        end = Place(block, len(self.paths.blocks[block]))
        return self.value(Register(guard.register), end), not guard.negated


def _layout(frame: Frame) -> dict[str, tuple[int, int, int]]:
    """Return position, offset in the packed arguments and size of each parameter, by name."""
    found = {}
    end = 0
    for position, parameter in enumerate(frame.flat.function.parameters):
        start = -(-end // parameter.alignment) * parameter.alignment
        end = start + parameter.size
        found[parameter.name] = (position, start, parameter.size)
    return found
