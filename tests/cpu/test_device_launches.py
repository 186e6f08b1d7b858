"""Kernels that launch kernels on the CPU device: what runs, in which order, and what the guard says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pycuda")

PROGRAM = Path(__file__).with_name("launching_kernels.py")
RIGHT = {
    "arguments": [15] * 40,
    "order": [6, 1, 2, 6, 7, 3, 9],
    "nested": [0, *range(2, 62)],
    "tails": [3000],
    "refused": [0] * 4 + [9, 9, 0, 9, 0, 9, 0, 9] * 2,
    "in_heap": [0, 0],
    "own": list(range(8)),
    "linked": [40, 40, 41, 41, 42, 42, 43, 43],
    "fresh": [15] * 40,
}


def run(*options: str) -> dict[str, list[int]]:
    """Run the program on the CPU device; return what each of its kernels left."""
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", *options, str(PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def trimmed(values: list[int], count: int) -> list[int]:
    """Return the first numbers; all others must be zeros."""
    assert not any(values[count:])
    return values[:count]


@pytest.fixture(scope="module", params=["late", "eager", "random:3"])
def left(request) -> dict[str, list[int]]:
    """What the kernels leave in each schedule."""
    return run("--bare", "--schedule", request.param)


@pytest.mark.parametrize("name", RIGHT)
def test_what_kernels_launch(left, name):
    assert trimmed(left[name], len(RIGHT[name])) == RIGHT[name]


@pytest.mark.parametrize("options", [(), ("--races",)])
def test_guarded_programs_compute_the_same_and_are_told_what_is_not_checked(options, tmp_path):
    found = run(*options, "--json", str(tmp_path / "found.json"))
    assert {name: trimmed(found[name], len(RIGHT[name])) for name in RIGHT} == RIGHT
    findings = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert {finding["severity"] for finding in findings} == {"note"}
    assert any(
        finding["code"] == "PG901" and "launches kernels" in finding["message"] for finding in findings
    )


HOSTILE = '''
import numpy as np, pycuda.autoinit, pycuda.driver as cuda
from pycuda.compiler import DynamicSourceModule
module = DynamicSourceModule("""
__global__ void add(int *x, int n) { atomicAdd(x, n); }
__global__ void forged(int *x)
{
    void *buffer = cudaGetParameterBufferV2((void *)add, dim3(1), dim3(1), 0);
    memset((char *)buffer - 64, 255, 64);
    x[0] = cudaLaunchDeviceV2(buffer, 0);
    x[1] = cudaLaunchDeviceV2(x, 0);
    x[2] = cudaLaunchDeviceV2(0, 0);
    x[3] = cudaLaunchDeviceV2((char *)buffer + (1 << 30), 0);
    *(void **)(x + 4) = buffer;
}
__global__ void kept(int *x) { x[6] = cudaLaunchDeviceV2(*(void **)(x + 4), 0); }
__global__ void many(int *x) { for (int i = 0; i < 1000; i++) add<<<1, 1>>>(x, 1); }
__global__ void chain(int *x)
{
    x[0]++;
    chain<<<1, 1>>>(x);
    if (cudaError_t error = cudaGetLastError()) x[1] = error;
}
__global__ void refused(int *x)
{
    for (int i = 0; i < 20000; i++) many<<<0, 1>>>(x);
    x[0] = cudaGetLastError();
}
__global__ void anywhere(int *x) { cudaLaunchDeviceV2(cudaGetParameterBufferV2(x, dim3(1), dim3(1), 0), 0); }
__global__ void much_shared(int *x) { add<<<1, 1, 1 << 20>>>(x, 1); }
""")
for name, threads in CASES:
    x = np.zeros(8, np.int32)
    try:
        module.get_function(name)(cuda.InOut(x), block=(threads, 1, 1))
        print(name, *x[[0, 1, 2, 3, 6]])
    except cuda.Error as error:
        print(error)
'''


def launched(folder: Path, *cases: tuple[str, int]) -> list[str]:
    """Launch hostile kernels, each with a number of threads; return what is printed of each."""
    script = folder / "hostile.py"
    script.write_text(HOSTILE.replace("CASES", repr(cases)))
    command = [sys.executable, "-X", "dev", "-m", "pycuda_guard", "run", "--device", "cpu", "--bare"]
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=300)
    return done.stdout.splitlines()


def test_hostile_launches(tmp_path):
    lines = launched(tmp_path, ("forged", 1), ("kept", 1), ("many", 64), ("chain", 1), ("refused", 32))
    assert lines[:2] == ["forged 1 1 1 1 0", "kept 0 0 0 0 1"]
    assert lines[2:] == ["many 2048 0 0 0 0", "chain 2049 69 0 0 0", "refused 9 0 0 0 0"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("anywhere", "kernel anywhere: there is no kernel at the address that it launches"),
        ("much_shared", "kernel much_shared launches add: INVALID_VALUE"),
    ],
)
def test_launches_that_cannot_be(name, error, tmp_path):
    (line,) = launched(tmp_path, (name, 1))
    assert error in line
