"""A kernel accesses memory at an address that is no multiple of the access's width.

What it does
------------
Reports loads and stores of 2, 4, 8 or 16 bytes at addresses that are no multiple of that. Mostly a
`float4 *` or `double *` made from a pointer that was moved by a few elements.

Why is this bad
---------------
The device refuses such an access: the kernel dies of "misaligned address", and every later CUDA call
of the process fails.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void clear(float4 *x) { x[threadIdx.x] = make_float4(0, 0, 0, 0); }")
    x_gpu = gpuarray.to_gpu(np.ones(70, np.float32))
    mod.get_function("clear")(x_gpu[2:], block=(16, 1, 1))
    print(x_gpu.get())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void clear(float4 *x) { x[threadIdx.x] = make_float4(0, 0, 0, 0); }")
    x_gpu = gpuarray.to_gpu(np.ones(70, np.float32))
    mod.get_function("clear")(x_gpu[4:], block=(16, 1, 1))
    print(x_gpu.get())

Known limits
------------
None.

References
----------
CUDA C++ programming guide, Device Memory Accesses: size and alignment requirement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.kernels import KernelRule, Scene, kernel_name, variable_name
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport


class MisalignedAccess(KernelRule):
    """PG205."""

    code: ClassVar[str] = "PG205"
    name: ClassVar[str] = "misaligned-access"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at an access that is not aligned."""
        if event.reason != "misaligned" or self.is_told(event):
            return
        scene = self.scene(event)
        width = event.access.width
        if event.access.space == "shared":
            target = (
                f"shared {variable_name(event.access.variable)}" if event.access.variable else "shared memory"
            )
            place = f"offset {event.address}"
        else:
            target = scene.target() if scene.region is not None else "memory"
            place = messages.address(event.address)
        self.tell(
            scene,
            f"{kernel_name(event)} {scene.verb} {width} bytes of {target} at an address that is no multiple "
            f"of {width}: {place} in {scene.where()}, in {scene.launched()}",
            _help(scene),
            related=scene.story(),
        )


def _help(scene: Scene) -> str:
    """Say what is not aligned: the argument, or the offset from it."""
    width, argument = scene.event.access.width, scene.argument
    value = argument.value if argument is not None else None
    name = scene.array_name or "the argument"
    if type(value) is int and value % width:
        item = messages.item_size(argument.dtype) if argument is not None else None
        step = f"{width // item} elements" if item and item < width else f"{width} bytes"
        return f"let {name} begin at a multiple of {step}, or access single elements in the kernel"
    return (
        f"keep the offset from the start of {name} a multiple of {width} bytes, or access narrower elements"
    )
