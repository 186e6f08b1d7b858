"""What kernels are certain to access, from the PTX that the real compiler makes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pycuda_guard.events.model import ANYWHERE, product
from pycuda_guard.kernels.signature import read_signatures
from pycuda_guard.toolchain import find_nvcc

if TYPE_CHECKING:
    from pathlib import Path

    from pycuda_guard.events.model import KernelSignature

SOURCE = """
#define I (blockIdx.x * blockDim.x + threadIdx.x)
extern "C" {
__global__ void plain(const float *x, float *y, int n) { int i = I; if (i < n) y[i] = x[i]; }
__global__ void early(float *y, int n) { int i = I; if (i >= n) return; y[i] = 1; }
__global__ void reversed(const float *x, float *y, int n) { int i = I; if (i < n) y[i] = x[n - 1 - i]; }
__global__ void interior(float *y, int n) { int i = I; if (i >= 1 && i < n - 1) y[i] = 1; }
__global__ void unsigned_interior(float *y, unsigned n) { unsigned i = I; if (i - 1 < n - 2) y[i] = 1; }
__global__ void first(float *y) { if (threadIdx.x == 0) y[0] = 1; }
__global__ void chunk(float *y, int n, int offset) { int i = I; if (i < n) y[i + offset] = 1; }
__global__ void odd(float *y, int n) { int i = I; if (i < n) y[2 * i + 1] = 1; }
__global__ void stride(int *y, int n) { for (int i = I; i < n; i += gridDim.x * blockDim.x) y[i] = 1; }
__global__ void count(int *y) { atomicAdd(y, 1); }
__global__ void signal(volatile int *y) { *y = 1; }
__global__ void image(char *y, int w, int h) {
    int c = I, r = blockIdx.y * blockDim.y + threadIdx.y;
    if (c < w && r < h) y[r * w + c] = 1;
}
__global__ void by_data(const int *x, int *y) { if (x[threadIdx.x] > 3) y[threadIdx.x] = 1; }
__global__ void through(int **rows) { rows[threadIdx.x][0] = 1; }
__global__ void scattered(const int *x, int *y) { y[x[threadIdx.x]] = 1; }
__global__ void histogram(const unsigned char *x, unsigned *bins, int n) {
    int i = I;
    if (i < n) atomicAdd(&bins[x[i]], 1u);
}
__global__ void sometimes(const int *x, int *y) { if (x[threadIdx.x] > 3) y[x[threadIdx.x]] = 1; }
__global__ void of_two(const int *x, char *y, size_t n) { y[n + x[0]] = 1; }
__global__ void shared(int *y) { __shared__ int s[64]; s[threadIdx.x] = 1; }
__global__ void optional(int *y, const int *mask, int use) { if (use) y[threadIdx.x] = mask[threadIdx.x]; }
__global__ void rows(const int *start, const float *x, float *y, int n) {
    int i = I;
    float sum = 0;
    if (i < n) {
        for (int k = start[i]; k < start[i + 1]; k++) sum += x[k];
        y[i] = sum;
    }
}
__global__ void counted(const int *x, int *y, int m) {
    int sum = 0;
#pragma unroll 1
    for (int k = 0; k < m; k++) { if (x[k] > 3) sum += x[k] * m; __syncthreads(); }
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}
__global__ void found(const int *x, int *y) { int k = 0; while (x[k]) k++; y[k] = 1; }
__global__ void left(const int *x, int *y) {
    int sum = 0;
    for (int k = 0; k < 9; k++) { if (x[k] > 3) return; sum += x[k]; __syncthreads(); }
    y[threadIdx.x] = sum;
}
__global__ void trapped(const int *x, int *y) { if (x[threadIdx.x] > 3) __trap(); y[threadIdx.x] = 1; }
__global__ void moved(const int *x, int *y, int *z) {
    int *p = y;
    for (int k = 0; k < x[0]; k++) { if (x[k] > 3) p = z + x[k]; __syncthreads(); }
    p[threadIdx.x] = 1;
}
__global__ void polled(volatile int *flag, int *y) { while (!*flag) {} y[threadIdx.x] = 1; }
__global__ void locked(int *lock, int *y) { while (atomicExch(lock, 1)) {} y[threadIdx.x] = 1; }
__global__ void fenced(const int *x, int *y) {
    for (int k = 0; k < x[0]; k++) __threadfence();
    y[threadIdx.x] = 1;
}
__global__ void wide(float4 *y, int n) { int i = I; if (i < n) y[i] = make_float4(1, 2, 3, 4); }
}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KernelSignature]:
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("no nvcc")
    folder: Path = tmp_path_factory.mktemp("ptx")
    (folder / "k.cu").write_text(SOURCE)
    subprocess.run([nvcc, "-ptx", "-arch=sm_75", "k.cu", "-o", "k.ptx"], cwd=folder, check=True)
    return {kernel.name: kernel for kernel in read_signatures((folder / "k.ptx").read_text(), SOURCE)}


def described(kernel: KernelSignature) -> set[tuple[str, int, int, tuple[tuple[int, int], ...]]]:
    assert kernel.accesses is not None
    return {(a.kind, a.width, a.address.constant, a.address.terms) for a in kernel.accesses}


I4 = ((-9, 4), (-7, 4))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", {("read", 4, 0, (*I4, (0, 1))), ("write", 4, 0, (*I4, (1, 1)))}),
        ("early", {("write", 4, 0, (*I4, (0, 1)))}),
        ("reversed", {("read", 4, -4, ((-9, -4), (-7, -4), (0, 1), (2, 4))), ("write", 4, 0, (*I4, (1, 1)))}),
        ("interior", {("write", 4, 0, (*I4, (0, 1)))}),
        ("first", {("write", 4, 0, ((0, 1),))}),
        ("chunk", {("write", 4, 0, (*I4, (0, 1), (2, 4)))}),
        ("odd", {("write", 4, 4, ((-9, 8), (-7, 8), (0, 1)))}),
        ("stride", {("write", 4, 0, (*I4, (0, 1)))}),
        ("count", {("atomic", 4, 0, ((0, 1),))}),
        ("signal", set()),
        (
            "image",
            {
                ("write", 1, 0, ((-9, 1), (-7, 1), (0, 1))),
                (
                    "write",
                    1,
                    0,
                    ((product(-10, 1), 1), (product(-12, 1), 1), (-9, 1), (-7, 1), (0, 1)),
                ),
            },
        ),
        ("by_data", {("read", 4, 0, ((-7, 4), (0, 1)))}),
        ("through", {("read", 8, 0, ((-7, 8), (0, 1)))}),
        ("scattered", {("read", 4, 0, ((-7, 4), (0, 1))), ("write", 4, 0, ((ANYWHERE, 1), (1, 1)))}),
        (
            "histogram",
            {("read", 1, 0, ((-9, 1), (-7, 1), (0, 1))), ("atomic", 4, 0, ((ANYWHERE, 1), (1, 1)))},
        ),
        ("sometimes", {("read", 4, 0, ((-7, 4), (0, 1)))}),
        ("of_two", {("read", 4, 0, ((0, 1),))}),
        ("shared", set()),
        ("optional", {("write", 4, 0, ((-7, 4), (0, 1))), ("read", 4, 0, ((-7, 4), (1, 1)))}),
        # after a loop, whatever the data say
        (
            "rows",
            {
                ("read", 4, 0, (*I4, (0, 1))),
                ("read", 4, 4, (*I4, (0, 1))),
                ("write", 4, 0, (*I4, (2, 1))),
            },
        ),
        ("counted", {*(("read", 4, at, ((0, 1),)) for at in (0, 4, 8)), ("write", 4, 0, ((-8, 4), (1, 1)))}),
        # but where it depends on them, where some leave, or where another kernel may be waited for
        ("found", {("read", 4, 0, ((0, 1),)), ("write", 4, 0, ((ANYWHERE, 1), (1, 1)))}),
        ("left", {("read", 4, 0, ((0, 1),))}),
        ("trapped", {("read", 4, 0, ((-7, 4), (0, 1)))}),
        ("moved", {("read", 4, 0, ((0, 1),))}),
        ("polled", set()),
        ("locked", {("atomic", 4, 0, ((0, 1),))}),
        ("fenced", {("read", 4, 0, ((0, 1),))}),
        ("wide", {("write", 16, 0, ((-9, 16), (-7, 16), (0, 1)))}),
    ],
)
def test_finds(name: str, expected: set[object], kernels: dict[str, KernelSignature]) -> None:
    assert described(kernels[name]) == expected


def test_conditions_hold_the_branches(kernels: dict[str, KernelSignature]) -> None:
    accesses = kernels["optional"].accesses
    assert accesses
    assert all([(kind, form.terms) for kind, form in a.conditions] == [("!=", ((2, -1),))] for a in accesses)


def test_unsigned_comparison_knows_no_negative_numbers(kernels: dict[str, KernelSignature]) -> None:
    accesses = kernels["unsigned_interior"].accesses
    assert accesses
    lower = [form for a in accesses for kind, form in a.conditions if kind == ">=" and form.constant == -1]
    assert any(form.terms == ((-9, 1), (-7, 1)) for form in lower)


def test_large_modules_are_not_looked_into() -> None:
    line = "mov.u32 %r1, %r1;\n"
    head = ".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k()\n{\n.reg .b32 %r<2>;\n"
    (kernel,) = read_signatures(f"{head}{line * 6000}ret;\n}}\n")
    assert kernel.accesses is None


def test_a_body_that_can_not_be_read_is_left_alone() -> None:
    text = (
        ".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\nld.param [;\n}\n"
    )
    (kernel,) = read_signatures(text)
    assert kernel.accesses is None
