"""The host writes memory that an unfinished copy or kernel uses.

What it does
------------
Protects the pages of page-locked and managed memory while an asynchronous copy or a kernel uses it, and
reports the line that writes to them before the host has waited: by a synchronize of the context, the
stream or an event, a `query()` that returned True, or a copy that waits. What is written in C, by
numpy or another library, counts as written by the line that called it.

Why is this bad
---------------
`memcpy_htod_async` and `set_async` return before the data are gone from page-locked memory, and so
does a kernel that reads memory that the host shares. Whatever the host writes there in the
meantime may be what the device gets, whole or in part.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(16384)
    x = cuda.pagelocked_zeros(4096, np.float32)
    stream = cuda.Stream()
    cuda.memcpy_htod_async(x_gpu, x, stream)
    x[:] = 1
    stream.synchronize()

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.mem_alloc(16384)
    x = cuda.pagelocked_zeros(4096, np.float32)
    stream = cuda.Stream()
    cuda.memcpy_htod_async(x_gpu, x, stream)
    stream.synchronize()
    x[:] = 1

Known limits
------------
Those of PG101. A file that is read into such memory, as by `file.readinto(x)`, fails with EFAULT.

References
----------
CUDA driver API: API synchronization behavior; cuMemcpyHtoDAsync; cuMemHostAlloc.
"""

from __future__ import annotations

from typing import ClassVar

from pycuda_guard.checks import streams


class HostWriteInFlight(streams.TouchRule):
    """PG102."""

    code: ClassVar[str] = "PG102"
    name: ClassVar[str] = "host-write-in-flight"
    writes: ClassVar[bool] = True
