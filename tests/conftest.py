"""What holds for all tests."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

# where Python is told to keep no compiled code, each program of a test would compile the whole package again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# a run fails for what changed, not for its luck; to look further: pytest --hypothesis-profile=explore
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("same")


@pytest.fixture(scope="session")
def cuda():
    """``pycuda.driver`` on the CPU device, with a context that is current all the time."""
    from pycuda_guard import cpu

    cpu.load()
    import pycuda.driver as driver

    driver.init()
    context = driver.Device(0).make_context()
    yield driver
    context.pop()
