"""A kernel is launched with too few or too many arguments.

What it does
------------
Compares the number of arguments of a launch with the number of parameters of the compiled kernel;
for a launch from packed bytes, the number of bytes.

Why is this bad
---------------
PyCUDA does not know how many parameters a kernel has. With too few, the launch succeeds and the
kernel reads whatever lies behind the parameter buffer: an element count of 0, or of a billion. With
too many, the driver answers "too many resources requested for launch", or every parameter after the
surplus one is wrong.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void clear(float *x, int n) { if (threadIdx.x < n) x[threadIdx.x] = 0; }")
    x = np.ones(64, np.float32)
    mod.get_function("clear")(cuda.InOut(x), block=(64, 1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void clear(float *x, int n) { if (threadIdx.x < n) x[threadIdx.x] = 0; }")
    x = np.ones(64, np.float32)
    mod.get_function("clear")(cuda.InOut(x), np.int32(64), block=(64, 1, 1))

Known limits
------------
A struct passed field by field, or several parameters passed as one record, is right if the bytes
come out the same, and is not reported. Kernels whose signature is not known are not checked
(PG901).

References
----------
PyCUDA documentation, pycuda.driver.Function; CUDA driver API, cuLaunchKernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.checks.rules.argument_type import numpy_type
from pycuda_guard.events.model import ArgumentKind, Launch, ParameterKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import Argument, CallFailed, KernelSignature, Parameter


class ArgumentCount(Rule):
    """PG402."""

    code: ClassVar[str] = "PG402"
    name: ClassVar[str] = "argument-count"
    severity: ClassVar[Severity] = Severity.ERROR
    only_new = frozenset({Launch})

    def on_launch(self, event: Launch) -> None:
        """Compare the number of arguments with the kernel's."""
        kernel = self.state.plan.kernel
        if kernel is None or event.library:
            return
        signature, arguments = kernel.signature, event.arguments
        if arguments is None:
            if event.packed < signature.packed_size and not self.again(event, kernel=event.function):
                self._report_bytes(event, signature)
        elif len(arguments) != len(signature.parameters) and not _is_refused(event):
            self._check_count(event, signature, None)

    def on_call_failed(self, event: CallFailed) -> None:
        """Count the arguments of a launch that PyCUDA refused to pack: the program may have meant it."""
        launch = self.state.announced(event.announced) if event.announced else None
        if event.status or not isinstance(launch, Launch) or launch.library or not _is_refused(launch):
            return
        signature = self.state.signature(launch)
        if signature is not None:
            self._check_count(launch, signature, event)

    def _check_count(self, event: Launch, signature: KernelSignature, failed: CallFailed | None) -> None:
        arguments = event.arguments or ()
        if len(arguments) == len(signature.parameters) or _same_bytes(arguments, signature):
            return
        self.explain(event.sequence)
        failure = failed.sequence if failed is not None else None
        if not self.again(failed or event, site=event.site, kernel=event.function, failure=failure):
            self._report_count(event, len(arguments), signature, failed)

    def _report_bytes(self, event: Launch, signature: KernelSignature) -> None:
        self.report(
            event,
            f"kernel `{event.function}` reads {messages.size(signature.packed_size)} of parameters, "
            f"but {event.packed} are passed",
            f"pack all of: {_declared(signature)}",
            kernel=messages.kernel_location(event),
            related=messages.declaration(signature),
        )

    def _report_count(
        self, event: Launch, given: int, signature: KernelSignature, failed: CallFailed | None
    ) -> None:
        parameters = signature.parameters
        takes = messages.count(len(parameters), "argument")
        text = f"kernel `{event.function}` takes {takes}, but {given} {'is' if given == 1 else 'are'} passed"
        if given < len(parameters):
            missing = ", ".join(f"`{messages.declared(p)}`" for p in parameters[given:])
            text += f": nothing for {missing}, if the others are in order"
        if event.call.startswith("prepared"):
            help = _preparation(signature)
        elif given < len(parameters):
            help = f"add {', '.join(_argument(parameter) for parameter in parameters[given:])}"
        else:
            help = f"pass only: {_declared(signature)}" if parameters else "pass no arguments"
        self.report(
            failed or event,
            text,
            help,
            site=event.site,
            kernel=messages.kernel_location(event),
            related=messages.declaration(signature),
            failure=failed.sequence if failed is not None else None,
        )


def _is_refused(launch: Launch) -> bool:
    """Tell whether PyCUDA could not pack the arguments of a launch."""
    return bool(launch.arguments) and launch.packed == 0


def _declared(signature: KernelSignature) -> str:
    """Return the parameter list as the source has it."""
    return ", ".join(messages.declared(p) for p in signature.parameters)


def _argument(parameter: Parameter) -> str:
    """Return what to write for a parameter."""
    if parameter.kind is ParameterKind.POINTER:
        return f"device memory for `{messages.declared(parameter)}`"
    names = numpy_type(parameter)
    text = f"np.{names[0]}(…)" if names is not None else messages.size(parameter.size)
    return f"{text} for `{messages.declared(parameter)}`"


def _preparation(signature: KernelSignature) -> str:
    """Return the prepare() that fits a kernel, as far as each parameter has a character."""
    names = [numpy_type(parameter) for parameter in signature.parameters]
    if all(names):
        return f'write prepare("{"".join(name[1] for name in names if name)}") for {_declared(signature)}'
    return f"prepare() needs a character for each of: {_declared(signature)}"


def _same_bytes(arguments: tuple[Argument, ...], signature: KernelSignature) -> bool:
    """Tell whether the packed arguments are the kernel's parameters, only cut in other pieces."""
    if max((a.offset + a.size for a in arguments), default=0) != signature.packed_size:
        return False
    starts = {a.offset for a in arguments}
    blobs = [(a.offset, a.offset + a.size) for a in arguments if a.kind is ArgumentKind.BYTES]
    structs = [(p.offset, p.offset + p.size) for p in signature.parameters if p.kind is ParameterKind.BYTES]
    places = {p.offset for p in signature.parameters}
    return all(
        p.offset in starts or any(low <= p.offset < high for low, high in blobs) for p in signature.parameters
    ) and all(a.offset in places or any(low <= a.offset < high for low, high in structs) for a in arguments)
