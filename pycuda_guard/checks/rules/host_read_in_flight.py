"""The host reads memory that an unfinished copy or kernel writes.

What it does
------------
Protects the pages of page-locked and managed memory while an asynchronous copy or a kernel writes to it,
and reports the line that reads them before the host has waited: by a synchronize of the context, the
stream or an event, a `query()` that returned True, or a copy that waits. What is read in C, by numpy or
another library, counts as read by the line that called it.

Why is this bad
---------------
`memcpy_dtoh_async` and `get_async` return before the data have arrived, and so does a kernel that
writes to memory that the host shares. Whatever is read in the meantime is old, new or something of
both: right in tests, wrong in production.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.to_device(np.ones(4096, np.float32))
    x = cuda.pagelocked_empty(4096, np.float32)
    stream = cuda.Stream()
    cuda.memcpy_dtoh_async(x, x_gpu, stream)
    print(x.sum())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    x_gpu = cuda.to_device(np.ones(4096, np.float32))
    x = cuda.pagelocked_empty(4096, np.float32)
    stream = cuda.Stream()
    cuda.memcpy_dtoh_async(x, x_gpu, stream)
    stream.synchronize()
    print(x.sum())

Known limits
------------
Only pages (4096 bytes) that lie whole in what is copied can be protected. A GPU's driver lets arrays of
less than a MiB begin anywhere in a page: their first and last bytes may not be watched, nor small
arrays at all. On the CPU device every array has pages of its own. Of a line that issues more than 50
operations, one in 31 of the further ones is watched; of more than 16 MiB, the first and the last MiB.
After the first read, the memory is not watched until it is used again. What kernels write is not
watched where they make volatile or system-wide accesses, or where their addresses are not known (see
PG103). A thread that runs no Python is not seen. A system call that is given such memory, as in
`x.tofile(file)`, fails with EFAULT (`OSError: Bad address`). Off but for Linux on x86-64, in WSL2 and
where the C extension is missing. Waiting through another library is not seen.

References
----------
CUDA driver API: API synchronization behavior; cuMemcpyDtoHAsync; cuMemHostAlloc.
"""

from __future__ import annotations

from typing import ClassVar

from pycuda_guard.checks import streams


class HostReadInFlight(streams.TouchRule):
    """PG101."""

    code: ClassVar[str] = "PG101"
    name: ClassVar[str] = "host-read-in-flight"
    writes: ClassVar[bool] = False
