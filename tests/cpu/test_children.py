"""Processes that multiprocessing starts afresh find the CPU device, as they would find a GPU."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import multiprocessing
import sys

import numpy as np
import pycuda.driver as cuda


def double(values):
    import pycuda.autoinit
    from pycuda import gpuarray

    return (2 * gpuarray.to_gpu(values)).get().tolist()


if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        print(pool.apply(double, (np.arange(3, dtype=np.float32),)))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("options", [["--bare"], ["--quiet"]], ids=["bare", "guarded"])
def test_a_process_started_afresh_has_the_device(tmp_path, method, options):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", *options, str(script), method]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.stdout, result.returncode) == ("[0.0, 2.0, 4.0]\n", 0), result.stderr
