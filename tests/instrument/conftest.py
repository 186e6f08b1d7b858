"""What tests of instrumented kernels share: PyCUDA on the CPU device."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("instrumented kernels are run by PyCUDA", allow_module_level=True)

from pycuda_guard import cpu


@pytest.fixture(scope="session")
def cuda():
    """``pycuda.driver`` on the CPU device, with a context that is current all the time."""
    cpu.load()
    import pycuda.driver as driver

    driver.init()
    context = driver.Device(0).make_context()
    yield driver
    context.pop()
