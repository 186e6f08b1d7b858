"""Leaves these tests out where there is no PyCUDA."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("instrumented kernels are run by PyCUDA", allow_module_level=True)
