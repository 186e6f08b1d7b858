"""Kernels of many kinds, compared with numpy."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from codegen_support import Kernels, compile_cuda

from pycuda_guard.cpu.abi import FaultKind


@pytest.fixture(scope="module")
def kernels(device, tmp_path_factory):
    source = Path(__file__).with_name("codegen_kernels.cu")
    return Kernels(device, compile_cuda(source, tmp_path_factory.mktemp("ptx")))


@pytest.fixture
def random():
    return np.random.default_rng(1)


@pytest.mark.parametrize("n", [1, 255, 1000])
def test_vector_add_stops_at_the_end(kernels, random, n):
    a, b = random.random((2, n), dtype=np.float32)
    c = np.zeros(n + 8, np.float32)
    kernels.run("vector_add", a, b, c, np.int32(n), grid=-(-n // 128), block=128)
    assert np.array_equal(c, np.concatenate([a + b, np.zeros(8, np.float32)]))


def test_stencil(kernels, random):
    field = random.integers(0, 100, (70, 50)).astype(np.float32)
    out = np.zeros_like(field)
    kernels.run("stencil", field, out, np.int32(50), np.int32(70), grid=(4, 9), block=(16, 8))
    inner = field[1:-1, 1:-1] + field[1:-1, :-2] + field[1:-1, 2:] + field[:-2, 1:-1] + field[2:, 1:-1]
    assert np.array_equal(out[1:-1, 1:-1], inner)
    assert not out[0].any()
    assert not out[:, -1].any()


def test_tiled_product(kernels, random):
    a, b = random.random((2, 64, 64), dtype=np.float32)
    c = np.zeros((64, 64), np.float32)
    kernels.run("tiled_product", a, b, c, np.int32(64), grid=(4, 4), block=(16, 16))
    assert np.allclose(c, a @ b, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 4096, 5001])
def test_grid_stride_loop_takes_turns(kernels, random, n):
    values = random.random(n, dtype=np.float32)
    out = np.zeros_like(values)
    kernels.run("grid_stride", values, out, np.uint32(n), grid=4, block=64)
    assert np.array_equal(out, 2 * values)
    assert len(kernels.plan("grid_stride").suspensions) > 1


def test_code_after_a_loop_of_unequal_length(kernels):
    out = np.zeros(150, np.int32)
    kernels.run("strided_with_tail", out, np.int64(150), block=64)
    expected = np.arange(150)
    expected[0] += 1000
    assert np.array_equal(out, expected)


@pytest.mark.parametrize(("grid", "block"), [((2, 3, 2), (5, 2, 3)), ((4, 1, 1), (40, 1, 1))])
def test_coordinates(kernels, grid, block):
    blocks, threads = np.prod(grid), np.prod(block)
    out = np.zeros((blocks, threads, 8), np.uint32)
    kernels.run("coordinates", out, grid=grid, block=block)
    linear = np.arange(threads)
    for axis in range(3):
        assert (out[:, :, axis] == linear // np.prod(block[:axis], dtype=int) % block[axis]).all()
        expected = np.arange(blocks) // np.prod(grid[:axis], dtype=int) % grid[axis]
        assert (out[:, :, 3 + axis] == expected[:, None]).all()
    assert (out[:, :, 6] == linear % 32).all()
    assert (out[:, :, 7] == (1 << (linear % 32)) - 1).all()


def test_recursion(kernels):
    out = np.zeros(12, np.int32)
    kernels.run("recursion", out, block=12)
    assert list(out) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]


def test_each_activation_has_its_own_local_array(kernels):
    out = np.zeros(9, np.int32)
    kernels.run("recursion_with_arrays", out, block=9)

    def expected(n: int) -> int:  # each level's array holds n to n+3, one element raised by the level below
        return sum(4 * k + 6 for k in range(n + 1)) + n

    assert list(out) == [expected(n) + 1000 for n in range(9)]


def test_function_pointers(kernels):
    out = np.zeros(6, np.int32)
    kernels.run("function_pointers", out, block=6)
    assert list(out) == [1, 1, 3, 9, 5, 25]


def test_dynamic_and_static_shared_memory(kernels):
    out = np.zeros(32, np.float32)
    kernels.run("dynamic_shared", out, np.int32(32), block=32, shared=256)
    t = np.arange(32)
    assert np.array_equal(out, (31 - t) + 2 * t + 3 * (31 - t))
    assert kernels.plan("dynamic_shared").static_shared == 128


def test_local_array_lives_across_barriers(kernels):
    out = np.zeros(16, np.int32)
    kernels.run("local_across_barriers", out, np.int32(3), block=16)
    for t in range(16):
        a = np.arange(16) * t
        a[(3 + t) & 15] += 5
        assert out[t] == sum(a[(i * 3) & 15] * (i + 1) for i in range(16))


def test_barrier_in_a_function_that_is_not_inlined_by_nvcc(kernels):
    out = np.zeros(64, np.int32)
    kernels.run("barrier_in_function", out, block=64)
    total = 64 * 63 // 2
    assert (out == 21 * total).all()


def test_module_variables(kernels):
    out = np.zeros(4, np.float32)
    kernels.run("module_variables", out, block=4)
    assert list(out) == [1 * 1 + 3, 2 * 4 + 4, 3 * 5 + 3, 4 * 2 + 4]
    assert kernels.read_global("counter", np.int32) == [10]


def test_generic_addresses_of_shared_local_and_global_memory(kernels):
    out = np.arange(32, dtype=np.int32) * 7
    kernels.run("generic_addresses", out, block=32)
    expected = [(10 * (31 - t), (t & 3) + 1, 7 * t)[t % 3] for t in range(32)]
    assert list(out) == expected


def test_half_precision(kernels):
    a = np.arange(8).astype(np.float16)
    b = np.arange(16).astype(np.float16) / 4
    out = np.zeros(8, np.float32)
    kernels.run("halves", a, b, out, block=8)
    assert np.allclose(out, a + 1.5 + (b.reshape(8, 2).astype(np.float32) ** 2).sum(1), rtol=1e-3)


def test_vectors(kernels):
    values = np.arange(32, dtype=np.float32)
    out = np.zeros(32, np.float32)
    kernels.run("vectors", values, out, block=8)
    assert np.array_equal(out.reshape(8, 4), values.reshape(8, 4)[:, ::-1])


def test_structure_by_value(kernels):
    layout = np.dtype([("first", "i4"), ("second", "f8"), ("third", "i4", 3)], align=True)
    value = np.array((3, 0.5, [10, 20, 30]), layout)
    out = np.zeros(3)
    kernels.run("structure", np.frombuffer(value.tobytes(), np.uint8).view(np.dtype("V32"))[0], out, block=3)
    assert list(out) == [13.5, 23.5, 33.5]


def test_double_precision_functions(kernels):
    values = np.linspace(0.1, 9, 32)
    out = np.zeros(32)
    kernels.run("transcendental", values, out, block=32)
    assert np.allclose(out, np.sin(values) + values**1.5, rtol=1e-14)


@pytest.mark.parametrize("address", [0, 8, 1 << 33, 1 << 46, (1 << 64) - 4, 1 << 62])
def test_wild_reads_are_illegal_addresses(kernels, address):
    fault = kernels.launch("wild_read", np.zeros(1, np.float32), np.uint64(address))
    assert fault.kind is FaultKind.ILLEGAL_ADDRESS


@pytest.mark.parametrize("index", [0, 1, 12345])
def test_host_memory_cannot_be_written(kernels, index):
    host = ctypes.create_string_buffer(20000)
    address = ctypes.addressof(host)
    fault = kernels.launch("wild_write", np.uint64(address), np.uint64(index))
    assert fault.kind is FaultKind.ILLEGAL_ADDRESS
    assert not any(host.raw)


def test_host_memory_cannot_be_reached_by_a_64_bit_index(kernels, device):
    host = ctypes.create_string_buffer(64)
    start = device.memory.allocate(64)
    index = (ctypes.addressof(host) - start) % (1 << 64)
    fault = kernels.launch("wild_write", np.uint64(start), np.uint64(index))
    device.memory.free(start)
    assert fault.kind is FaultKind.ILLEGAL_ADDRESS
    assert not any(host.raw)


@pytest.mark.parametrize("index", [1 << 30, -(1 << 30), (1 << 31) - 1, -(1 << 31)])
def test_an_index_far_outside_is_an_illegal_address(kernels, index):
    arrays = np.zeros(64, np.float32), np.zeros(64, np.float32)
    fault = kernels.launch("read_beyond", *arrays, np.int32(index), block=64)
    assert fault.kind is FaultKind.ILLEGAL_ADDRESS


@pytest.mark.parametrize("index", [1 << 20, 1 << 28, -1])
def test_shared_memory_ends(kernels, index):
    fault = kernels.launch("shared_beyond", np.zeros(1, np.int32), np.int32(index))
    assert fault.kind is FaultKind.ILLEGAL_ADDRESS
