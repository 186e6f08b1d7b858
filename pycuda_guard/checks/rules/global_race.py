"""Two threads of a launch race for the same bytes of global memory.

What it does
------------
With `--races`, reports two accesses to the same bytes by two threads of one launch, at least one of them
a write and not both atomic, that nothing orders: no barrier of their block, no `__syncwarp`, no fence
and flag. It says which lines, which threads and what is missing, whatever order the device happened to run.

Why is this bad
---------------
Which thread comes first changes from run to run and from device to device. `*total += x` by two threads
adds one of the two, and a neighbour read in place is sometimes the old and sometimes the new one.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void count(const int *x, int *total) {
        if (x[blockIdx.x * blockDim.x + threadIdx.x] > 0) *total += 1;
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.ones(1024, np.int32))
    total = gpuarray.zeros(1, np.int32)
    mod.get_function("count")(x_gpu, total, block=(256, 1, 1), grid=(4, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void count(const int *x, int *total) {
        if (x[blockIdx.x * blockDim.x + threadIdx.x] > 0) atomicAdd(total, 1);
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.ones(1024, np.int32))
    total = gpuarray.zeros(1, np.int32)
    mod.get_function("count")(x_gpu, total, block=(256, 1, 1), grid=(4, 1))

Known limits
------------
Blocks that both use fences, and flags or atomics, count as ordered from then on, whether the flags
are the right ones or not. Kernels that call functions by address are not watched: the report's last
line names them. What PyCUDA's own kernels do is a note.

References
----------
CUDA C++ programming guide, Memory Fence Functions and Synchronization Functions; PTX ISA, Memory
Consistency Model.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.kernels import Scene, kernel_name
from pycuda_guard.checks.races import RaceRule, conflict, is_one_line, where_missing
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport


class GlobalRace(RaceRule):
    """PG501."""

    code: ClassVar[str] = "PG501"
    name: ClassVar[str] = "global-race"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a race for global memory."""
        if event.reason != "race" or event.other is None:
            return
        if is_by_two_arguments(event) or not self.is_new(event):
            return
        scene = self.scene(event)
        text = (
            f"{kernel_name(event)}: two threads race for {scene.element(event.address)} of {scene.target()}"
        )
        text += f": {conflict(event)}, and nothing orders them, in {scene.launched()}"
        self.tell_pair(scene, text, _help(scene), scene.story())


def is_by_two_arguments(event: KernelReport) -> bool:
    """Tell whether one thread reads through one argument what another writes through another."""
    other = event.other
    if other is None or min(event.access.parameter, other.parameter) < 0:
        return False
    kinds = {event.access.kind, other.kind}
    return event.access.parameter != other.parameter and "read" in kinds


def _help(scene: Scene) -> str:
    event, other = scene.event, scene.event.other
    assert other is not None
    if event.library:
        return "nothing you can do in your program: the kernel is PyCUDA's own"
    if is_one_line(event) and "read" in (event.access.kind, other.kind) and event.round != "next":
        text = (
            "if threads add to it, use an atomic, such as atomicAdd(&x[i], value); if they read what others "
            "write, write to a second array"
        )
        if event.block_index == event.other_block and event.round == "any":
            text += f", with __syncthreads() at the end of the loop's body, after line {other.line}"
        return text
    kinds = {event.access.kind, other.kind}
    if kinds == {"write"} and (
        event.block_index != event.other_block or (is_one_line(event) and event.round != "next")
    ):
        return "let one thread write it, or use an atomic; blocks are ordered by nothing but another launch"
    blocks = 1 if scene.launch is None else prod(scene.launch.grid)
    is_one = scene.region is not None and scene.region.nbytes <= event.access.width
    if is_one and blocks > 1 and kinds == {"read", "write"} and event.round != "next":
        return (
            "if threads add to what they have read, use an atomic, such as old = atomicAdd(x, 1); if one "
            "thread writes it for the others, split the kernel in two: __syncthreads() orders no blocks"
        )
    if event.block_index == event.other_block:
        text = f"put __syncthreads() {where_missing(event)}"
        if kinds == {"read", "write"} and event.round != "next":
            text += "; if threads add to what they have read, use an atomic instead"
        if blocks > 1:
            text += (
                "; for what several blocks share, write to a second array or split the kernel in two launches"
            )
        return text
    if "atomic" in kinds:
        return "make both accesses atomic, or put one of them into another launch"
    return (
        "write to a second array, or split the kernel in two launches: __syncthreads() orders no blocks; "
        "where an atomic or a flag tells that it is written, call __threadfence() before that"
    )
