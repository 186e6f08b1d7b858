"""Contexts that come and go, processes that fork: instrumented kernels in programs of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from guard_processes import run_guard

if TYPE_CHECKING:
    from pathlib import Path

START = """
import os
import numpy as np
import pycuda.driver as cuda
from pycuda.compiler import SourceModule
cuda.init()

SOURCE = "__global__ void set(int *x, int n) { if (threadIdx.x < n) x[threadIdx.x] = threadIdx.x; }"

def use(n, size=8):
    kernel = SourceModule(SOURCE).get_function("set")
    memory = cuda.mem_alloc(4 * size)
    kernel(memory, np.int32(n), block=(16, 1, 1))
    result = np.empty(size, np.int32)
    cuda.memcpy_dtoh(result, memory)
    assert result.tolist() == list(range(size)), result
    return kernel, memory

"""

PROGRAMS = {
    "one after the other": """
for n in (8, 8, 9):
    context = cuda.Device(0).make_context()
    use(n)
    context.pop()
    context.detach()
""",
    "dropped without a word": """
def work(n):
    context = cuda.Device(0).make_context()
    try:
        use(n)
    finally:
        context.pop()
for n in (8, 8, 9):
    work(n)
""",
    "two at a time": """
first, second = cuda.Device(0).make_context(), cuda.Device(0).make_context()
kept = []
for n in (8, 9):
    kept.append(use(8))
    second.pop()
    first.push()
    kept.append(use(n))
    first.pop()
    second.push()
second.pop()
first.pop()
del kept
""",
    "primary": """
for n in (8, 9):
    context = cuda.Device(0).retain_primary_context()
    context.push()
    use(n)
    context.pop()
    context.detach()
""",
    "read at the end": """
import pycuda.autoinit
kernel = SourceModule(SOURCE).get_function("set")
memory = cuda.mem_alloc(32)
kernel(memory, np.int32(9), block=(16, 1, 1))
""",
    "freed before anybody waits": """
import pycuda.autoinit
stream = cuda.Stream(1)
kernel = SourceModule(SOURCE).get_function("set")
for n in (8, 9):
    memory = cuda.mem_alloc(32)
    kernel(memory, np.int32(n), block=(16, 1, 1), stream=stream)
    stream.synchronize()
    memory.free()
del kernel, stream
""",
}


#: ends the process where the guard makes a context current that is gone: a GPU's driver may crash there
WATCHED = """
import ctypes
from pycuda_guard.shadow.driver import Driver

def watched(self, name, *arguments, call=Driver._call):
    call(self, name, *arguments)
    flags = ctypes.c_uint()
    if name == "cuCtxPushCurrent_v2" and ctypes.CDLL("libcuda.so.1").cuCtxGetFlags(ctypes.byref(flags)):
        os.write(2, b"the guard entered a context that is gone")
        os._exit(99)

Driver._call = watched
"""


def guarded(folder: Path, program: str) -> list[dict]:
    """Run a program under the guard; return its errors and warnings. It must end well but for them."""
    path = folder / "program.py"
    path.write_text(START + program, encoding="utf-8")
    done = run_guard("run", "--device", "cpu", "--json", "out.json", path, cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    findings = json.loads((folder / "out.json").read_text())["findings"]
    assert "PG903" not in [finding["code"] for finding in findings]
    return [finding for finding in findings if finding["severity"] != "note"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_context_is_entered_that_is_gone(name, tmp_path):
    assert {finding["code"] for finding in guarded(tmp_path, WATCHED + PROGRAMS[name])} == {"PG202"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_kernel_did_wrong_is_found_in_every_context(name, tmp_path):
    assert {finding["code"] for finding in guarded(tmp_path, PROGRAMS[name])} == {"PG202"}
