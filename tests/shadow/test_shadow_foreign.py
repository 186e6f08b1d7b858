"""Libraries that may write device memory unseen: nothing is told of unwritten memory, and that is said."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pycuda_guard import cpu, hooks
from pycuda_guard.shadow.world import Options
cpu.load()
{before}
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

class Sink:
    def __init__(self):
        self.events = []
    def emit(self, event, pattern=None):
        self.events.append(event)
        return len(self.events)
    def guard_error(self, where, error):
        raise SystemExit(f"{{where}}: {{error!r}}")

sink = Sink()
hooks.install(sink, kernels=Options(on_cpu={on_cpu}))
quiet = hooks.what_is_unwatched()
kernel = SourceModule("__global__ void set(int *x) {{ x[threadIdx.x] = 1; }}").get_function("set")
memory = cuda.mem_alloc(64)
kernel(memory, block=(8, 1, 1))
cuda.memcpy_dtoh(np.empty(16, np.int32), memory)
hooks.finish()
found = hooks.what_is_unwatched()
said = any(type(event).__name__ == "Contents" for event in sink.events)
hooks.uninstall()
print((any(quiet), found.writer, said))
"""

PYTHON = "import types; sys.modules['skcuda'] = types.ModuleType('skcuda')"


def outcome(before: str, *, on_cpu: bool) -> tuple[bool, str, bool]:
    """Run the program; return what was unwatched before the launch, who may write, if contents were told."""
    program = PROGRAM.format(before=before, on_cpu=on_cpu)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr
    return ast.literal_eval(done.stdout)


def test_a_package_may_write() -> None:
    assert outcome(PYTHON, on_cpu=False) == (False, "skcuda", False)


def test_nobody_else_uses_the_cpu_device() -> None:
    assert outcome(PYTHON, on_cpu=True) == (False, "", True)


def test_without_other_libraries_all_is_told() -> None:
    assert outcome("", on_cpu=False) == (False, "", True)


@pytest.fixture
def library(tmp_path):
    """A shared library that contains kernels, as a loader sees it."""
    source = tmp_path / "solver.c"
    source.write_text('__attribute__((section(".nv_fatbin"))) int kernels[4] = {1};\n')
    subprocess.run(["gcc", "-shared", "-o", str(tmp_path / "solver.so"), str(source)], check=True)
    return tmp_path / "solver.so"


def test_a_library_with_kernels_may_write(library) -> None:
    before = f"import ctypes; ctypes.CDLL({str(library)!r})"
    assert outcome(before, on_cpu=False) == (False, "solver.so", False)


@pytest.fixture
def runtime() -> str:
    """The file of CUDA's runtime that PyCUDA's cuRAND brings along."""
    program = "from pycuda_guard import cpu; cpu.load(); import pycuda.driver; "
    program += "print(open('/proc/self/maps').read())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    for line in done.stdout.splitlines():
        if "libcudart." in line:
            return line.split()[-1]
    pytest.skip("cuRAND needs no runtime here")


def test_the_runtime_that_curand_brings_is_harmless(runtime) -> None:
    assert outcome("", on_cpu=False) == (False, "", True)


def test_the_runtime_that_the_program_opens_is_not(runtime) -> None:
    before = f"import ctypes; runtime = ctypes.CDLL({runtime!r})"
    assert outcome(before, on_cpu=False) == (False, Path(runtime).name, False)
