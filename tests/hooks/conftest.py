"""PyCUDA on the CPU device with hooks whose sink keeps every event."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the hooks need PyCUDA", allow_module_level=True)

from event_sink import EventSink

from pycuda_guard import hooks

ROOT = Path(__file__).parents[2]

SOURCE = """
__global__ void axpy(float *y, const float *x, float a, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}

struct Bytes { double words[8]; };

__global__ void swallow(Bytes bytes) {}

__device__ float table[8];
"""


class Recorder(EventSink):
    """The sink of these tests."""

    def take(self):
        """Return the events so far and forget them."""
        events, self.events = self.events, []
        return events


@pytest.fixture
def make_recorder():
    """Return the class, for tests that install by themselves; nothing stays installed."""
    yield Recorder
    hooks.uninstall()


@pytest.fixture
def recorder(cuda):
    """Hooks that are in place during the test."""
    sink = Recorder()
    hooks.install(sink)
    sink.take()  # the session's context makes it a late start
    yield sink
    hooks.uninstall()
    assert sink.errors == []


@pytest.fixture
def kernels(recorder):
    """A module compiled and loaded under the hooks."""
    from pycuda.compiler import SourceModule

    return SourceModule(SOURCE)


@pytest.fixture
def run_script(tmp_path):
    """Return a function that runs a script in a process of its own and returns what it printed."""

    def run(text: str) -> list[str]:
        script = tmp_path / "program.py"
        script.write_text(text)
        folders = ROOT, Path(__file__).parent, ROOT / "tests"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run
