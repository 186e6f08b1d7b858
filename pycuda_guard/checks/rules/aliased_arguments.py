"""A kernel reads through one argument what another of its threads writes through another.

What it does
------------
With `--races`, reports a launch whose arguments overlap in memory, where one thread reads bytes through
one argument that another thread writes through another, and nothing orders the two. A thread
that reads and writes its own elements, as in `a += b`, is right and silent.

Why is this bad
---------------
The kernel was written for two arrays: one to read, one to write. Given the same array for both, a thread
finds its neighbour's new value where it expects the old one, or not, by chance.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void shift(const float *in, float *out, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i + 1 < n) out[i] = in[i + 1];
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.arange(1024, dtype=np.float32))
    mod.get_function("shift")(x_gpu, x_gpu, np.int32(1024), block=(256, 1, 1), grid=(4, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void shift(const float *in, float *out, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i + 1 < n) out[i] = in[i + 1];
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.arange(1024, dtype=np.float32))
    y_gpu = gpuarray.zeros_like(x_gpu)
    mod.get_function("shift")(x_gpu, y_gpu, np.int32(1024), block=(256, 1, 1), grid=(4, 1))

Known limits
------------
Needs `--races`.

References
----------
CUDA C++ programming guide, __restrict__.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.kernels import Scene, kernel_name
from pycuda_guard.checks.races import RaceRule, conflict
from pycuda_guard.checks.rules.global_race import is_by_two_arguments
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport


class AliasedArguments(RaceRule):
    """PG211."""

    code: ClassVar[str] = "PG211"
    name: ClassVar[str] = "aliased-arguments"
    severity: ClassVar[Severity] = Severity.WARNING

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a race through two arguments."""
        if event.reason != "race" or not is_by_two_arguments(event) or not self.is_new(event):
            return
        scene = self.scene(event)
        names = _names(scene)
        text = f"{kernel_name(event)}: arguments {names[0]} and {names[1]} overlap in memory, and "
        text += f"{conflict(event)}: {scene.element(event.address)}, in {scene.launched()}"
        self.tell_pair(scene, text, "give the kernel a second array to write to", scene.story())


def _names(scene: Scene) -> tuple[str, str]:
    """Return both parameters as the source declares them."""
    event, other = scene.event, scene.event.other
    assert other is not None
    positions = event.access.parameter, other.parameter
    parameters = scene.signature.parameters if scene.signature is not None else ()
    first, second = (
        messages.quoted(parameters[position].name)
        if position < len(parameters) and parameters[position].declared
        else str(position + 1)
        for position in positions
    )
    return first, second
