"""Where the ways that part at a branch come together again, whatever they depend on.

Loops are taken to end. A trap leaves the kernel here: what comes after an assertion is not certain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.ptx.ir import Instruction, Label, Symbol
from pycuda_guard.kernels.ptx.opcodes import definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.ptx.ir import FlatFunction

#: blocks of a function above which nothing is looked for: the time grows with their square
_MOST_BLOCKS = 400
_LEAVING = frozenset({"ret", "exit", "trap", "brx"})
_ENDING = _LEAVING | {"bra"}


class Join(NamedTuple):
    """A place in the body that control comes to from a branch, and the registers written on the way."""

    at: int
    written: frozenset[str]


class Joins:
    """The joins of a function's branches."""

    def __init__(self, function: FlatFunction) -> None:
        self._body = function.body
        self._starts = _starts(function)
        self._block_at = {start: block for block, start in enumerate(self._starts)}
        self._ends: list[int] = [*self._starts[1:], len(self._body)]
        labels = {entry.name: at for at, entry in enumerate(self._body) if isinstance(entry, Label)}
        self._next = [list(self._successors(block, labels)) for block in range(len(self._starts))]
        self._after = self._post_dominators() if len(self._starts) <= _MOST_BLOCKS else []

    def of_branch(self, at: int) -> Join | None:
        """Return the join of the branch at a position in the body; None where there is none."""
        block = next((number for number, end in enumerate(self._ends) if end > at), None)
        if block is None or not self._after:
            return None
        exit_block = len(self._starts)
        others = self._after[block] & ~(1 << block)
        # of those that control comes to for certain, the nearest is the one that all others come after
        for candidate in _members(others):
            if candidate != exit_block and self._after[candidate] == others:
                return Join(self._starts[candidate], self._written_between(block, candidate))
        return None

    def _successors(self, block: int, labels: dict[str, int]) -> Iterator[int]:
        """Yield the blocks that control may go to from a block; one past the last stands for the end."""
        exit_block = len(self._starts)
        last = self._body[self._ends[block] - 1]
        goes_on = True
        if isinstance(last, Instruction) and last.opcode in _ENDING:
            goes_on = last.guard is not None
            target = last.operands[0] if last.opcode == "bra" and last.operands else None
            known = labels.get(target.name) if isinstance(target, Symbol) else None
            yield exit_block if known is None else self._block_at[known]
        if goes_on:
            yield block + 1

    def _post_dominators(self) -> list[int]:
        """Return, for each block and the end, the set of those that control comes to from it, as bits."""
        count = len(self._starts)
        everything = (1 << count + 1) - 1
        found = [everything] * count + [1 << count]
        changed = True
        while changed:
            changed = False
            for block in range(count - 1, -1, -1):
                common = everything
                for successor in self._next[block]:
                    common &= found[successor]
                common |= 1 << block
                if common != found[block]:
                    found[block], changed = common, True
        return found

    def _written_between(self, block: int, join: int) -> frozenset[str]:
        """Return the registers that are written after a block's branch and before a join."""
        exit_block = len(self._starts)
        waiting, seen = [*self._next[block]], set[int]()
        written: set[str] = set()
        while waiting:
            each = waiting.pop()
            if each in seen or each in (join, exit_block):
                continue
            seen.add(each)
            waiting += self._next[each]
            for entry in self._body[self._starts[each] : self._ends[each]]:
                if isinstance(entry, Instruction):
                    written.update(definitions(entry))
        return frozenset(written)


def _starts(function: FlatFunction) -> list[int]:
    """Return where blocks begin: at labels, and after branches."""
    found = {0}
    for at, entry in enumerate(function.body):
        if isinstance(entry, Label):
            found.add(at)
        elif entry.opcode in _ENDING:
            found.add(at + 1)
    return sorted(each for each in found if each < len(function.body))


def _members(bits: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
