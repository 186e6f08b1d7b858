"""A kernel accesses shared memory outside the array that it indexes.

What it does
------------
Reports every access that leaves its `__shared__` array, or the dynamic shared memory that the launch
asked for. The access itself is not done: a load gives 0.

Why is this bad
---------------
Behind the end lies another shared array of the block, or nothing that the device objects to. Only an
index far outside makes the kernel fail.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void reverse(int *x) {
        extern __shared__ int s[];
        s[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.arange(64, dtype=np.int32))
    mod.get_function("reverse")(x_gpu, block=(64, 1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void reverse(int *x) {
        extern __shared__ int s[];
        s[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.arange(64, dtype=np.int32))
    mod.get_function("reverse")(x_gpu, block=(64, 1, 1), shared=64 * 4)

Known limits
------------
Dynamic shared memory is one array, however the kernel divides it.

References
----------
CUDA C++ programming guide, Shared Memory; PyCUDA documentation, Function.__call__ (shared).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.kernels import KernelRule, Scene, kernel_name, variable_name
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.collector import Collector
    from pycuda_guard.checks.state import State
    from pycuda_guard.events.model import KernelReport

_MAX_ARRAYS = 256


class SharedOutOfBounds(KernelRule):
    """PG504."""

    code: ClassVar[str] = "PG504"
    name: ClassVar[str] = "shared-out-of-bounds"
    severity: ClassVar[Severity] = Severity.ERROR

    def __init__(self, state: State, collector: Collector) -> None:
        super().__init__(state, collector)
        #: the bytes that a launch needs of an array, by launch and array
        self._most: dict[tuple[int, str], int] = {}

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at an access outside of a shared array."""
        if event.reason != "shared-outside" or self.is_told(event):
            return
        scene = self.scene(event)
        access = event.access
        target = f"shared {variable_name(access.variable)}" if access.variable else "shared memory"
        size = f" ({messages.size(_room(scene))})" if access.variable else ""
        text = f"{kernel_name(event)} {scene.verb} {target}{size} outside: {messages.size(access.width)} at "
        text += f"offset {signed(event.address)} in {scene.where()}"
        if event.count > 1 and event.lowest != event.highest:
            text += f", offsets {signed(event.lowest)} to {signed(event.highest)}"
        self.tell(scene, f"{text}, in {scene.launched()}", _help(scene, self._needed(scene)))

    def _needed(self, scene: Scene) -> int:
        """Return how many bytes the array has to have, by what was told of this launch so far."""
        event = scene.event
        whose = (event.launch, event.access.variable)
        needed = max(self._most.get(whose, 0), signed(event.highest) + event.access.width)
        if len(self._most) >= _MAX_ARRAYS:
            self._most.clear()
        self._most[whose] = needed
        return needed


def _help(scene: Scene, needed: int) -> str:
    """Say how large the array has to be, and where it gets its size from."""
    event, launch = scene.event, scene.launch
    name = variable_name(event.access.variable) if event.access.variable else "the array"
    if signed(event.lowest) < 0:
        return f"keep the index into {name} from becoming negative"
    static = scene.signature.static_shared if scene.signature is not None else 0
    if launch is not None and _room(scene) == launch.shared and not static:
        return f"pass shared={needed} to the launch, or use fewer threads a block"
    room = _room(scene) // event.access.width
    least = "" if event.count == 1 or event.lowest != event.highest else "at least "
    return f"give {name} {least}{needed} bytes, or keep the index below {room}"


def _room(scene: Scene) -> int:
    """Return the bytes of the array; of one without a size in the source, those that the launch gives it."""
    declared = scene.event.access.variable_size
    return declared if declared or scene.launch is None else scene.launch.shared


def signed(offset: int) -> int:
    """Return an offset as a signed number: one before the start wraps around."""
    return offset - (1 << 64) if offset >> 63 else offset
