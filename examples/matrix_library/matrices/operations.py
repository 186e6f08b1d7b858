"""What can be done with matrices: functions from GPU arrays to new GPU arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pycuda import gpuarray

from matrices.kernels import THREADS, TILE, kernel

if TYPE_CHECKING:
    from pycuda.gpuarray import GPUArray


def _tiles(rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    """Return the launch that has a thread for each element of a matrix."""
    return {"block": (TILE, TILE, 1), "grid": (math.ceil(columns / TILE), math.ceil(rows / TILE))}


def multiply(left: GPUArray, right: GPUArray) -> GPUArray:
    """Return the product, of shape (rows of ``left``, columns of ``right``)."""
    (rows, inner), (same, columns) = left.shape, right.shape
    if inner != same:
        raise ValueError(f"{left.shape} times {right.shape}")
    product = gpuarray.empty((rows, columns), np.float32)
    extents = np.int32(rows), np.int32(inner), np.int32(columns)
    kernel("multiply")(left, right, product, *extents, **_tiles(rows, columns))
    return product


def transpose(matrix: GPUArray) -> GPUArray:
    """Return the matrix with rows and columns exchanged, in C order."""
    rows, columns = matrix.shape
    transposed = gpuarray.empty((columns, rows), np.float32)
    kernel("transpose")(matrix, transposed, np.int32(rows), np.int32(columns), **_tiles(rows, columns))
    return transposed


def sums(matrix: GPUArray) -> GPUArray:
    """Return the sum of each row, of shape (rows,)."""
    return _sums(matrix, is_squared=False)


def norm(matrix: GPUArray) -> float:
    """Return the root of the sum of all squares."""
    squares = _sums(matrix, is_squared=True)
    return math.sqrt(_sums(squares.reshape(1, -1), is_squared=False).get()[0])


def _sums(matrix: GPUArray, is_squared: bool) -> GPUArray:
    rows, columns = matrix.shape
    result = gpuarray.empty(rows, np.float32)
    kernel("sums")(
        matrix, result, np.int32(columns), np.int32(is_squared), block=(THREADS, 1, 1), grid=(rows, 1)
    )
    return result
