"""The last line of a report names kernels in which not all races were looked for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the kernels are launched by PyCUDA", allow_module_level=True)

SOURCE = """
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)
typedef int (*Operation)(int);
__device__ int twice(int v) { return 2 * v; }
__device__ int next(int v) { return v + 1; }
__device__ Operation operations[2] = {twice, next};

//! grid=2 block=32
KERNEL(calls_by_address) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = operations[x[i] % 2](x[i]);
}
//! grid=2 block=32
KERNEL(calls_by_name) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = twice(x[i]);
}
"""


def test_names_kernels_that_call_by_address(tmp_path):
    (tmp_path / "kernels.cu").write_text(SOURCE)
    program = Path(__file__).parent / "race_programs.py"
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", "--races"]
    done = subprocess.run(
        [*command, program, "kernels.cu"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert "Not checked: all races inside `calls_by_address`." in last
