"""What the program is told when the driver refuses its own call: that, and nothing of the guard's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from guard_processes import run_guard

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pycuda")

START = """
import numpy as np
import pycuda.driver as cuda
from pycuda.compiler import SourceModule
SOURCE = "__global__ void fill(int *x) { extern __shared__ int s[]; s[0] = 1; x[0] = s[0]; }"
"""
REFUSED = {
    "a module without a context": "SourceModule(SOURCE)",
    "a module in the second thread": """
import pycuda.autoinit, concurrent.futures
concurrent.futures.ThreadPoolExecutor().submit(SourceModule, SOURCE).result()""",
    "too large a block": """
import pycuda.autoinit
SourceModule(SOURCE).get_function("fill")(np.uint64(0), block=(32, 32, 2))""",
    "too much shared memory": """
import pycuda.autoinit
SourceModule(SOURCE).get_function("fill")(np.uint64(0), block=(1, 1, 1), shared=1 << 20)""",
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_the_traceback_is_the_programs(refused: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(START + refused)

    def traceback(*options: str) -> list[str]:
        done = run_guard("run", "--device", "cpu", "--quiet", *options, "program.py", cwd=tmp_path)
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
        ends = [number for number, line in enumerate(lines) if line.startswith("pycuda._driver.")]
        assert len(starts) == len(ends) == 1, done.stderr
        return lines[starts[0] : ends[0] + 1]

    bare, guarded = traceback("--bare"), traceback()
    assert guarded[-1] == bare[-1]
    assert [line for line in guarded if "pycuda_guard" not in line] == guarded
