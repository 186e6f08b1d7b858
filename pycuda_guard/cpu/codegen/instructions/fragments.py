"""How the lanes of a warp hold a matrix.

A matrix is cut into tiles of 8 by 4 cells. Lane ``4 * g + t`` holds the cell (g, t) of every tile: a
register's worth of neighbouring numbers (two of 16 bits, four of 8, one of 32 or 64). Tiles are numbered
down the rows first. That is the layout that the ISA manual gives for ``mma``; B is held as its transpose,
so that its cells lie along k as A's do. A lane's cell of C or D is always two neighbouring numbers.

For ``wmma`` the manual leaves the layout open. There it is the same; where a fragment has more registers
than the matrix needs, the numbers repeat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHAPE = re.compile(r"m(\d+)n(\d+)k(\d+)")
ROWS = 8
COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """Extents of a product: A is m by k, B is k by n, C and D are m by n."""

    m: int
    n: int
    k: int

    @classmethod
    def of(cls, modifier: str) -> Shape | None:
        """Return the shape that a modifier (``m16n8k16``) names, or None."""
        match = _SHAPE.fullmatch(modifier)
        return cls(*map(int, match.groups())) if match else None


@dataclass(frozen=True, slots=True)
class Fragment:
    """One matrix as tiles: extents in numbers, and how many numbers a cell has."""

    rows: int
    columns: int
    per_cell: int

    @property
    def tiles(self) -> int:
        """How many cells a lane holds."""
        return (self.rows // ROWS) * (self.columns // (COLUMNS * self.per_cell))

    def tile(self, row: int, column: int) -> int:
        """Return the tile of a number."""
        return row // ROWS + self.rows // ROWS * (column // (COLUMNS * self.per_cell))

    def corner(self, tile: int) -> tuple[int, int]:
        """Return the row and the column of a tile's first number."""
        across, down = divmod(tile, self.rows // ROWS)
        return down * ROWS, across * COLUMNS * self.per_cell

    def fits(self) -> bool:
        """Whether the matrix is made of whole tiles."""
        return self.rows % ROWS == 0 and self.columns % (COLUMNS * self.per_cell) == 0


def factor(shape: Shape, matrix: str, bits: int) -> Fragment:
    """Return the fragment of A, or of B's transpose, of numbers of ``bits`` bits."""
    return Fragment(shape.m if matrix == "a" else shape.n, shape.k, max(1, 32 // bits))


def accumulator(shape: Shape) -> Fragment:
    """Return the fragment of C and D."""
    return Fragment(shape.m, shape.n, 2)
