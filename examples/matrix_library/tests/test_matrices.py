"""The library against numpy, for shapes that fill the tiles and for ragged ones."""

from __future__ import annotations

import matrices
import numpy as np
import pytest
from pycuda import gpuarray

SHAPES = [(1, 1), (16, 16), (17, 33), (5, 130)]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (16, 32, 16), (19, 5, 40), (3, 130, 1)])
def test_multiply(rows: int, inner: int, columns: int) -> None:
    left, right = random(rows, inner), random(inner, columns)
    product = matrices.multiply(gpuarray.to_gpu(left), gpuarray.to_gpu(right))
    np.testing.assert_allclose(product.get(), left @ right, atol=1e-5)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="times"):
        matrices.multiply(gpuarray.zeros((2, 3), np.float32), gpuarray.zeros((2, 3), np.float32))


@pytest.mark.parametrize("shape", SHAPES)
def test_transpose(shape: tuple[int, int]) -> None:
    matrix = random(*shape)
    np.testing.assert_array_equal(matrices.transpose(gpuarray.to_gpu(matrix)).get(), matrix.T)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums(shape: tuple[int, int]) -> None:
    matrix = random(*shape)
    np.testing.assert_allclose(matrices.sums(gpuarray.to_gpu(matrix)).get(), matrix.sum(axis=1), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_norm(shape: tuple[int, int]) -> None:
    matrix = random(*shape)
    assert matrices.norm(gpuarray.to_gpu(matrix)) == pytest.approx(np.linalg.norm(matrix), rel=1e-5)
