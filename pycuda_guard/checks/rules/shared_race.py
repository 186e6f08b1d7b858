"""Two threads of a block race for the same bytes of shared memory.

What it does
------------
With `--races`, reports two accesses to the same bytes of shared memory by two threads of one block, at
least one of them a write and not both atomic, with no `__syncthreads()` between them, nor a
`__syncwarp()` if they are of one warp. It says which lines and which threads.

Why is this bad
---------------
The threads of a block, and since Volta those of a warp, run at their own pace. Without a barrier a
thread may read what its neighbour has not written yet, or has overwritten already.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void reverse(int *x) {
        __shared__ int s[64];
        s[threadIdx.x] = x[threadIdx.x];
        x[threadIdx.x] = s[63 - threadIdx.x];
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
        __shared__ int s[64];
        s[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = s[63 - threadIdx.x];
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.arange(64, dtype=np.int32))
    mod.get_function("reverse")(x_gpu, block=(64, 1, 1))

Known limits
------------
Watching takes shared memory of its own: a kernel that leaves too little of it is not watched. Barriers
of a part of the block count as if they ordered all of it. `volatile` orders nothing.

References
----------
CUDA C++ programming guide, Synchronization Functions, Independent Thread Scheduling.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.kernels import Scene, kernel_name, variable_name
from pycuda_guard.checks.races import RaceRule, conflict, is_one_line, where_missing
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport

_WARP = 32


class SharedRace(RaceRule):
    """PG502."""

    code: ClassVar[str] = "PG502"
    name: ClassVar[str] = "shared-race"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a race for shared memory."""
        if event.reason != "shared-race" or not self.is_new(event):
            return
        scene = self.scene(event)
        access = event.access
        named = f"shared {variable_name(access.variable)}, " if access.variable else "shared memory at "
        place = f"byte {event.address}{' of the shared memory' if access.variable else ''}"
        text = f"{kernel_name(event)}: two threads race for {named}{place}"
        text += f": {conflict(event)}, and no barrier is between them, in {scene.launched()}"
        self.tell_pair(scene, text, _help(scene))


def _help(scene: Scene) -> str:
    event, other = scene.event, scene.event.other
    assert other is not None
    if event.library:
        return "nothing you can do in your program: the kernel is PyCUDA's own"
    if is_one_line(event):
        if {event.access.kind, other.kind} == {"write"}:
            return "let one thread write it, or use an atomic"
        if event.round == "any":
            return (
                f"put __syncthreads() at the end of the loop's body, after line {other.line}; if threads "
                "read what others write in the same round, read into a variable first, __syncthreads(), "
                "then write"
            )
        if event.round == "one":
            # nvcc unrolls short loops: the two may be of different rounds all the same
            return (
                "in a loop, put __syncthreads() at the end of its body; else use an atomic, or read into a "
                "variable, then __syncthreads(), then write"
            )
    if {event.access.kind, other.kind} == {"write"} and scene.launch is not None and scene.launch.shared:
        name = variable_name(event.access.variable) if event.access.variable else "that memory"
        return (
            f"if these are two arrays in {name}, let the second begin where the first ends; else put "
            f"__syncthreads() {where_missing(event)}"
        )
    if not _in_one_warp(scene):
        return f"put __syncthreads() {where_missing(event)}"
    if scene.launch is not None and prod(scene.launch.block) <= _WARP:
        return f"put __syncwarp() or __syncthreads() {where_missing(event)}"
    return f"put __syncthreads(), or __syncwarp() if only one warp shares it, {where_missing(event)}"


def _in_one_warp(scene: Scene) -> bool:
    launch = scene.launch
    if launch is None:
        return False
    x, y, _ = (*launch.block, 1, 1, 1)[:3]
    one, other = (
        (index[0] + x * (index[1] + y * index[2])) // _WARP
        for index in (scene.event.thread_index, scene.event.other_thread)
    )
    return one == other
