"""A kernel reads or writes outside the memory it was given.

What it does
------------
Reports every access of a kernel to global memory that lies in no live allocation, and every access
whose address comes from one argument alone and leaves the allocation that the argument points into,
even where a neighbour lies there. The access itself is not done: a load gives 0. The place is the
line that launches the kernel, together with the kernel's own line.

Why is this bad
---------------
Allocations lie hundreds of bytes apart, and others follow. So a small overrun does nothing at all on
one day and destroys another array on the next; only a large one makes the driver complain, of some
later call.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void twice(float *x) { x[blockIdx.x * blockDim.x + threadIdx.x] *= 2; }
    ''')
    x_gpu = gpuarray.to_gpu(np.ones(1000, np.float32))
    mod.get_function("twice")(x_gpu, block=(256, 1, 1), grid=(4, 1))
    print(x_gpu.get())

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    mod = SourceModule('''
    __global__ void twice(float *x, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) x[i] *= 2;
    }
    ''')
    x_gpu = gpuarray.to_gpu(np.ones(1000, np.float32))
    mod.get_function("twice")(x_gpu, np.int32(1000), block=(256, 1, 1), grid=(4, 1))
    print(x_gpu.get())

Known limits
------------
An index that leaves its array and stays in the same allocation is right: views of one allocation may
overlap on purpose. Memory of other libraries that the driver knows is taken to be as large as it says.

References
----------
CUDA C++ programming guide, Device Memory Accesses; compute-sanitizer's memcheck.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.kernels import KernelRule, Scene, kernel_name, threads, variable_name
from pycuda_guard.checks.pointers import NULL_PAGE
from pycuda_guard.events.model import ArgumentKind
from pycuda_guard.findings import Severity
from pycuda_guard.kernels.scalars import pointed_vector_size

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport, Launch


#: an access that would take so many times the size is no matter of the size
_FAR = 16
#: how far below the right one an index of 32 bits is that has become too large for them
_WRAP = 1 << 32


class KernelOutOfBounds(KernelRule):
    """PG202."""

    code: ClassVar[str] = "PG202"
    name: ClassVar[str] = "kernel-out-of-bounds"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at an access outside of its allocation, or of all."""
        if event.reason != "outside":
            return
        if event.size == 0 and (event.access.parameter >= 0 or event.address < NULL_PAGE):
            return  # the pointer itself is bad: PG203 or PG204
        if event.size == 0 and self.state.memory.find_freed(event.address) is not None:
            return
        if self.is_told(event):
            return
        scene = self.scene(event)
        if event.size:
            self.tell(scene, _outside(scene), self._help(scene), related=scene.story())
            return
        access = event.access
        if access.variable:
            name, nbytes = variable_name(access.variable), messages.size(access.variable_size)
            kind = "constant" if access.space == "const" else "device"
            text = f"{kernel_name(event)} {scene.verb} {messages.size(access.width)} outside of the {kind} "
            text += f"variable {name} ({nbytes}): {scene.where()}"
            self.tell(scene, text, f"compare the index with the size of {name} first")
            return
        self.tell(
            scene,
            f"{kernel_name(event)} {scene.verb} {messages.size(event.access.width)} at "
            f"{messages.address(event.address)}, where nothing is allocated: {scene.where()}",
            "check the index, and the pointer that it is added to, before the access",
        )

    def _help(self, scene: Scene) -> str:
        """Say how to keep the kernel inside, by what it seems to have been told wrong."""
        event, launch = scene.event, scene.launch
        name = scene.array_name.strip("`") or "the array"
        needed = event.highest + event.access.width - event.base
        if _has_overflown(scene):
            text = "the index has passed 2147483647 and become negative"
            return f"{text}: compute it in 64 bits, (long long)y * width + x"
        if event.lowest < event.base:
            return "let the kernel leave out the elements whose neighbours lie before the start of the array"
        if launch is None:
            return f"compare the index with the size of {name} first"
        if layout := _other_layout(scene, name, launch):
            return layout
        last = scene.index(event.highest)
        room = (event.base + event.size - scene.origin) // scene.item
        for position, argument in enumerate(launch.arguments or ()):
            if argument.kind is ArgumentKind.INTEGER and argument.value == last + 1:
                if event.library:  # its arguments are PyCUDA's own
                    return f"give the arrays one size: {name} has {room} elements, others have {last + 1}"
                parameters = scene.signature.parameters if scene.signature is not None else ()
                told = messages.declared(parameters[position]) if parameters else f"argument {position + 1}"
                return f"pass {room} for `{told}`, or allocate {needed} bytes for {name}"
        if last + 1 == threads(launch):
            return f"let only the threads below {room} get there: if (i < n), with n = {room}"
        text = f"compare the index with the {room} elements of {name} first"
        known = event.count == 1 or event.lowest < event.highest  # else there may be others further out
        return f"{text}, or allocate {needed} bytes" if known and needed <= _FAR * event.size else text


def _other_layout(scene: Scene, name: str, launch: Launch) -> str:
    """Say that the kernel's elements are larger than those of the array, where they are; else nothing."""
    region, argument, parameter = scene.region, scene.argument, scene.parameter
    if parameter is None or argument is None or scene.event.library:
        return ""
    nbytes, dtype = argument.nbytes, argument.dtype
    if dtype is None and region is not None and region.contents is not None and argument.value == region.base:
        nbytes, dtype = region.contents.nbytes, region.contents.dtype
    item = messages.item_size(dtype)
    if not nbytes or not item:
        return ""
    needed = scene.event.highest + scene.event.access.width - scene.origin
    if messages.is_record(dtype):
        count = nbytes // item
        counted = any(
            each.kind is ArgumentKind.INTEGER and each.value == count for each in launch.arguments or ()
        )
        first = scene.event.block_index[0] * launch.block[0] + scene.event.thread_index[0]
        # a thread that has a record of its own leaves them by more than a neighbour
        if counted and first < count and needed > (count + 1) * item:
            return (
                f"a record of {name} takes {item} bytes, and the kernel's struct seems to take more: give "
                "np.dtype(…, align=True), which leaves the gaps that C leaves, and all fields in order"
            )
        return ""
    width = parameter.pointee_size or pointed_vector_size(parameter.declared)
    if width <= item or not _asks_for(launch, held := nbytes // width, asked := -(-needed // width)):
        return ""
    return (
        f"`{messages.declared(parameter)}` has elements of {width} bytes: {name} is as large as "
        f"{held} of them, and the kernel asks for {asked}; make the array of such "
        "elements, or change the parameter"
    )


def _asks_for(launch: Launch, held: int, asked: int) -> bool:
    """Tell whether a launch counts as many elements as it asks for, and not those that there are."""
    numbers = {each.value for each in launch.arguments or () if each.kind is ArgumentKind.INTEGER}
    extents = [number for number in numbers if type(number) is int]
    extents += [one * other for one, other in combinations_with_replacement(extents, 2)]
    return asked in extents and held not in extents


def _has_overflown(scene: Scene) -> bool:
    """Tell whether an index far before the start lies inside the array where it is one of 64 bits."""
    event = scene.event
    meant = event.lowest + _WRAP * scene.item
    return event.lowest < event.base <= meant < event.base + event.size


def _outside(scene: Scene) -> str:
    """Say which element of what was accessed."""
    event = scene.event
    before = event.address < event.base
    side = "before its start" if before else "past its end"
    text = f"{kernel_name(event)} {scene.verb} {scene.target()} {side}: {scene.element(event.address)}"
    first, last = scene.index(event.lowest), scene.index(event.highest)
    text += f" in {scene.where()}"
    if event.count > 1 and first != last:
        text += f", elements {first} to {last}"
    distance = event.base - event.address if before else event.address - event.base - event.size
    if scene.origin != event.base:
        text += f" ({messages.size(distance)} from the allocation of {messages.size(event.size)})"
    return f"{text}, in {scene.launched()}"
