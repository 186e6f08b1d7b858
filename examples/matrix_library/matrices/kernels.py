"""The kernels of the library. Matrices are in C order; rows and columns need not fill the tiles."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pycuda.compiler import SourceModule

if TYPE_CHECKING:
    from pycuda.driver import Function

#: threads of a block in x and in y, for products and transposes
TILE = 16

#: threads of a block for sums: a power of two
THREADS = 128

SOURCE = """
// product (rows x columns) = left (rows x inner) times right (inner x columns)
__global__ void multiply(const float *left, const float *right, float *product,
                         int rows, int inner, int columns)
{
    __shared__ float of_left[TILE][TILE], of_right[TILE][TILE];
    int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int start = 0; start < inner; start += TILE) {
        int x = start + threadIdx.x, y = start + threadIdx.y;
        of_left[threadIdx.y][threadIdx.x] = row < rows && x < inner ? left[row * inner + x] : 0;
        of_right[threadIdx.y][threadIdx.x] = column < columns && y < inner ? right[y * columns + column] : 0;
        __syncthreads();
        for (int k = 0; k < TILE; ++k)
            sum += of_left[threadIdx.y][k] * of_right[k][threadIdx.x];
        __syncthreads();
    }
    if (row < rows && column < columns)
        product[row * columns + column] = sum;
}

// One more column in the tile keeps the threads of a warp in different banks.
__global__ void transpose(const float *matrix, float *transposed, int rows, int columns)
{
    __shared__ float tile[TILE][TILE + 1];
    int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    if (row < rows && column < columns)
        tile[threadIdx.y][threadIdx.x] = matrix[row * columns + column];
    __syncthreads();
    row = blockIdx.y * TILE + threadIdx.x;
    column = blockIdx.x * TILE + threadIdx.y;
    if (row < rows && column < columns)
        transposed[column * rows + row] = tile[threadIdx.x][threadIdx.y];
}

// The sum of each row, or of its squares: one block a row.
__global__ void sums(const float *matrix, float *sums, int columns, int squared)
{
    __shared__ float partial[THREADS];
    const float *row = matrix + blockIdx.x * columns;
    float sum = 0;
    for (int column = threadIdx.x; column < columns; column += THREADS)
        sum += squared ? row[column] * row[column] : row[column];
    partial[threadIdx.x] = sum;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            partial[threadIdx.x] += partial[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        sums[blockIdx.x] = partial[0];
}
"""


@cache
def kernel(name: str) -> Function:
    """Return a kernel; all are compiled at the first call."""
    return _module().get_function(name)


@cache
def _module() -> SourceModule:
    return SourceModule(SOURCE, options=[f"-DTILE={TILE}", f"-DTHREADS={THREADS}"])
