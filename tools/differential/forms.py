"""Forms of instructions: what a generator may write, and what must come out of it.

A form's text has ``$d $e $g $h`` for its results and ``$a $b $c $f`` for its operands. Kinds of values are
``i16 i32 i64 f16 bf16 f32 f64 f16x2 bf16x2 pred``; an operand kind with ``=`` takes no result of
floating-point arithmetic, whose NaN may have any bits. All values travel as bit patterns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Column = list[int]

BITS = {
    "pred": 1,
    "i16": 16,
    "f16": 16,
    "bf16": 16,
    "i32": 32,
    "f32": 32,
    "f16x2": 32,
    "bf16x2": 32,
    "i64": 64,
    "f64": 64,
}
INTEGERS = frozenset({"i16", "i32", "i64", "pred"})
RESULT_NAMES = "degh"
OPERAND_NAMES = "abcf"


@dataclass(frozen=True)
class Form:
    """One form of an instruction, or a few instructions that only make sense together.

    ``functions`` compute the results of one thread from its operands; with ``together``, those of all
    threads, columns from columns. More than one function: either is right, for a whole column. ``last``: the
    results are stored but not computed with. ``alone``: may only stand where all threads are.
    """

    text: str
    results: tuple[str, ...]
    operands: tuple[str, ...]
    functions: tuple[Callable[..., object], ...]
    last: bool = False
    together: bool = False
    alone: bool = False
    immediates: bool = True

    def evaluate(self, columns: list[Column], active: list[bool] | None = None) -> list[list[Column]]:
        """Return for each function the columns of results; those of inactive threads are 0."""
        return [self._apply(function, columns, active) for function in self.functions]

    def _apply(
        self, function: Callable[..., object], columns: list[Column], active: list[bool] | None
    ) -> list[Column]:
        masks = [(1 << BITS[kind]) - 1 for kind in self.results]
        if self.together:
            found = function(*columns)
            assert isinstance(found, tuple)
            return [[value & mask for value in column] for column, mask in zip(found, masks, strict=True)]
        rows = []
        nothing = (0,) * len(masks)
        for thread, values in enumerate(zip(*columns, strict=True)):
            if active is not None and not active[thread]:
                rows.append(nothing)
                continue
            answer = function(*values)
            rows.append(answer if isinstance(answer, tuple) else (answer,))
        return [[row[place] & mask for row in rows] for place, mask in enumerate(masks)]

    @property
    def opcodes(self) -> frozenset[str]:
        """The opcodes in the text."""
        return frozenset(_opcodes(self.text))


_OPCODE = re.compile(r"(?:^|[;{}]|:(?!:))\s*(?:@!?[%$\w]+\s+)?([a-z]\w*)[.\s;]")


def _opcodes(text: str) -> Iterator[str]:
    for match in _OPCODE.finditer(text):
        yield match[1]


def form(
    text: str,
    kinds: str,
    *functions: Callable[..., object],
    results: int = 1,
    last: bool = False,
    together: bool = False,
    immediates: bool = True,
    alone: bool = False,
) -> Form:
    """Return a form; ``kinds`` are those of its results, then of its operands."""
    names = tuple(kinds.split())
    return Form(
        text,
        names[:results],
        names[results:],
        functions,
        last,
        together,
        alone or together,
        immediates and not together,
    )


def signed(value: int, bits: int) -> int:
    """Return the low bits of a number as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def number(value: int, kind: str) -> int:
    """Return a pattern as the integer that it stands for in a PTX type (``s32``, ``u16``)."""
    bits = int(kind[1:])
    return signed(value, bits) if kind[0] == "s" else value & ((1 << bits) - 1)


def clamped(value: int, kind: str) -> int:
    """Return an integer limited to the range of a PTX type."""
    bits = int(kind[1:])
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind[0] == "s" else (0, (1 << bits) - 1)
    return min(max(value, low), high)
