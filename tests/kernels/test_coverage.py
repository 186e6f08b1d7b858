"""What launches mean to write and leave out, against the same kernels in Python, run thread by thread."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from pycuda_guard.checks.state.coverage import Coverages
from pycuda_guard.events import model as m
from pycuda_guard.kernels.signature import read_signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycuda_guard.checks.state.coverage import Meant

SOURCE = """
#include <assert.h>
#define X (int)(blockIdx.x * blockDim.x + threadIdx.x)
#define Y (int)(blockIdx.y * blockDim.y + threadIdx.y)
#define Z (int)(blockIdx.z * blockDim.z + threadIdx.z)
extern "C" {
__global__ void plain(float *y, int n) { int i = X; if (i < n) y[i] = 1; }
__global__ void early(float *y, int n) { int i = X; if (i >= n) return; y[i] = 1; }
__global__ void at_most(float *y, int n) { int i = X; if (i <= n) y[i] = 1; }
__global__ void natural(float *y, unsigned n) { unsigned i = X; if (i < n) y[i] = 1; }
__global__ void wide(float *y, size_t n) {
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; if (i < n) y[i] = 1;
}
__global__ void image(unsigned char *y, int w, int h) { if (X < w && Y < h) y[Y * w + X] = 1; }
__global__ void image_early(float *y, int w, int h) { if (X >= w || Y >= h) return; y[Y * w + X] = 1; }
__global__ void image_flags(float *y, int w, int h) {
    bool in = X < w; in &= Y < h; if (in) y[Y * w + X] = 1;
}
__global__ void pitched(float *y, int w, int h, int pitch) { if (X < w && Y < h) y[Y * pitch + X] = 1; }
__global__ void volume(float *y, int w, int h, int d) {
    if (X < w && Y < h && Z < d) y[(Z * h + Y) * w + X] = 1;
}
__global__ void transposed(float *y, int w, int h) { if (X < w && Y < h) y[X * h + Y] = 1; }
__global__ void tiled(const float *x, float *y, int w, int h) {
    __shared__ float s[8][9];
    int a = blockIdx.x * 8 + threadIdx.x, b = blockIdx.y * 8 + threadIdx.y;
    if (a < w && b < h) s[threadIdx.y][threadIdx.x] = x[b * w + a];
    __syncthreads();
    a = blockIdx.y * 8 + threadIdx.x; b = blockIdx.x * 8 + threadIdx.y;
    if (a < h && b < w) y[b * h + a] = s[threadIdx.x][threadIdx.y];
}
__global__ void matmul(const float *a, const float *b, float *c, int n) {
    if (Y >= n || X >= n) return;
    float s = 0; for (int k = 0; k < n; k++) s += a[Y * n + k] * b[k * n + X];
    c[Y * n + X] = s;
}
__global__ void interior(float *y, int w, int h) {
    if (X >= 1 && X < w - 1 && Y >= 1 && Y < h - 1) y[Y * w + X] = 1;
}
__global__ void moved_interior(float *y, int w, int h) {
    int x = X + 1, q = Y + 1; if (x < w - 1 && q < h - 1) y[q * w + x] = 1;
}
__global__ void triangle(float *y, int n) { if (Y < n && X <= Y) y[Y * n + X] = 1; }
__global__ void reversed(float *y, int n) { int i = X; if (i < n) y[n - 1 - i] = 1; }
__global__ void quarter(float *y, int n) { int i = X; if (i < n / 4) y[i] = 1; }
__global__ void third(float *y, int n) {
    int i = X; if (i < n / 3) { y[3*i] = 1; y[3*i+1] = 2; y[3*i+2] = 3; }
}
__global__ void clamped(float *y, int n, int most) { int i = X; if (i < min(n, most)) y[i] = 1; }
__global__ void one_of(float *y, int n, int k) { int i = X; if (i < n || i < k) y[i] = 1; }
__global__ void vectors(float4 *y, int n) { int i = X; if (i < n) y[i] = make_float4(1, 2, 3, 4); }
__global__ void odd(float *y, int n) { int i = 2 * X + 1; if (i < n) y[i] = 1; }
__global__ void but_one(float *y, int n, int hole) { int i = X; if (i < n && i != hole) y[i] = 1; }
__global__ void only_one(float *y, int at) { if (X == at) y[at] = 1; }
__global__ void flat(float *y, int n) {
    int i = (blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x; if (i < n) y[i] = 1;
}
__global__ void coarse(float *y, int n) {
    int i = blockIdx.x * blockDim.x * 4 + threadIdx.x;
    for (int k = 0; k < 4; k++, i += blockDim.x) if (i < n) y[i] = 1;
}
__global__ void block_only(float *y, int n) { int i = threadIdx.x; if (i < n) y[i] = 1; }
__global__ void row_a_block(float *y, int w) { if (threadIdx.x < w) y[blockIdx.x * w + threadIdx.x] = 1; }
__global__ void chosen(const float *x, float *y, int n) {
    int i = X; if (i < n) { if (x[i] > 0) y[i] = 1; else if (x[i] < 0) y[i] = -1; else y[i] = 0; }
}
__global__ void checked(const float *x, float *y, int n) {
    int i = X; if (i >= n) return; assert(x[i] > 0); y[i] = 1;
}
__global__ void switched(float *y, int n, int on) { int i = X; if (i < n) if (on) y[i] = 1; }
__global__ void sums(const float *x, float *y, int n) {
    __shared__ float s[32]; int t = threadIdx.x, i = X;
    s[t] = i < n ? x[i] : 0; __syncthreads();
    for (int k = 16; k; k /= 2) { if (t < k) s[t] += s[t + k]; __syncthreads(); }
    if (t == 0) y[blockIdx.x] = s[0];
}
__global__ void offset_place(float *y, int n, int first) { int i = X; if (i < n) y[first + i] = 1; }
// of these nothing may be claimed
__global__ void unguarded(float *y, int n) { y[X] = n; }
__global__ void stride(float *y, int n) { for (int i = X; i < n; i += gridDim.x * blockDim.x) y[i] = 1; }
__global__ void own_part(float *y, int n, int k) {
    for (int i = X * k; i < X * k + k && i < n; i++) y[i] = 1;
}
__global__ void masked(const int *x, float *y, int n) { int i = X; if (i < n && x[i]) y[i] = 1; }
__global__ void compacted(const int *x, float *y, int *at, int n) {
    int i = X; if (i < n && x[i] > 0) y[atomicAdd(at, 1)] = x[i];
}
__global__ void scattered(const int *x, float *y, int n) { int i = X; if (i < n) y[x[i]] = 1; }
__global__ void ring(float *y, int n, int head, int size) { int i = X; if (i < n) y[(head + i) % size] = 1; }
__global__ void by_length(float *y, const int *n) { int i = X; if (i < *n) y[i] = 1; }
__global__ void chunk(float *y, int n, int first) { int i = first + X; if (i < n) y[i] = 1; }
__global__ void half_rows(float *y, int first, int w, int h) {
    int q = 2 * Y + first; if (X < w && q < h) y[q * w + X] = 1;
}
__global__ void window(float *y, int w, int h, int x0, int y0) {
    int x = x0 + X, q = y0 + Y; if (x < w && q < h) y[q * w + x] = 1;
}
__global__ void from_block(float *y, int n, int k) {
    int i = (blockIdx.x + k) * blockDim.x + threadIdx.x; if (i < n) y[i] = 1;
}
__global__ void capacity(float *y) { int i = X; if (i < 100) y[i] = 1; }
__global__ void warp(float *y) { if (threadIdx.x < 32) y[blockIdx.x * 32 + threadIdx.x] = 1; }
__global__ void early_on_data(const int *x, float *y, int n) {
    int i = X; if (i >= n || x[i] < 0) return; y[i] = 1;
}
__global__ void searched(const int *x, float *y, int n) {
    int i = X; if (i >= n) return; for (int k = 0; k < n; k++) if (x[k] == i) return; y[i] = 1;
}
__global__ void in_steps(float *y, int n) {
    int i = X, all = gridDim.x * blockDim.x; if (i < n) y[i] = 1; if (i + all < n) y[i + all] = 1;
}
}
"""


@dataclass(frozen=True)
class Indices:
    """Where a thread stands."""

    thread: tuple[int, int, int]
    at: tuple[int, int, int]
    block: tuple[int, int, int]
    grid: tuple[int, int, int]

    @property
    def x(self) -> int:
        return self.at[0] * self.block[0] + self.thread[0]

    @property
    def y(self) -> int:
        return self.at[1] * self.block[1] + self.thread[1]

    @property
    def z(self) -> int:
        return self.at[2] * self.block[2] + self.thread[2]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, m.KernelSignature]:
    import subprocess

    from pycuda_guard.toolchain import find_nvcc

    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("needs nvcc")
    folder = tmp_path_factory.mktemp("coverage")
    (folder / "k.cu").write_text(SOURCE)
    subprocess.run([nvcc, "-ptx", "-arch=sm_75", "k.cu", "-o", "k.ptx"], cwd=folder, check=True)
    return {kernel.name: kernel for kernel in read_signatures((folder / "k.ptx").read_text(), SOURCE)}


def launched(signature: m.KernelSignature, numbers: tuple[int, ...], block: Any, grid: Any) -> m.Launch:
    rest = iter(numbers)
    arguments = []
    for parameter in signature.parameters:
        pointer = parameter.kind is m.ParameterKind.POINTER
        kind = m.ArgumentKind.POINTER if pointer else m.ArgumentKind.INTEGER
        value = 0xD000_0000 if pointer else next(rest)
        arguments.append(m.Argument(kind, "", parameter.offset, parameter.size, value))
    where = (None, 1, 1)
    return m.Launch(*where, "__call__", 1, signature.name, grid, block, 0, 0, tuple(arguments), 0)


def meant(
    kernels: dict[str, m.KernelSignature], name: str, numbers: Any, block: Any, grid: Any
) -> Meant | None:
    found = Coverages().of_launch(launched(kernels[name], numbers, block, grid), kernels[name])
    assert len(found) <= 1
    return found[0] if found else None


def everything(extent: tuple[int, int, int]) -> Iterable[tuple[int, int, int]]:
    return product(*map(range, extent))


def written(writes: Callable[..., list[int]], numbers: Any, block: Any, grid: Any, made: Any) -> set[int]:
    """Return the bytes that ``made`` blocks write, for a launch of ``grid``."""
    found: set[int] = set()
    for at in everything(made):
        for thread in everything(block):
            found.update(writes(Indices(thread, at, block, grid), *numbers))
    return found


def elements(condition: bool, *indices: int, size: int = 4) -> list[int]:
    return (
        [byte for index in indices for byte in range(size * index, size * index + size)] if condition else []
    )


B1, B2, B3 = (16, 1, 1), (8, 8, 1), (4, 4, 2)
GUARDED: list[tuple[str, Callable[..., list[int]], tuple[int, ...], Any, Any, Any]] = [
    ("plain", lambda i, n: elements(i.x < n, i.x), (100,), B1, (2, 1, 1), (7, 1, 1)),
    ("early", lambda i, n: elements(i.x < n, i.x), (100,), B1, (6, 1, 1), (7, 1, 1)),
    ("at_most", lambda i, n: elements(i.x <= n, i.x), (96,), B1, (6, 1, 1), (7, 1, 1)),
    ("natural", lambda i, n: elements(i.x < n, i.x), (100,), B1, (6, 1, 1), (7, 1, 1)),
    ("wide", lambda i, n: elements(i.x < n, i.x), (100,), B1, (6, 1, 1), (7, 1, 1)),
    ("image", lambda i, w, h: elements(i.x < w and i.y < h, i.y * w + i.x, size=1),
     (30, 20), B2, (3, 4, 1), (4, 3, 1)),
    ("image_early", lambda i, w, h: elements(i.x < w and i.y < h, i.y * w + i.x),
     (30, 20), B2, (4, 2, 1), (4, 3, 1)),
    ("image_flags", lambda i, w, h: elements(i.x < w and i.y < h, i.y * w + i.x),
     (30, 20), B2, (1, 1, 1), (4, 3, 1)),
    ("pitched", lambda i, w, h, p: elements(i.x < w and i.y < h, i.y * p + i.x),
     (30, 20, 32), B2, (3, 2, 1), (4, 3, 1)),
    ("volume", lambda i, w, h, d: elements(i.x < w and i.y < h and i.z < d, (i.z * h + i.y) * w + i.x),
     (7, 6, 5), B3, (1, 2, 2), (2, 2, 3)),
    ("transposed", lambda i, w, h: elements(i.x < w and i.y < h, i.x * h + i.y),
     (30, 20), B2, (3, 2, 1), (4, 3, 1)),
    ("tiled", lambda i, w, h: elements(i.at[1] * 8 + i.thread[0] < h and i.at[0] * 8 + i.thread[1] < w,
     (i.at[0] * 8 + i.thread[1]) * h + i.at[1] * 8 + i.thread[0]), (30, 20), B2, (3, 4, 1), (4, 3, 1)),
    ("matmul", lambda i, n: elements(i.x < n and i.y < n, i.y * n + i.x), (20,), B2, (2, 3, 1), (3, 3, 1)),
    ("interior", lambda i, w, h: elements(1 <= i.x < w - 1 and 1 <= i.y < h - 1, i.y * w + i.x),
     (30, 20), B2, (3, 2, 1), (4, 3, 1)),
    ("moved_interior", lambda i, w, h: elements(i.x + 1 < w - 1 and i.y + 1 < h - 1, (i.y + 1) * w + i.x + 1),
     (30, 20), B2, (3, 2, 1), (4, 3, 1)),
    ("triangle", lambda i, n: elements(i.y < n and i.x <= i.y, i.y * n + i.x),
     (20,), B2, (2, 2, 1), (3, 3, 1)),
    ("reversed", lambda i, n: elements(i.x < n, n - 1 - i.x), (100,), B1, (6, 1, 1), (7, 1, 1)),
    ("quarter", lambda i, n: elements(i.x < n // 4, i.x), (403,), B1, (6, 1, 1), (7, 1, 1)),
    ("third", lambda i, n: elements(i.x < n // 3, 3 * i.x, 3 * i.x + 1, 3 * i.x + 2),
     (302,), B1, (6, 1, 1), (7, 1, 1)),
    ("clamped", lambda i, n, k: elements(i.x < min(n, k), i.x), (100, 50), B1, (2, 1, 1), (4, 1, 1)),
    ("one_of", lambda i, n, k: elements(i.x < n or i.x < k, i.x), (50, 100), B1, (2, 1, 1), (7, 1, 1)),
    ("vectors", lambda i, n: elements(i.x < n, i.x, size=16), (100,), B1, (6, 1, 1), (7, 1, 1)),
    ("odd", lambda i, n: elements(2 * i.x + 1 < n, 2 * i.x + 1), (100,), B1, (2, 1, 1), (4, 1, 1)),
    ("but_one", lambda i, n, k: elements(i.x < n and i.x != k, i.x), (100, 98), B1, (6, 1, 1), (7, 1, 1)),
    ("only_one", lambda i, k: elements(i.x == k, k), (99,), B1, (6, 1, 1), (7, 1, 1)),
    ("flat", lambda i, n: elements(i.at[1] * i.grid[0] * 16 + i.x < n, i.at[1] * i.grid[0] * 16 + i.x),
     (100,), B1, (2, 3, 1), (2, 4, 1)),
    ("coarse", lambda i, n: [byte for k in range(4) for e in [i.at[0] * 64 + i.thread[0] + 16 * k]
     for byte in elements(e < n, e)], (300,), B1, (4, 1, 1), (5, 1, 1)),
    ("chosen", lambda i, n: elements(i.x < n, i.x), (100,), B1, (6, 1, 1), (7, 1, 1)),
    ("checked", lambda i, n: elements(i.x < n, i.x), (100,), B1, (6, 1, 1), (7, 1, 1)),
    ("switched", lambda i, n, on: elements(i.x < n and on != 0, i.x), (100, 1), B1, (6, 1, 1), (7, 1, 1)),
    ("offset_place", lambda i, n, k: elements(i.x < n, k + i.x), (100, 7), B1, (6, 1, 1), (7, 1, 1)),
]  # fmt: skip
EVERY = pytest.mark.parametrize(
    ("name", "writes", "numbers", "block", "grid", "whole"), GUARDED, ids=[case[0] for case in GUARDED]
)


@EVERY
def test_what_a_small_grid_leaves_out(kernels, name, writes, numbers, block, grid, whole):
    found = meant(kernels, name, numbers, block, grid)
    assert found is not None
    told = {byte for start, end in found.missing for byte in range(start, end)}
    all_of_it = written(writes, numbers, block, grid, whole)
    left_out = all_of_it - written(writes, numbers, block, grid, grid)
    assert told == left_out != set()
    assert found.total == len(all_of_it)
    assert (found.low, found.high) == (min(all_of_it), max(all_of_it) + 1) or name in (
        "flat",
        "triangle",
        "coarse",
    )


@EVERY
def test_the_grid_that_is_told_covers(kernels, name, writes, numbers, block, grid, whole):
    found = meant(kernels, name, numbers, block, grid)
    assert found is not None
    assert found.grid == whole
    enough = meant(kernels, name, numbers, block, found.grid)
    assert enough is not None
    assert enough.missing == ()


@EVERY
def test_larger_grids_leave_nothing_out(kernels, name, writes, numbers, block, grid, whole):
    larger = (whole[0] + 1, whole[1] + 2, whole[2])
    found = meant(kernels, name, numbers, block, larger if name != "flat" else (3, 7, 1))
    assert found is not None
    assert found.missing == ()


def test_more_threads_where_the_block_is_all_there_is(kernels):
    found = meant(kernels, "block_only", (100,), B1, (1, 1, 1))
    assert found is not None
    assert (found.missing, found.grid) == (((64, 400),), None)


def test_a_row_for_each_block(kernels):
    found = meant(kernels, "row_a_block", (20,), B1, (3, 1, 1))
    assert found is not None
    assert found.missing == ((64, 80), (144, 160), (224, 240))


@pytest.mark.parametrize(
    ("name", "numbers", "block", "grid"),
    [
        ("sums", (100,), (32, 1, 1), (2, 1, 1)),
        ("unguarded", (1000,), B1, (2, 1, 1)),
        ("stride", (1000,), B1, (2, 1, 1)),
        ("own_part", (1000, 3), B1, (2, 1, 1)),
        ("masked", (1000,), B1, (2, 1, 1)),
        ("compacted", (1000,), B1, (2, 1, 1)),
        ("scattered", (1000,), B1, (2, 1, 1)),
        ("ring", (1000, 10, 1000), B1, (2, 1, 1)),
        ("by_length", (), B1, (2, 1, 1)),
        ("chunk", (1000, 0), B1, (2, 1, 1)),
        ("chunk", (1000, 500), B1, (2, 1, 1)),
        ("half_rows", (1, 30, 20), B2, (4, 1, 1)),
        ("window", (30, 20, 8, 8), B2, (1, 1, 1)),
        ("from_block", (1000, 3), B1, (2, 1, 1)),
        ("capacity", (), B1, (2, 1, 1)),
        ("warp", (), B1, (2, 1, 1)),
        ("early_on_data", (1000,), B1, (2, 1, 1)),
        ("searched", (1000,), B1, (2, 1, 1)),
        ("in_steps", (64,), B1, (1, 1, 1)),
        ("switched", (1000, 0), B1, (2, 1, 1)),
        ("plain", (0,), B1, (2, 1, 1)),
        ("plain", (-5,), B1, (2, 1, 1)),
        ("plain", (32,), B1, (2, 1, 1)),
    ],
)
def test_nothing_is_claimed(kernels, name, numbers, block, grid):
    found = meant(kernels, name, numbers, block, grid)
    assert found is None or found.missing == ()


def test_large_extents_take_little_to_tell(kernels):
    found = meant(kernels, "image", (100_000, 80_000), (32, 32, 1), (3125, 2000, 1))
    assert found is not None
    assert found.missing == ((100_000 * 64_000, 100_000 * 80_000),)


def test_too_many_pieces_to_tell_are_no_claim(kernels):
    assert meant(kernels, "odd", (2_000_000,), (256, 1, 1), (2, 1, 1)) is None
