"""Rasters of few colours as SVG: arrays by element, grids by block, blocks by thread."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from pycuda_guard.reports.html.marks import escaped

#: at most as many cells across and down, or in a single row; of larger things, a cell is several elements
MAX_COLUMNS, MAX_ROWS, MAX_STRIP = 128, 64, 320

_WIDTH, _HEIGHT = 960, 256
_SMALLEST, _LARGEST = 3, 14


@dataclass(slots=True)
class Raster:
    """``columns`` times ``rows`` elements in cells; each cell has the most important mark within it.

    A mark is a number: the larger, the more important.
    """

    columns: int
    rows: int
    cells: list[list[int]]

    @classmethod
    def blank(cls, columns: int, rows: int) -> Raster:
        """Return a raster without marks."""
        across, down = min(columns, MAX_STRIP if rows == 1 else MAX_COLUMNS), min(rows, MAX_ROWS)
        return cls(columns, rows, [[0] * across for _ in range(down)])

    def mark(self, column: int, row: int, value: int) -> None:
        """Mark one element."""
        if 0 <= column < self.columns and 0 <= row < self.rows:
            self._raise(self._down(row), self._across(column), self._across(column), value)

    def mark_run(self, start: int, end: int, value: int) -> None:
        """Mark the elements from ``start`` up to ``end``, which is not one, counted row by row."""
        end = min(end, self.columns * self.rows)
        start = max(start, 0)
        while start < end:
            row, column = divmod(start, self.columns)
            if column == 0 and end - start >= self.columns:
                last = end // self.columns - 1  # whole rows
                for down in range(self._down(row), self._down(last) + 1):
                    self._raise(down, 0, len(self.cells[0]) - 1, value)
                start = (last + 1) * self.columns
            else:
                stop = min(end - row * self.columns, self.columns)
                self._raise(self._down(row), self._across(column), self._across(stop - 1), value)
                start = row * self.columns + stop

    @property
    def per_cell(self) -> int:
        """How many elements the largest cell stands for."""
        return -(-self.columns // len(self.cells[0])) * -(-self.rows // len(self.cells))

    def svg(self, label: str, classes: dict[int, str]) -> str:
        """Return the picture; ``classes`` are the style classes of the marks, ``label`` says it in words."""
        across, down = len(self.cells[0]), len(self.cells)
        side = max(min(_WIDTH // across, _HEIGHT // down, _LARGEST), _SMALLEST)
        tall = max(side, 22) if down == 1 else side
        parts = [
            f"<rect class='{classes[value]}' x='{start * side}' y='{row * tall}' "
            f"width='{length * side}' height='{tall}'/>"
            for row, cells in enumerate(self.cells)
            for value, start, length in _runs(cells)
        ]
        # lines between single elements, where they are large enough to be told apart
        grid = ""
        if side >= 5 and self.per_cell == 1:
            lines = "".join(f"M{n * side} 0V{down * tall}" for n in range(1, across))
            lines += "".join(f"M0 {n * tall}H{across * side}" for n in range(1, down))
            grid = f"<path class='lines' d='{lines}'/>" if lines else ""
        width, height = across * side, down * tall
        return (
            f"<svg role='img' aria-label='{escaped(label)}' viewBox='0 0 {width} {height}' "
            f"width='{width}' height='{height}'>{''.join(parts)}{grid}</svg>"
        )

    def _across(self, column: int) -> int:
        return column * len(self.cells[0]) // self.columns

    def _down(self, row: int) -> int:
        return row * len(self.cells) // self.rows

    def _raise(self, down: int, first: int, last: int, value: int) -> None:
        cells = self.cells[down]
        for across in range(first, last + 1):
            cells[across] = max(cells[across], value)


def _runs(cells: list[int]) -> list[tuple[int, int, int]]:
    """Return the values of a row with where each run of them starts and how long it is."""
    runs, start = [], 0
    for value, group in groupby(cells):
        length = len(list(group))
        runs.append((value, start, length))
        start += length
    return runs
