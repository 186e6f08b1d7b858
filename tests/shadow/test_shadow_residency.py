"""Blocks that wait for one another, and how many of them a device has resident."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pycuda_guard.kernels.analysis.waiting import waits_for_blocks
from pycuda_guard.kernels.ptx import flatten, parse
from pycuda_guard.shadow.residency import DeviceRoom, resident_blocks
from pycuda_guard.toolchain import find_nvcc

if TYPE_CHECKING:
    from pathlib import Path

LARGE = DeviceRoom(132, 2048, 65536, 233472)


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "each"),
    [
        (256, 32, 0, 8),
        (256, 33, 0, 6),
        (256, 128, 0, 2),
        (1024, 64, 0, 1),
        (1024, 72, 0, 0),
        (33, 32, 0, 32),
        (64, 16, 48 * 1024, 4),
        (64, 16, 113 * 1024, 2),
        (64, 16, 227 * 1024, 1),
    ],
)
def test_blocks_that_fit(threads: int, registers: int, shared: int, each: int) -> None:
    assert resident_blocks(LARGE, threads, registers, shared) == 132 * each


SOURCE = """
#define K extern "C" __global__ void
K waits_for_a_flag(volatile int *x) { if (blockIdx.x) while (x[0] == 0) {} x[blockIdx.x] = 1; }
K waits_by_an_atomic(int *x) { while (atomicAdd(x, 0) < gridDim.x) __nanosleep(100); x[1] = 2; }
K waits_by_a_swap(int *x) { while (atomicCAS(x, 7, 7) != 7) {} x[1] = 2; }
K waits_in_a_loop(int *x, int n) {
    for (int k = 0; k < n; k++) { atomicAdd(x, 1); while (*(volatile int *)x < k * gridDim.x) {} x[k] = 2; }
}
K goes_on_locked(int *x) { while (atomicCAS(x, 0, 1) != 0) {} x[1]++; atomicExch(x, 0); }
K goes_on_swapping(float *x) {
    int *p = (int *)x, old = *p, seen;
    do {
        seen = old;
        old = atomicCAS(p, seen, __float_as_int(__int_as_float(seen) * 2));
    } while (seen != old);
}
K goes_on_counting(int *x, int n) { for (int i = threadIdx.x; i < n; i += 32) atomicAdd(&x[i % 7], 1); }
K goes_on_over_its_own(volatile int *x, int n) { for (int i = 0; i < n; i++) x[i] += 1; }
K goes_on_in_shared(int *x) {
    __shared__ volatile int s;
    if (threadIdx.x == 0) s = 1;
    while (s == 0) {}
    x[threadIdx.x] = s;
}
"""


def test_loops_that_wait_for_other_blocks(tmp_path: Path) -> None:
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("no nvcc")
    (tmp_path / "k.cu").write_text(SOURCE)
    subprocess.run([nvcc, "-ptx", "-arch=sm_75", "k.cu", "-o", "k.ptx"], cwd=tmp_path, check=True)
    module = parse((tmp_path / "k.ptx").read_text())
    for name, function in module.functions.items():
        assert waits_for_blocks(flatten(function, module)) == name.startswith("waits_"), name
