"""What the runs of pytest under test have in common: a conftest, and how to read what they print."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: it imports PyCUDA at its top: it must be guarded already
CONFTEST = """
import contextlib
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
import pytest

def overrun(memory):
    with contextlib.suppress(cuda.LogicError):
        cuda.memcpy_htod(memory, np.zeros(100))

@pytest.fixture(scope="module")
def shared():
    memory = cuda.mem_alloc(400)
    yield memory
    memory.free()

@pytest.fixture
def faulty_setup(shared):
    overrun(shared)

@pytest.fixture
def faulty_teardown(shared):
    yield
    cuda.memcpy_htod(shared, np.zeros(101, np.float32))

@pytest.fixture
def broken(shared):
    overrun(shared)
    raise RuntimeError("the fixture is broken")

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

#: plugins beside the guard's own; nothing else is loaded
PLUGINS = ("pycuda_guard.pytest_plugin", "xdist", "pytest_timeout", "anyio.pytest_plugin", "no:cacheprovider")
