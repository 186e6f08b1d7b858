"""What a kernel's own index arithmetic says that it writes, as formulas that a recording can hold.

A symbol is a number: from 0 up the value of that parameter, from :data:`FIRST_UNIFORM` up one of
:class:`Coverage`'s uniforms, below 0 an extent of the launch or an index of the thread.
"""

from __future__ import annotations

import msgspec

#: blockDim.x, .y, .z
BLOCK_DIMS = (-1, -2, -3)
#: gridDim.x, .y, .z
GRID_DIMS = (-4, -5, -6)
#: threadIdx.x, .y, .z
THREADS = (-7, -8, -9)
#: blockIdx.x, .y, .z
BLOCKS = (-10, -11, -12)

FIRST_UNIFORM = 1 << 16


class Polynomial(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A sum of products: each term is a factor and the symbols it is multiplied with, in order."""

    terms: tuple[tuple[int, tuple[int, ...]], ...] = ()


#: a polynomial and how it compares to 0: ``>=``, ``==`` or ``!=``
Condition = tuple[str, Polynomial]


class Uniform(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A number that all threads of a launch agree on and that is no polynomial of the others.

    ``operation`` is the PTX instruction that makes it of the operands (``shr``, ``min``), ``kind`` its type.
    """

    operation: str
    kind: str
    operands: tuple[Polynomial, ...]


class MeantStore(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Every thread for which all conditions hold stores ``width`` bytes.

    ``offset`` is where, in bytes from the value of pointer parameter ``parameter``.
    """

    parameter: int
    width: int
    offset: Polynomial
    conditions: tuple[Condition, ...]


class Coverage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The stores of a kernel whose places and conditions are known as formulas."""

    uniforms: tuple[Uniform, ...]
    stores: tuple[MeantStore, ...]
