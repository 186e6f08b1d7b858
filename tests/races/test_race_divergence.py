"""Barriers that a GPU may hang at, on the CPU device alone: it ends such kernels and says why."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the kernels are launched by PyCUDA", allow_module_level=True)

KERNELS = """
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)

//! grid=1 block=32
KERNEL(mask_without_the_caller) {
    y[threadIdx.x] = x[threadIdx.x];
    __syncwarp(0xFFFF);
}
//! grid=1 block=32
KERNEL(mask_of_the_first_only) {
    if (threadIdx.x == 0) __syncwarp(1 << n);
}
//! grid=1 block=32
KERNEL(lanes_that_have_left) {
    if (threadIdx.x < 8) return;
    __syncwarp();
    y[threadIdx.x] = x[threadIdx.x];
}
//! grid=1 block=32
KERNEL(barrier_for_one_warp_operation_for_the_other) {
    if (threadIdx.x % 2) __syncthreads(); else __syncwarp();
    y[threadIdx.x] = x[threadIdx.x];
}
"""


def run(folder, source):
    (folder / "kernels.cu").write_text(source)
    options = ["--device", "cpu", "--races", "--quiet", "--fail-on", "never", "--json", "out.json"]
    program = Path(__file__).parent / "race_programs.py"
    command = [sys.executable, "-m", "pycuda_guard", "run", *options, program, "kernels.cu"]
    subprocess.run(command, cwd=folder, capture_output=True)
    return [
        each
        for each in json.loads((folder / "out.json").read_text())["findings"]
        if each["severity"] == "error"
    ]


def test_a_mask_that_lacks_its_own_lane_and_a_block_that_waits_for_ever(tmp_path):
    mask, deadlock = run(tmp_path, KERNELS)
    assert (mask["code"], mask["kernel"]["name"]) == ("PG503", "mask_without_the_caller")
    assert "mask that lacks its own lane" in mask["message"]
    assert KERNELS.splitlines()[mask["kernel"]["line"] - 1].strip() == "__syncwarp(0xFFFF);"
    assert deadlock["code"] == "PG503"
    assert deadlock["kernel"]["name"] == "barrier_for_one_warp_operation_for_the_other"
    assert "16 wait at a barrier, 16 at a warp operation" in deadlock["message"]
