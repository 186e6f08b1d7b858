"""Matrices that a warp holds together, by nvcuda::wmma and by mma, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codegen_support import Kernels, compile_cuda

SOURCE = Path(__file__).with_name("matrix_kernels.cu")
RANDOM = np.random.default_rng(11)


@pytest.fixture(scope="module")
def kernels(device, tmp_path_factory):
    return Kernels(device, compile_cuda(SOURCE, tmp_path_factory.mktemp("matrices"), "sm_90"))


def halves(*shape):
    """Numbers of 11 bits whose products and sums an f32 holds exactly."""
    return (RANDOM.integers(-64, 64, shape) / 32).astype(np.float16)


def order_of(array, order):
    return np.ascontiguousarray(array if order == "row" else array.T)


#: kernel: extents, order of A, B and C in memory, types of factors and sums
WMMA = {
    "square_f32": ((16, 16, 16), "row", "col", "row", np.float16, np.float32),
    "square_f16": ((16, 16, 16), "row", "row", "row", np.float16, np.float16),
    "columns": ((16, 16, 16), "col", "row", "col", np.float16, np.float32),
    "tall": ((32, 8, 16), "row", "col", "row", np.float16, np.float32),
    "wide": ((8, 32, 16), "col", "col", "col", np.float16, np.float16),
    "bytes": ((16, 16, 16), "row", "col", "row", np.int8, np.int32),
    "bytes_wide": ((8, 32, 16), "row", "col", "row", np.uint8, np.int32),
    "doubles": ((8, 8, 4), "row", "col", "row", np.float64, np.float64),
}


@pytest.mark.parametrize("name", WMMA)
def test_a_product_by_fragments(kernels, name):
    (m, n, k), order_a, order_b, order_c, kind, sums = WMMA[name]
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)
        a, b = (RANDOM.integers(limits.min, limits.max, shape, kind, True) for shape in ((m, k), (k, n)))
        c = RANDOM.integers(-1000, 1000, (m, n), sums)
    else:
        a, b, c = (halves(*shape) for shape in ((m, k), (k, n), (m, n)))
    d = order_of(np.zeros((m, n), sums), order_c)
    given = [order_of(a.astype(kind), order_a), order_of(b.astype(kind), order_b)]
    kernels.run(name, *given, order_of(c.astype(sums), order_c), d, block=32)
    wide = np.int64 if np.issubdtype(sums, np.integer) else np.float64
    wanted = ((a.astype(wide) @ b.astype(wide) + c).astype(sums) * 2).astype(sums)
    assert np.array_equal(d if order_c == "row" else d.T, wanted)


def bfloat_bits(array):
    return (np.asarray(array, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def test_a_product_of_bfloat16(kernels):
    a, b, c = (RANDOM.integers(-8, 8, (16, 16)).astype(np.float32) for _ in range(3))
    d = np.zeros((16, 16), np.float32)
    kernels.run("bfloat", bfloat_bits(a), bfloat_bits(b.T), c, d, block=32)
    assert np.array_equal(d, 2 * (a @ b + c))


def test_a_product_of_tf32_takes_the_upper_bits_of_what_is_not_rounded(kernels):
    a, b = (RANDOM.standard_normal(shape).astype(np.float32) for shape in ((16, 8), (8, 16)))
    d = np.zeros((16, 16), np.float32)
    kernels.run("tf32", a, np.ascontiguousarray(b.T), d, block=32)
    rounded = (a.view(np.uint32) + 0x1000 & 0xFFFFE000).view(np.float32)
    cut = (b.view(np.uint32) & 0xFFFFE000).view(np.float32)
    np.testing.assert_allclose(d, rounded.astype(float) @ cut.astype(float), rtol=1e-6, atol=1e-6)


def test_a_tiled_product_of_several_warps_and_blocks(kernels):
    a, b = halves(64, 64), halves(64, 64)
    c = np.zeros((64, 64), np.float32)
    kernels.run("tiled", a, b, c, grid=(2, 2), block=128)
    assert np.array_equal(c, a.astype(np.float32) @ b.astype(np.float32))


@pytest.mark.parametrize("name, k, sums", [("mma_k16", 16, np.float32), ("mma_k8", 8, np.float16)])
def test_mma_holds_numbers_where_the_manual_says(kernels, name, k, sums):
    a, b, c = halves(16, k), halves(k, 8), halves(16, 8).astype(sums)
    d = np.zeros((16, 8), sums)
    kernels.run(name, a, b, c, d, block=32)
    assert np.array_equal(d, (a.astype(np.float64) @ b.astype(np.float64) + c).astype(sums))


def test_mma_of_bytes(kernels):
    a, b = RANDOM.integers(-128, 128, (16, 32), np.int8), RANDOM.integers(-128, 128, (32, 8), np.int8)
    d = np.zeros((16, 8), np.int32)
    kernels.run("mma_bytes", a, b, d, block=32)
    assert np.array_equal(d, a.astype(np.int32) @ b.astype(np.int32))


def test_small_matrices_are_loaded_stored_and_transposed(kernels):
    given = RANDOM.integers(0, 1 << 16, (4, 8, 8), np.uint16)
    loaded, stored = np.zeros_like(given), np.zeros_like(given)
    transposed, turned = np.zeros((2, 8, 8), np.uint16), np.zeros((8, 8), np.uint16)
    kernels.run("moved", given, loaded, transposed, stored, turned, block=32)
    assert np.array_equal(loaded, given)
    assert np.array_equal(transposed, given[:2].transpose(0, 2, 1))
    assert np.array_equal(stored, given)
    assert np.array_equal(turned, given[3].T)


def test_a_wild_address_is_a_fault_of_the_kernel(kernels):
    fault = kernels.launch("square_f32", np.uint64(8), np.uint64(8), np.uint64(8), np.uint64(8), block=32)
    assert "ILLEGAL_ADDRESS" in fault.kind.name
