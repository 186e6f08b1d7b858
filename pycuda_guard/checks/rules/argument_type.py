"""A kernel argument has another size or kind than the kernel's parameter.

What it does
------------
Compares every argument of a launch with the parameter that the compiled kernel has at its place:
size, position in the parameter buffer, and kind (integer, float, pointer, struct). Also reports a
numpy array passed by value where the kernel takes a pointer, and Python numbers, which PyCUDA
refuses.

Why is this bad
---------------
PyCUDA packs the arguments one after another by their numpy types and never looks at the kernel. An
`np.int64` for an `int` shifts all arguments behind it, an `np.float64` for a `float` is read as
half a double, and an array by value is read as an address. The driver answers with "too many
resources requested for launch" if the buffer is too large, and not at all if it is not.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule(
        "__global__ void fill(float *x, int n, float v) { if (threadIdx.x < n) x[threadIdx.x] = v; }"
    )
    x = np.zeros(64, np.float32)
    mod.get_function("fill")(cuda.InOut(x), np.int64(64), np.float32(1), block=(64, 1, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule(
        "__global__ void fill(float *x, int n, float v) { if (threadIdx.x < n) x[threadIdx.x] = v; }"
    )
    x = np.zeros(64, np.float32)
    mod.get_function("fill")(cuda.InOut(x), np.int32(64), np.float32(1), block=(64, 1, 1))

Known limits
------------
Signedness is not compared, and an integer of the size of a pointer may stand for one. Structs by
value are compared by size and position, not by field. Kernels whose signature is not known are
not checked (PG901).

References
----------
PyCUDA documentation, pycuda.driver.Function; CUDA C++ programming guide, Kernel parameters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import ArgumentKind, ParameterKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import Argument, KernelSignature, Launch, Parameter

_SAME_KIND = {
    ArgumentKind.POINTER: ParameterKind.POINTER,
    ArgumentKind.INTEGER: ParameterKind.INTEGER,
    ArgumentKind.FLOAT: ParameterKind.FLOAT,
    ArgumentKind.BYTES: ParameterKind.BYTES,
}

#: numpy type and prepare() character for the C types whose names say more than kind and size.
_BY_NAME = {
    "unsigned int": ("uint32", "I"),
    "unsigned": ("uint32", "I"),
    "uint32_t": ("uint32", "I"),
    "unsigned char": ("uint8", "B"),
    "uint8_t": ("uint8", "B"),
    "bool": ("uint8", "?"),
    "unsigned short": ("uint16", "H"),
    "uint16_t": ("uint16", "H"),
    "unsigned long": ("uint64", "Q"),
    "unsigned long long": ("uint64", "Q"),
    "uint64_t": ("uint64", "Q"),
    "size_t": ("uintp", "P"),
}
_BY_SIZE = {
    (ParameterKind.INTEGER, 1): ("int8", "b"),
    (ParameterKind.INTEGER, 2): ("int16", "h"),
    (ParameterKind.INTEGER, 4): ("int32", "i"),
    (ParameterKind.INTEGER, 8): ("int64", "q"),
    (ParameterKind.FLOAT, 4): ("float32", "f"),
    (ParameterKind.FLOAT, 8): ("float64", "d"),
    (ParameterKind.POINTER, 8): ("intp", "P"),
}

_CONVERSION = re.compile(r"^(np|numpy)\.\w+\((.*)\)$", re.DOTALL)


class ArgumentType(Rule):
    """PG401."""

    code: ClassVar[str] = "PG401"
    name: ClassVar[str] = "argument-type"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_launch(self, event: Launch) -> None:
        """Compare the arguments of a launch with the kernel's parameters."""
        arguments = event.arguments
        if arguments is None or event.library:
            return
        kernel = self.state.kernel
        if kernel is None:
            if any(argument.kind is ArgumentKind.INVALID for argument in arguments):
                self._check_refused(event, arguments)
        elif len(kernel.layout) == len(arguments):  # else PG402 says so
            for argument, (offset, size, kind) in zip(arguments, kernel.layout, strict=True):
                if argument.size != size or argument.offset != offset or argument.kind is not kind:
                    self._check(event, kernel.signature)
                    return

    def _check(self, event: Launch, signature: KernelSignature) -> None:
        """Report the arguments that disagree with their parameters, if they really do."""
        wrong: list[tuple[int, str]] = []
        shifted = False
        for index, (argument, parameter) in enumerate(
            zip(event.arguments or (), signature.parameters, strict=True)
        ):
            text = _disagreement(argument, parameter)
            if not text and argument.offset != parameter.offset and not shifted:
                text = (
                    f"is packed at byte {argument.offset} of the parameters, "
                    f"but {_quoted(parameter)} starts at byte {parameter.offset}"
                )
            # Whatever follows a wrong size is out of place too, and no fault of its own.
            shifted = shifted or bool(text)
            if text:
                wrong.append((index, text))
        if not wrong or self.again(event, kernel=event.function):
            return
        told = [
            f"{messages.described_argument(event, index, (event.arguments or ())[index])} {text}"
            for index, text in wrong
        ]
        self.report(
            event,
            f"kernel `{event.function}`: {'; '.join(told)}",
            self._help(event, wrong[0][0], signature.parameters[wrong[0][0]]),
            kernel=messages.kernel_location(event),
            related=messages.declaration(signature),
        )

    def _check_refused(self, event: Launch, arguments: tuple[Argument, ...]) -> None:
        """Report an argument that PyCUDA refuses whatever the kernel takes."""
        if self.again(event, kernel=event.function):
            return
        index = next(i for i, argument in enumerate(arguments) if argument.kind is ArgumentKind.INVALID)
        described = messages.described_argument(event, index, arguments[index])
        self.report(
            event,
            f"kernel `{event.function}`: {described} {_refused(arguments[index])}",
            "give it the size that the kernel takes, such as np.int32(…) or np.float32(…)",
            kernel=messages.kernel_location(event),
        )

    @staticmethod
    def _help(event: Launch, index: int, parameter: Parameter) -> str:
        argument = (event.arguments or ())[index]
        text = messages.launch_argument(event, index).strip("`") or "…"
        if argument.kind is ArgumentKind.BYTES and argument.type_name == "ndarray":
            if parameter.kind is ParameterKind.POINTER:
                return f"wrap the array: cuda.In({text}), cuda.Out({text}) or cuda.InOut({text})"
        elif argument.size == parameter.size and argument.offset != parameter.offset:
            return (
                "PyCUDA packs structs without padding: put the struct before smaller parameters, "
                f"or pass {parameter.offset - argument.offset} bytes of padding before it"
            )
        names = numpy_type(parameter)
        if names is None:
            return f"pass {messages.size(parameter.size)} for {_quoted(parameter)}"
        if event.call.startswith("prepared"):
            return f"in prepare(), write {names[1]!r} for {_quoted(parameter)}"
        if parameter.kind is ParameterKind.POINTER:
            return f"pass device memory for {_quoted(parameter)}"
        conversion = _CONVERSION.match(text)
        return f"write np.{names[0]}({conversion[2] if conversion else text})"


def numpy_type(parameter: Parameter) -> tuple[str, str] | None:
    """Return the numpy type and the prepare() character that fit a parameter."""
    declared = re.sub(r"\b(const|volatile|__restrict__)\b", "", parameter.declared)
    base = " ".join(declared.removesuffix(parameter.name).split())
    named = _BY_NAME.get(base) if parameter.kind is ParameterKind.INTEGER else None
    return named or _BY_SIZE.get((parameter.kind, parameter.size))


def _disagreement(argument: Argument, parameter: Parameter) -> str:
    """Say how an argument disagrees with its parameter, apart from its place; empty if it doesn't."""
    if argument.kind is ArgumentKind.INVALID:
        return f"{_refused(argument)} for {_quoted(parameter)}"
    if _is_array_for_pointer(argument, parameter):
        inside = messages.array(argument.shape, argument.dtype)
        return f"({inside}) is passed by value, but {_quoted(parameter)} is a pointer"
    missing = parameter.size - argument.size
    if missing:
        # A packed record may lack the padding at the end of the struct.
        both_bytes = argument.kind is ArgumentKind.BYTES and parameter.kind is ParameterKind.BYTES
        if both_bytes and 0 < missing < parameter.align:
            return ""
        return f"has {messages.size(argument.size)}, but {_quoted(parameter)} takes {parameter.size}"
    given, wanted = _number_kind(argument), parameter.kind
    if given is None or wanted is ParameterKind.BYTES or argument.size == 2:
        return ""  # half floats have no type of their own in PTX
    if (given is ParameterKind.FLOAT) is (wanted is ParameterKind.FLOAT):
        return ""  # addresses may be passed as integers, and the reverse
    return f"is {_KINDS[given]}, but {_quoted(parameter)} is {_KINDS[wanted]}"


def _is_array_for_pointer(argument: Argument, parameter: Parameter) -> bool:
    """Tell whether a numpy array is passed by value where the kernel takes a pointer."""
    if argument.kind is not ArgumentKind.BYTES or parameter.kind is not ParameterKind.POINTER:
        return False
    # One element of eight bytes may well be an address.
    is_address = argument.size == 8 and argument.dtype in ("int64", "uint64")
    return argument.type_name == "ndarray" and not is_address


def _number_kind(argument: Argument) -> ParameterKind | None:
    """Return what an argument's bytes mean; None where only the program knows."""
    if argument.kind is not ArgumentKind.BYTES:
        return _SAME_KIND.get(argument.kind)
    dtype = argument.dtype or ""
    if dtype.startswith("float"):
        return ParameterKind.FLOAT
    return ParameterKind.INTEGER if dtype.startswith(("int", "uint")) else None


_KINDS = {
    ParameterKind.INTEGER: "an integer",
    ParameterKind.FLOAT: "a float",
    ParameterKind.POINTER: "a pointer",
}


def _refused(argument: Argument) -> str:
    """Say why PyCUDA takes no argument of such a type."""
    if argument.type_name in ("int", "float", "bool"):
        return f"is a Python {argument.type_name}, which PyCUDA refuses because it has no size"
    return "is of a type that PyCUDA does not take"


def _quoted(parameter: Parameter) -> str:
    return f"`{parameter.declared or parameter.name}`"
