"""Launches that surely have no races are not watched; any other is."""

from __future__ import annotations

import subprocess

import pytest

from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.instrument.races.apartness import Launched
from pycuda_guard.kernels.ptx import parse
from pycuda_guard.toolchain import find_nvcc

SOURCE = r"""
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int n)
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)

KERNEL(own) { y[INDEX] = x[INDEX]; }
KERNEL(own_of_a_block) { y[threadIdx.x] = x[INDEX]; }
KERNEL(guarded_rows) {
    int i = INDEX, j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i < n) y[j * n + i] = 1;
}
KERNEL(rows) {
    int i = INDEX, j = blockIdx.y * blockDim.y + threadIdx.y;
    y[j * n + i] = 1;
}
KERNEL(grid_stride) { for (int i = INDEX; i < n; i += gridDim.x * blockDim.x) y[i] += x[i]; }
KERNEL(short_stride) { for (int i = INDEX; i < n; i += blockDim.x) y[i] += x[i]; }
KERNEL(neighbours) { y[INDEX] = x[INDEX + 1]; }
KERNEL(two_each) { y[2 * INDEX] = 1; y[2 * INDEX + 1] = 2; }
KERNEL(overlapping) { y[2 * INDEX] = 1; y[2 * INDEX + 2] = 2; }
KERNEL(halves) { y[INDEX] = 1; y[INDEX + n] = 2; }
KERNEL(counted) { atomicAdd(&y[x[INDEX]], 1); }
KERNEL(counted_and_read) { atomicAdd(&y[x[INDEX]], 1); x[INDEX] = y[0]; }
KERNEL(first_of_a_block) { if (threadIdx.x == 0) y[blockIdx.x] = 1; }
KERNEL(first_of_a_block_or_by_data) { if (threadIdx.x == 0 || x[INDEX] > 5) y[blockIdx.x] = 1; }
KERNEL(first_of_a_block_by_data) {
    if (threadIdx.x == 0)
        for (int k = 0; k < n; k++)
            if (x[k] > 5) y[blockIdx.x] = k;
}
KERNEL(in_either_case) { if (x[INDEX] > 5) y[blockIdx.x] = 1; else if (threadIdx.x == 0) y[blockIdx.x] = 2; }
KERNEL(in_a_loop_by_data) {
    for (int k = 0; k < n; k++)
        if (x[k] > 5 || threadIdx.x == 0) y[blockIdx.x] = k;
}
KERNEL(backwards) { y[n - INDEX] = 1; }
KERNEL(by_data) { y[x[INDEX]] = 1; }

KERNEL(tile) {
    __shared__ int s[64];
    s[threadIdx.x] = x[INDEX];
    __syncthreads();
    y[INDEX] = s[63 - threadIdx.x];
}
KERNEL(tile_without_a_barrier) {
    __shared__ int s[64];
    s[threadIdx.x] = x[INDEX];
    y[INDEX] = s[63 - threadIdx.x];
}
KERNEL(tiles_in_turn) {
    __shared__ int s[64];
    int sum = 0;
    for (int k = 0; k < n; k++) {
        s[threadIdx.x] = x[64 * k + threadIdx.x];
        __syncthreads();
        sum += s[63 - threadIdx.x];
        __syncthreads();
    }
    y[INDEX] = sum;
}
KERNEL(tiles_in_turn_with_one_barrier) {
    __shared__ int s[64];
    int sum = 0;
    for (int k = 0; k < n; k++) {
        s[threadIdx.x] = x[64 * k + threadIdx.x];
        __syncthreads();
        sum += s[63 - threadIdx.x];
    }
    y[INDEX] = sum;
}
KERNEL(two_names_of_one_memory) {
    extern __shared__ int here[];
    extern __shared__ unsigned there[];
    here[threadIdx.x] = x[INDEX];
    y[INDEX] = there[63 - threadIdx.x];
}
KERNEL(barriers_that_data_decide_on) {
    __shared__ int s[64];
    s[threadIdx.x] = x[INDEX];
    if (x[INDEX]) __syncthreads();
    else { y[INDEX] = 0; __syncthreads(); }
    y[INDEX] = s[63 - threadIdx.x];
}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Return the instrumented kernels by name."""
    folder = tmp_path_factory.mktemp("exclusion")
    (folder / "kernel.cu").write_text(SOURCE)
    nvcc = find_nvcc()
    assert nvcc is not None
    subprocess.run([nvcc, "--ptx", "-arch=sm_80", "kernel.cu", "-o", "kernel.ptx"], cwd=folder, check=True)
    return instrument(parse((folder / "kernel.ptx").read_text()), races=True).kernels


def is_excluded(kernel, block, grid, n=0, x=1 << 40, y=1 << 41):
    """Tell whether a launch on arrays at these addresses surely has no races."""
    exclusion = kernel.races.exclusion
    if exclusion is None:
        return False
    allocations = [(x, y)[root.parameter] >> 40 for root in kernel.roots]
    return Launched({0: x, 1: y, 2: n}, block, grid).has_no_races(exclusion, allocations)


@pytest.mark.parametrize(
    ("name", "block", "grid", "n"),
    [
        ("own", (64, 1, 1), (8, 1), 0),
        ("own_of_a_block", (64, 1, 1), (1, 1), 0),
        ("guarded_rows", (16, 4, 1), (7, 3), 100),
        ("rows", (16, 4, 1), (7, 3), 112),
        ("grid_stride", (64, 1, 1), (8, 1), 10_000),
        ("short_stride", (64, 1, 1), (1, 1), 10_000),
        ("neighbours", (64, 1, 1), (8, 1), 0),
        ("two_each", (64, 1, 1), (8, 1), 0),
        ("halves", (64, 1, 1), (8, 1), 512),
        ("counted", (64, 1, 1), (8, 1), 0),
        ("first_of_a_block", (64, 1, 1), (8, 1), 0),
        ("first_of_a_block_by_data", (64, 1, 1), (8, 1), 5),
        ("backwards", (64, 1, 1), (8, 1), 600),
        ("tile", (64, 1, 1), (8, 1), 0),
        ("tiles_in_turn", (64, 1, 1), (8, 1), 5),
    ],
)
def test_excludes(name, block, grid, n, kernels):
    assert is_excluded(kernels[name], block, grid, n)


@pytest.mark.parametrize(
    ("name", "block", "grid", "n"),
    [
        ("own", (64, 2, 1), (8, 1), 0),
        ("own", (64, 1, 1), (8, 2), 0),
        ("own_of_a_block", (64, 1, 1), (2, 1), 0),
        ("guarded_rows", (16, 4, 2), (7, 3), 100),
        ("rows", (16, 4, 1), (7, 3), 100),
        ("grid_stride", (64, 2, 1), (8, 1), 10_000),
        ("short_stride", (64, 1, 1), (2, 1), 10_000),
        ("overlapping", (64, 1, 1), (8, 1), 0),
        ("halves", (64, 1, 1), (8, 1), 511),
        ("counted_and_read", (64, 1, 1), (8, 1), 0),
        ("first_of_a_block", (64, 2, 1), (8, 1), 0),
        ("first_of_a_block_or_by_data", (64, 1, 1), (8, 1), 0),
        ("in_either_case", (64, 1, 1), (8, 1), 0),
        ("in_a_loop_by_data", (64, 1, 1), (8, 1), 5),
        ("by_data", (64, 1, 1), (8, 1), 0),
        ("tile", (64, 2, 1), (8, 1), 0),
        ("tile_without_a_barrier", (64, 1, 1), (8, 1), 0),
        ("tiles_in_turn_with_one_barrier", (64, 1, 1), (8, 1), 5),
        ("two_names_of_one_memory", (64, 1, 1), (8, 1), 0),
        ("barriers_that_data_decide_on", (64, 1, 1), (8, 1), 0),
    ],
)
def test_does_not_exclude(name, block, grid, n, kernels):
    assert not is_excluded(kernels[name], block, grid, n)


@pytest.mark.parametrize(
    ("name", "distance", "expected"),
    [
        ("own", 0, True),
        ("own", 4, False),
        ("own", 4096, True),
        ("neighbours", 0, False),
        ("counted", 0, False),
    ],
)
def test_two_arguments_in_one_allocation(name, distance, expected, kernels):
    found = is_excluded(kernels[name], (64, 1, 1), (8, 1), x=1 << 40, y=(1 << 40) + distance)
    assert found is expected
