"""What an exception of the driver says of a kernel that failed, with and without the guard."""

from __future__ import annotations

import re

import pytest
from guard_processes import run_guard

pytest.importorskip("pycuda")

PROGRAM = """
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

module = SourceModule("__global__ void stop(int *x) { if (x) x[threadIdx.x] = 1; __trap(); }")
module.get_function("stop")(cuda.mem_alloc(128), block=(32, 1, 1))
try:
    cuda.Context.synchronize()
except cuda.Error as error:
    print(error)
"""


@pytest.mark.parametrize("options", [[], ["--races"], ["--no-kernels"]], ids=" ".join)
def test_the_guard_changes_no_name_in_an_exception(tmp_path, options):
    (tmp_path / "program.py").write_text(PROGRAM)
    ran = run_guard("run", "--device", "cpu", *options, "program.py", cwd=tmp_path)
    assert re.search(r"kernel stop, block \(0, 0, 0\)", ran.stdout), ran.stdout + ran.stderr
