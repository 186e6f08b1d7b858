"""Find the largest eigenvalue of a symmetric matrix by power iteration.

``python eigenvalue.py`` compares with numpy. With ``--with-bug`` the matrix has numpy's own dtype,
float64, and the library's kernels take float.
"""

from __future__ import annotations

import argparse

import numpy as np
import pycuda.autoinit
from matrices import multiply, norm, transpose
from pycuda import gpuarray

#: the dtype of the matrix, without and with the bug
DTYPES = (np.float32, np.float64)


def largest_eigenvalue(matrix: gpuarray.GPUArray, steps: int = 8) -> float:
    """Return the largest eigenvalue of a symmetric matrix with no negative ones."""
    vector = gpuarray.to_gpu(np.ones((matrix.shape[0], 1), dtype=np.float32))
    for _ in range(steps):
        vector = multiply(matrix, vector)
        vector /= np.float32(norm(vector))
    return float(multiply(transpose(vector), multiply(matrix, vector)).get()[0, 0])


def main() -> None:
    """Compute and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with-bug", action="store_true", help="use a matrix of float64")
    arguments = parser.parse_args()

    factor = np.random.default_rng(3).uniform(0, 1, (45, 45))
    matrix = (factor @ factor.T).astype(DTYPES[arguments.with_bug])
    on_device = gpuarray.to_gpu(matrix)
    found, right = largest_eigenvalue(on_device), np.linalg.eigvalsh(matrix)[-1]
    print(f"{found:.2f}, and numpy says {right:.2f}")


if __name__ == "__main__":
    main()
