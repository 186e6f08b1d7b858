"""Builds the body of one instrumented function: fresh names, instructions, and three places to put them.

The *prologue* runs first, *main* is the user's code with what is added to it, and *outlined* code stands
after it and is entered by branches alone: what is rare goes there.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Guard,
    Immediate,
    Instruction,
    Label,
    Register,
    RegisterDeclaration,
    Scope,
    SourceLine,
    SourceMark,
    Space,
    Symbol,
    TargetList,
    Variable,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.ptx.ir import (
        FlatFunction,
        Function,
        Operand,
        Statement,
    )

_PREFIX = "%pg_"
_LABEL = "$pg_"


class Builder:
    """The body of one function in the making."""

    def __init__(self, flat: FlatFunction) -> None:
        self.flat = flat
        self.prologue: list[Statement] = []
        self.main: list[Statement] = []
        self._outlined: list[list[Statement]] = []
        self._locals: dict[str, int] = {}
        self._out = self.main
        self._source: dict[int, SourceLine | None] = {}
        self._counts: dict[str, int] = {}
        self._labels = 0
        names = [*flat.registers, *(entry.name for entry in flat.body if isinstance(entry, Label))]
        taken = [name for name in names if name.startswith((_PREFIX, _LABEL))]
        self._stem = "_" * (1 + max(map(len, taken))) if taken else ""

    # --- names --------------------------------------------------------------------------------------

    def register(self, kind: str) -> Register:
        """Return a new register of a type: ``pred``, ``b16``, ``b32`` or ``b64``."""
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return Register(f"{self._family(kind)}{number}")

    def label(self) -> str:
        """Return a new label's name."""
        self._labels += 1
        return f"{_LABEL}{self._stem}{self._labels}"

    def _family(self, kind: str) -> str:
        return f"{_PREFIX}{self._stem}{kind}_"

    def need_local(self, name: str, size: int) -> None:
        """Declare a variable in local memory that has at least ``size`` bytes."""
        known = self._locals.get(name, 0)
        self._locals[name] = max(known, size)

    # --- instructions -------------------------------------------------------------------------------

    @contextmanager
    def in_prologue(self) -> Iterator[None]:
        """Put what is emitted in the prologue."""
        with self._at(self.prologue):
            yield

    @contextmanager
    def outlined(self, start: str, following: str = "") -> Iterator[None]:
        """Put what is emitted in a new piece of outlined code, behind the label ``start``.

        It ends with a branch to the label ``following``; without one it has to end the thread itself.
        """
        piece: list[Statement] = []
        self._outlined.append(piece)
        with self._at(piece):
            self.place_label(start)
            yield
            if following:
                self.branch(following)

    @contextmanager
    def rarely(self, guard: Guard) -> Iterator[None]:
        """Put what is emitted in outlined code, to which threads go for which ``guard`` holds."""
        start, following = self.label(), self.label()
        self.branch(start, guard)
        self.place_label(following)
        with self.outlined(start, following):
            yield

    @property
    def is_outlined(self) -> bool:
        """Whether what is emitted now goes to outlined code."""
        return self._out is not self.main and self._out is not self.prologue

    @contextmanager
    def _at(self, place: list[Statement]) -> Iterator[None]:
        before, self._out = self._out, place
        try:
            yield
        finally:
            self._out = before

    def emit(self, name: str, *operands: Operand | int, guard: Guard | None = None) -> None:
        """Add an instruction: ``emit("add.u64", to, left, 4)``."""
        opcode, *modifiers = name.split(".")
        listed = tuple(Immediate("int", o) if isinstance(o, int) else o for o in operands)
        self._out.append(Instruction(opcode, tuple(modifiers), listed, guard))

    def value(self, name: str, kind: str, *operands: Operand | int) -> Register:
        """Add an instruction that computes a new register of type ``kind``, and return that."""
        target = self.register(kind)
        self.emit(name, target, *operands)
        return target

    def call(self, function: str, values: list[tuple[int, Operand | int]]) -> None:
        """Add a call with parameters of some bytes each."""
        body, given = self._passed(values)
        body.append(Instruction("call", ("uni",), (Symbol(function), given)))
        self._out.append(Scope(body))

    def call_for(self, function: str, values: list[tuple[int, Operand | int]]) -> Register:
        """Add a call of a function that returns 32 bits, also where lanes part, and return those."""
        body, given = self._passed(values)
        result, returned = self.register("b32"), Symbol("pg_returned")
        body.append(Variable(returned.name, Space.PARAM, "b32"))
        body.append(Instruction("call", (), (Arguments((returned,)), Symbol(function), given)))
        body.append(Instruction("ld", ("param", "b32"), (result, at(returned))))
        self._out.append(Scope(body))
        return result

    def _passed(self, values: list[tuple[int, Operand | int]]) -> tuple[list[Statement], Arguments]:
        body: list[Statement] = []
        names = tuple(Symbol(f"pg_argument_{index}") for index in range(len(values)))
        for name, (width, value) in zip(names, values, strict=True):
            kind = f"b{8 * width}"
            operand = Immediate("int", value) if isinstance(value, int) else value
            body.append(Variable(name.name, Space.PARAM, kind))
            body.append(Instruction("st", ("param", kind), (at(name), operand)))
        return body, Arguments(names)

    def place_label(self, name: str) -> None:
        """Put a label here."""
        self._out.append(Label(name))

    def branch(self, target: str, guard: Guard | None = None) -> None:
        """Add a branch to a label."""
        self.emit("bra", Symbol(target), guard=guard)

    def keep(self, statement: Statement) -> None:
        """Add a statement of the user's, with the line that it belongs to."""
        if isinstance(statement, Instruction):
            self.mark(statement.source)
        self._out.append(statement)

    def mark(self, source: SourceLine | None) -> None:
        """Say which line what follows belongs to, unless that is known."""
        out = id(self._out)
        if source is None or self._source.get(out) == source:
            return
        self._source[out] = source
        # without the line that the code was inlined into: that must have been marked before it in the text
        self._out.append(SourceMark(SourceLine(source.file, source.line, source.column)))

    # --- the whole ----------------------------------------------------------------------------------

    def function(self, name: str, function: Function) -> Function:
        """Return ``function`` under a name, with the body that was built.

        ``function`` tells what stands before the body; its own body does not count.
        """
        flat = self.flat
        body: list[Statement] = [
            *_declarations(flat),
            *(
                RegisterDeclaration(kind, ((self._family(kind), count),))
                for kind, count in self._counts.items()
            ),
            *flat.variables.values(),
            *(
                Variable(name, Space.LOCAL, "b8", align=16, dims=(size,))
                for name, size in self._locals.items()
            ),
            *(TargetList(name, self._directive(names), names) for name, names in flat.tables.items()),
            *flat.prototypes.values(),
            *self.prologue,
            *self.main,
        ]
        if self._outlined and not _is_left(self.main):
            body.append(Instruction("ret"))
        for piece in self._outlined:
            body += piece
        return replace(function, name=name, body=body)

    def _directive(self, targets: tuple[str, ...]) -> str:
        """Return what a list of targets is for: to branch, where they are labels, or to call."""
        labels = {entry.name for entry in self.flat.body if isinstance(entry, Label)}
        return "branchtargets" if labels.issuperset(targets) else "calltargets"


def _declarations(flat: FlatFunction) -> list[RegisterDeclaration]:
    """Declare the function's registers, one declaration for each type."""
    parameters = {variable.name for variable in (*flat.function.parameters, *flat.function.returns)}
    kinds: dict[str, list[tuple[str, int | None]]] = {}
    for name, kind in flat.registers.items():
        if name not in parameters:
            kinds.setdefault(kind, []).append((name, None))
    return [RegisterDeclaration(kind, tuple(names)) for kind, names in kinds.items()]


def _is_left(body: list[Statement]) -> bool:
    """Tell whether control can't come to the end of a body."""
    last = next((entry for entry in reversed(body) if isinstance(entry, Instruction | Label)), None)
    if not isinstance(last, Instruction) or last.guard is not None:
        return False
    return last.opcode in ("ret", "exit", "trap", "bra", "brx")


def is_true(predicate: Register) -> Guard:
    """Return the guard ``@p``."""
    return Guard(predicate.name)


def is_false(predicate: Register) -> Guard:
    """Return the guard ``@!p``."""
    return Guard(predicate.name, negated=True)


def at(base: Register | Symbol, offset: int = 0) -> Address:
    """Return the operand ``[base+offset]``."""
    return Address(base, offset)


def pair(first: Operand, second: Operand) -> Vector:
    """Return the operand ``{first, second}``."""
    return Vector((first, second))
