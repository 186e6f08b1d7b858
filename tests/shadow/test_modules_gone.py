"""Modules that are gone before anybody asks: what their kernels did, and what became of their variables."""

from __future__ import annotations

import json
import textwrap

import pytest
from guard_processes import run_guard

pytest.importorskip("pycuda")

PROGRAM = """
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
import pycuda.gpuarray as gpuarray
from pycuda.compiler import SourceModule

SOURCE = '''
__device__ int counts[4];
__global__ void twice(float *x) { x[blockIdx.x * blockDim.x + threadIdx.x] *= 2; }
__global__ void count() { atomicAdd(&counts[threadIdx.x % 4], 1); }
'''

def overrun():
    x_gpu = gpuarray.to_gpu(np.ones(1000, np.float32))
    module = SourceModule(SOURCE)
    module.get_function("twice")(x_gpu, block=(256, 1, 1), grid=(4, 1))
    return x_gpu.get()

def count(keep):
    module = SourceModule(SOURCE)
    function = module.get_function("count")
    counts, size = module.get_global("counts")
    cuda.memset_d32(counts, 0, 4)
    function(block=(64, 1, 1))
    return counts, {"all": module, "function": function, "nothing": None}[keep]

def read(keep):
    counts, kept = count(keep)
    host = np.zeros(4, np.int32)
    try:
        cuda.memcpy_dtoh(host, counts)
    except cuda.LogicError:
        host[:] = -1
    return host.tolist()

overrun()
print(read("all"), read("function"))
if len(__import__("sys").argv) > 1:
    print(read("nothing"))
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Run the program, with arguments, under the guard; return its output and the findings."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "program.py").write_text(textwrap.dedent(PROGRAM))

    def run(*arguments):
        options = ["--device", "cpu", "--fail-on", "never", "--json", "out.json"]
        ran = run_guard("run", *options, "program.py", *arguments, cwd=folder)
        assert ran.returncode == 0, ran.stderr
        findings = json.loads((folder / "out.json").read_text())["findings"]
        return ran.stdout, [found for found in findings if found["severity"] != "note"]

    return run


def test_what_kernels_did_is_counted_before_their_module_goes(guarded):
    output, findings = guarded()
    assert output == "[16, 16, 16, 16] [16, 16, 16, 16]\n"
    assert [found["code"] for found in findings] == ["PG202"]
    assert "23 more accesses, elements 1000 to 1023" in findings[0]["message"]


def test_variables_go_with_their_module(guarded):
    output, findings = guarded("nothing")
    assert output.endswith("[-1, -1, -1, -1]\n")
    (found,) = [found for found in findings if found["code"] != "PG202"]
    line = 1 + PROGRAM.splitlines().index("        cuda.memcpy_dtoh(host, counts)")
    assert (found["code"], found["location"]["line"]) == ("PG203", line)
    assert "`counts`, which went with its module" in found["message"]
