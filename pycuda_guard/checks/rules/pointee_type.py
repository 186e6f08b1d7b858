"""An array's elements have another size than those the kernel's pointer names.

What it does
------------
Compares the dtype of an array given to a kernel with the type that its pointer parameter points to:
a float64 array for `float *`, an int64 array for `const int *`. For memory from `mem_alloc`, the dtype
is that of the numpy array last copied over the whole of it, as long as no kernel wrote to it since; so for
the arrays of an ElementwiseKernel or a ReductionKernel, where it works on as many elements.

Why is this bad
---------------
numpy makes float64 and int64 where nothing else is asked for. The kernel then reads every element as
two: half doubles, or an index and a zero in turn. No call fails.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void twice(float *x) { x[threadIdx.x] *= 2; }")
    x = np.random.rand(64)  # float64
    mod.get_function("twice")(cuda.InOut(x), block=(64, 1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void twice(float *x) { x[threadIdx.x] *= 2; }")
    x = np.random.rand(64).astype(np.float32)
    mod.get_function("twice")(cuda.InOut(x), block=(64, 1, 1))

Known limits
------------
A warning, since the same bytes may be meant. Pointers to char, void, vectors and structs take
any array, and so does a pointer to integers for an array of bytes; complex and record arrays fit any
pointer. The kernel's source must be known.

References
----------
numpy documentation, Data types; PyCUDA tutorial, Transferring Data.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.checks.messages import ITEM_SIZES
from pycuda_guard.events.model import ArgumentKind, Launch
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import Argument, Parameter

_FLOATS = frozenset({"float", "double"})
#: the dtypes that have the scalar types of CUDA C as their elements
_DTYPES = {
    "float": "float32",
    "double": "float64",
    "int": "int32",
    "unsigned int": "uint32",
    "short": "int16",
    "unsigned short": "uint16",
    "long long": "int64",
    "unsigned long long": "uint64",
    "bool": "bool_",
}


class PointeeType(Rule):
    """PG403."""

    code: ClassVar[str] = "PG403"
    name: ClassVar[str] = "pointee-type"
    severity: ClassVar[Severity] = Severity.WARNING
    only_new = frozenset({Launch})

    def on_launch(self, event: Launch) -> None:
        """Compare the dtypes of the arrays behind pointers with what the parameters point to."""
        plan, arguments = self.state.plan, event.arguments
        kernel, regions = plan.kernel, plan.regions
        if kernel is None or arguments is None or not kernel.scalars:
            return
        if len(arguments) != len(kernel.layout):
            return
        for index, item_size in kernel.scalars:
            argument = arguments[index]
            dtype = argument.dtype
            if dtype is None:
                region = regions[index]
                if region is None or region.contents is None:
                    continue
                dtype = region.contents.dtype
            if dtype is not None and ITEM_SIZES.get(dtype, item_size) != item_size:
                plan.varies = True  # what is in the memory by then decides
                self._check(event, index, dtype)

    def _check(self, event: Launch, index: int, dtype: str) -> None:
        """Report elements of another size, unless they are meant or may be gone by now."""
        argument = (event.arguments or ())[index]
        plan = self.state.plan
        if plan.kernel is None or argument.kind is not ArgumentKind.POINTER:
            return
        if argument.dtype is None and not self._holds_whole(argument, plan.regions[index]):
            return
        parameter = plan.kernel.signature.parameters[index]
        if not _may_be_wrong(dtype, parameter) or self._counts_words(event, index, dtype, parameter):
            return
        if not self.again(event, kernel=event.function):
            self._report(event, index, dtype, parameter)

    def _counts_words(self, event: Launch, index: int, dtype: str, parameter: Parameter) -> bool:
        """Tell whether the launch says how many of the kernel's elements there are: they are meant."""
        arguments = event.arguments or ()
        nbytes, region = arguments[index].nbytes, self.state.plan.regions[index]
        if nbytes is None:
            nbytes = region.contents.nbytes if region is not None and region.contents is not None else 0
        words, items = nbytes // parameter.pointee_size, nbytes // ITEM_SIZES[dtype]
        counts = {argument.value for argument in arguments if argument.kind is ArgumentKind.INTEGER}
        if items in counts:
            return False
        if event.library:
            return True  # what PyCUDA passes of an array is its address: the number must speak for the array
        return words in counts or (items == nbytes and words == prod(event.grid) * prod(event.block))

    def _holds_whole(self, argument: Argument, region: Region | None) -> bool:
        """Tell whether an argument points to memory that holds one uploaded array, whole and unchanged."""
        if region is None or region.contents is None or argument.value != region.base:
            return False
        fresh = region.copied > max(region.written, self.state.memory.blind)
        return fresh and region.contents.nbytes == region.nbytes

    def _report(self, event: Launch, index: int, dtype: str, parameter: Parameter) -> None:
        argument = (event.arguments or ())[index]
        region = self.state.plan.regions[index]
        declared = messages.declared(parameter)
        shape = argument.shape
        evidence = f"an array of {messages.array(shape, dtype)}"
        if argument.dtype is None and region is not None and region.contents is not None:
            evidence = f"memory that {messages.array(region.contents.shape, dtype)} were copied to"
        fits = _DTYPES.get(parameter.pointee)
        self.report(
            event,
            f"kernel `{event.function}`: {messages.described_argument(event, index, argument)} is {evidence} "
            f"({messages.size(ITEM_SIZES[dtype])} each), and `{declared}` points to {parameter.pointee} "
            f"({messages.size(parameter.pointee_size)})",
            f"convert the array first: .astype(np.{fits})"
            if fits
            else f"convert the array to elements of {messages.size(parameter.pointee_size)}, "
            "or change the kernel's parameter",
            kernel=messages.kernel_location(event),
            related=messages.story(region) if region is not None else (),
        )


def _may_be_wrong(dtype: str, parameter: Parameter) -> bool:
    """Tell whether the mismatch is hardly meant: bytes are often viewed as words, never as floats."""
    if dtype.startswith("complex"):
        return False
    return dtype not in ("uint8", "int8") or parameter.pointee in _FLOATS
