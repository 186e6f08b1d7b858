"""What the host has to work out of a launch to know that none of its accesses can be bad.

A kernel's integer arithmetic, as far as addresses and the conditions around accesses need it, is written down
as *nodes*: one instruction each, of nodes before it. The host does it again for a launch, with all that the
threads may have in the place of one number; see proving.py.
"""

from __future__ import annotations

import msgspec

#: what the name of the variant ends in that has no checks of addresses
PROVEN_SUFFIX = "$proven"

#: the node that nothing is known of
UNKNOWN = 0
#: dimensions of a launch from here on are the rounds of loops; before come the indices of thread and block
FIRST_LOOP = 6

Condition = tuple[int, bool]  #: a node that is a predicate, and whether it holds


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One number, or predicate, that a thread computes.

    ``operation`` is a PTX opcode, or ``param`` (``number``: byte offset in the packed arguments), ``index``,
    ``extent`` (of thread, then block: 0 to 5), ``root``, ``variable``, ``const``, ``some`` (any number of the
    type), ``within`` (0 up to ``number``), ``join`` (one of the operands), ``count`` (how many rounds of a
    loop came before this one), ``rounds`` (here the operands are known that bound a loop's rounds).
    ``kind`` is the type, for ``setp`` behind the comparison (``lt.s32``), for ``cvt`` those of both sides.
    """

    operation: str
    kind: str = ""
    operands: tuple[int, ...] = ()
    number: int = 0


class Loop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``again`` holds whenever another round begins, ``entered`` whenever the loop is entered."""

    again: tuple[Condition, ...]
    entered: tuple[Condition, ...]


class Demand(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes ``low`` up to ``high`` around the address ``node``, accessed where all conditions hold.

    ``base`` is the root's position, or below 0 a variable: -1 is that of size ``sizes[0]`` and so on.
    ``alignment``: what the root must be a multiple of. ``tested``: offsets and widths of those accesses of
    which only the launch's numbers tell whether they are aligned.
    """

    base: int
    node: int
    low: int
    high: int
    alignment: int
    tested: tuple[tuple[int, int], ...]
    conditions: tuple[Condition, ...]


class Proof(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is to be shown. ``numbers``: offset and size of the arguments that it takes.

    ``sizes`` are those of the variables, in bytes; -1 is dynamic shared memory.
    """

    nodes: tuple[Node, ...]
    loops: tuple[Loop, ...]
    demands: tuple[Demand, ...]
    numbers: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]

    @property
    def uses_dynamic(self) -> bool:
        """Whether the amount of dynamic shared memory matters."""
        return -1 in self.sizes
