"""The CPU device: runs PyCUDA programs on machines without a GPU.

:func:`load` puts a ``libcuda.so.1`` of our own in the driver's place, before PyCUDA is imported. PyCUDA
itself stays as it is.
"""

from __future__ import annotations

from pycuda_guard.cpu.load import is_loaded, load
from pycuda_guard.cpu.options import DeviceOptions

__all__ = ["DeviceOptions", "is_loaded", "load"]
