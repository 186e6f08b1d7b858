"""Blocks whose threads wait for ever: which kernels are watched for that, and how the guard ends them.

A GPU needs the watchdog. Here the CPU device runs a few of the kernels that it was made with; the others
are for a GPU: ``pycuda-guard run --races tests/races/race_programs.py tests/races/stalls/waiting.cu``.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from race_programs import read_cases

from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.ptx import parse, print_module
from pycuda_guard.toolchain import find_nvcc, wheel_root

HERE = Path(__file__).parent
WAITING = HERE / "stalls" / "waiting.cu"
RUN = (
    "barrier_for_some_operation_for_the_others",
    "operations_of_halves_before_the_barrier",
    "named_barrier_with_too_few",
    "producers_and_consumers_in_turn",
    "lanes_that_have_left",
)
WATCHED = r"""
#define KERNEL(name) extern "C" __global__ void name(int *x, int n)
#define BARRIER(text) asm volatile(text ";" ::: "memory")

KERNEL(lanes_part_by_data) { if (x[threadIdx.x]) __syncwarp(); __syncthreads(); }
KERNEL(lanes_part_by_index) { if (threadIdx.x < 40) x[0] = __any_sync(~0u, n); __syncthreads(); }
KERNEL(rounds_by_data) {
    for (int k = 0; k < x[threadIdx.x]; k++) x[k] = __shfl_sync(~0u, k, 0);
    __syncthreads();
}
KERNEL(a_number_of_threads) { if (threadIdx.x < 32) BARRIER("bar.sync 1, 64"); }
KERNEL(arrivals) { if (threadIdx.x < 32) BARRIER("bar.arrive 1, 64"); else BARRIER("bar.sync 1, 64"); }
KERNEL(two_barriers) { if (x[threadIdx.x]) BARRIER("bar.sync 1"); else BARRIER("bar.sync 2"); }
"""
NOT_WATCHED = r"""
#define KERNEL(name) extern "C" __global__ void name(int *x, int n)
#define BARRIER(text) asm volatile(text ";" ::: "memory")

KERNEL(no_barrier) { if (x[threadIdx.x]) __syncwarp(); }
KERNEL(barriers_of_all) { if (x[threadIdx.x]) __syncthreads(); else { x[n] = 1; __syncthreads(); } }
KERNEL(lanes_together) { x[threadIdx.x] = __shfl_sync(~0u, x[0], 0); __syncthreads(); __syncwarp(); }
KERNEL(warps_part) {
    __syncthreads();
    if (threadIdx.x < 64) x[0] = __any_sync(~0u, n);
    if (threadIdx.x / 32 == 1) __syncwarp();
}
KERNEL(blocks_part) { if (blockIdx.x == n) x[0] = __any_sync(~0u, n); __syncthreads(); }
KERNEL(rounds_of_all) {
    for (int k = 0; k < n; k++) x[k] = __shfl_sync(~0u, k, 0);
    __syncthreads();
}
KERNEL(one_after_the_other) { BARRIER("bar.sync 1"); x[n] = 1; BARRIER("bar.sync 2"); }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return a function that makes PTX of CUDA C, for sm_80."""
    folder = tmp_path_factory.mktemp("stalls")
    nvcc = find_nvcc()
    assert nvcc is not None

    @cache
    def ptx(source):
        (folder / "kernel.cu").write_text(source)
        command = [nvcc, "--ptx", "-arch=sm_80", "kernel.cu", "-o", "kernel.ptx"]
        subprocess.run(command, cwd=folder, check=True)
        return (folder / "kernel.ptx").read_text()

    return ptx


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """Return the errors of the program that launches some of the kernels, one after the other."""
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("the kernels are launched by PyCUDA")
    folder = tmp_path_factory.mktemp("watched")
    lines = WAITING.read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("//!")]
    kept = set(range(starts[0]))
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if any(f"({name})" in lines[start + 1] for name in RUN):
            kept.update(range(start, end))
    text = "\n".join(line if number in kept else "" for number, line in enumerate(lines))
    (folder / "waiting.cu").write_text(text)
    options = ["--device", "cpu", "--races", "--quiet", "--fail-on", "never", "--json", "out.json"]
    program = HERE / "stalls" / "watched_on_cpu.py"
    command = [sys.executable, "-m", "pycuda_guard", "run", *options, program, "waiting.cu"]
    subprocess.run(command, cwd=folder, check=True, timeout=600)
    found = json.loads((folder / "out.json").read_text())["findings"]
    return [each for each in found if each["severity"] != "note"]


def test_watches_what_may_wait_for_ever_and_leaves_the_rest_as_it_was(compiled):
    watched = instrument(parse(compiled(WATCHED)), races=True, watchdog=True)
    assert len(watched.kernels) == WATCHED.count("KERNEL(") - 1
    assert [name for name, kernel in watched.kernels.items() if not kernel.races.watchdog_bytes] == []
    assert not any(kernel.races.exclusion for kernel in watched.kernels.values())
    module = parse(compiled(NOT_WATCHED))
    left = instrument(module, races=True, watchdog=True)
    assert [name for name, kernel in left.kernels.items() if kernel.races.watchdog_bytes] == []
    assert print_module(left.module) == print_module(instrument(module, races=True).module)


def test_needs_lanes_that_go_their_own_ways_and_a_version_with_nanosleep(compiled):
    text = compiled(WATCHED)
    (version,) = (line for line in text.splitlines() if line.startswith(".version"))
    for line, target, is_watched in (
        (version, ".target sm_70", True),
        (".version 6.2", ".target sm_70", False),
        (version, ".target sm_61", False),
    ):
        module = parse(text.replace(version, line).replace(".target sm_80", target))
        done = instrument(module, races=True, watchdog=True)
        assert all(bool(each.races.watchdog_bytes) == is_watched for each in done.kernels.values())


def test_what_is_added_assembles(compiled, tmp_path):
    nvcc = find_nvcc()
    roots = [root for root in (nvcc and nvcc.parent.parent, wheel_root()) if root]
    ptxas = next((root / "bin" / "ptxas" for root in roots if (root / "bin" / "ptxas").is_file()), None)
    if ptxas is None:
        pytest.skip("needs ptxas")
    done = instrument(parse(compiled(WATCHED)), races=True, watchdog=True)
    (tmp_path / "kernel.ptx").write_text(print_module(done.module))
    command = [ptxas, "-arch", "sm_80", "-O0", "kernel.ptx", "-o", "kernel.cubin"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_ends_blocks_that_wait_for_ever_and_no_others(findings):
    marked = {case.name: case.marked for case in read_cases(WAITING) if case.name in RUN}
    assert set(marked) == set(RUN)
    found = {each["kernel"]["name"]: each for each in findings}
    assert len(found) == len(findings)
    assert found.keys() == {name for name, lines in marked.items() if lines}
    for name, each in found.items():
        lines = {each["kernel"]["line"], *(place["line"] for place in each["related"])}
        assert each["code"] == "PG503"
        assert lines == marked[name]["PG503"]


def test_says_who_waits_where_and_who_has_left(findings):
    apart, few = findings
    for each in findings:
        kernel = each["kernel"]["name"]
        assert each["message"].startswith(
            f"kernel `{kernel}` hangs: no thread of block (0, 0, 0) can go on: "
        )
        assert "The guard has ended the block" in each["message"]
        assert "or leave the kernel" in each["help"]
    (there,) = apart["related"]
    assert "32 of its 64 threads wait here; 32 wait elsewhere, first thread (0, 0, 0), " in apart["message"]
    assert f"in an operation of their warp at line {there['line']}" in apart["message"]
    assert "32 of its 64 threads wait here; 32 have left the kernel" in few["message"]
    assert not few["related"]
