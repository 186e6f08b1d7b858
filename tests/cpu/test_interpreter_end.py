"""PyCUDA's objects that are destroyed when the interpreter ends."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

OBJECTS = {
    "memory": "cuda.mem_alloc(400)",
    "page-locked memory": "cuda.pagelocked_empty(100, np.float32)",
    "event": "cuda.Event()",
    "stream": "cuda.Stream()",
    "array": "gpuarray.zeros(100, np.float32)",
}

START = """
import codecs

import numpy as np

import pycuda.autoinit
import pycuda.driver as cuda
from pycuda import gpuarray
"""


def run(tmp_path, text, *options):
    """Run a program on the CPU device to its end."""
    script = tmp_path / "program.py"
    script.write_text(START + textwrap.dedent(text))
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", *options, str(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, errors="replace")


@pytest.mark.parametrize("options", [["--bare"], ["--quiet"]], ids=["bare", "guarded"])
@pytest.mark.parametrize("made", OBJECTS.values(), ids=OBJECTS)
def test_what_the_interpreter_keeps_to_its_end_is_destroyed_in_silence(tmp_path, made, options):
    # the registry of codecs is dropped after all modules
    done = run(tmp_path, f"codecs.register(lambda name, kept={made}: None)", *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_finalizer_that_runs_while_modules_are_removed_has_the_device(tmp_path):
    text = """
    class Result:
        def __init__(self):
            self.array = gpuarray.to_gpu(np.arange(3, dtype=np.float32))
            self.pop = cuda.Context.pop
            self.cycle = self

        def __del__(self):
            print(self.array.get().tolist())
            self.pop()

    pycuda.autoinit.context.push()  # so that there is still one after autoinit has popped its own
    result = Result()
    """
    done = run(tmp_path, text, "--bare")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.0, 1.0, 2.0]\n", "")
