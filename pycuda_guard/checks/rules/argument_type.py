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

import ast
import re
import struct
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import ArgumentKind, Launch, ParameterKind
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import Argument, CallFailed, KernelSignature, Parameter
    from pycuda_guard.findings import Related

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

#: the vector types of CUDA C that PyCUDA has, too
_VECTOR = re.compile(
    r"(?:const )?(?P<name>(?:u?(?:char|short|int|long)|float|double(?![34]))(?P<count>[1-4])) "
)

#: numpy's types of numbers, of which a conversion such as ``np.int64(n)`` is a call
_NUMBER = re.compile(
    r"(?:bool|byte|short|intc|int|long|longlong|intp|half|single|double|float|u\w+|(?:int|float)\d+)_?"
)


class ArgumentType(Rule):
    """PG401."""

    code: ClassVar[str] = "PG401"
    name: ClassVar[str] = "argument-type"
    severity: ClassVar[Severity] = Severity.ERROR
    only_new = frozenset({Launch})

    def on_launch(self, event: Launch) -> None:
        """Compare the arguments of a launch with the kernel's parameters."""
        arguments, kernel = event.arguments, self.state.plan.kernel
        if arguments is None or kernel is None or event.library:
            return
        if len(kernel.layout) != len(arguments):
            return  # PG402 says so
        for argument, (offset, size, kind) in zip(arguments, kernel.layout, strict=True):
            if argument.size != size or argument.offset != offset or argument.kind is not kind:
                if not _is_refused(event):
                    self._check(event, kernel.signature, None)
                return

    def on_call_failed(self, event: CallFailed) -> None:
        """Look at the arguments of a launch that PyCUDA refused to pack."""
        launch = self.state.announced(event.announced) if event.announced else None
        if event.status or not isinstance(launch, Launch) or launch.library or not _is_refused(launch):
            return
        signature = self.state.signature(launch)
        if signature is None:
            self._check_unknown(launch, event)
        elif len(signature.parameters) == len(launch.arguments or ()):
            self._check(launch, signature, event)

    def _check(self, launch: Launch, signature: KernelSignature, failed: CallFailed | None) -> None:
        """Report the arguments that disagree with their parameters, if they really do."""
        arguments, parameters = launch.arguments or (), signature.parameters
        wrong: list[tuple[int, str]] = []
        shifted = False
        for index, (argument, parameter) in enumerate(zip(arguments, parameters, strict=True)):
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
        if wrong:
            told = [
                f"{messages.described_argument(launch, index, arguments[index])} {text}"
                for index, text in wrong
            ]
            if _is_permuted(arguments, parameters):
                help = (
                    f"pass them in the kernel's order: {', '.join(messages.declared(p) for p in parameters)}"
                )
            else:
                help = self._help(launch, wrong[0][0], parameters[wrong[0][0]])
            severity = Severity.NOTE if self._is_harmless(launch, signature, wrong) else self.severity
            if severity is Severity.NOTE:
                told.append("its value arrives by chance of the layout")
            self._tell(launch, failed, "; ".join(told), help, messages.declaration(signature), severity)

    def _check_unknown(self, launch: Launch, failed: CallFailed) -> None:
        """Report an argument that PyCUDA refuses whatever the kernel takes."""
        arguments = launch.arguments or ()
        index = next(i for i, argument in enumerate(arguments) if argument.kind is ArgumentKind.INVALID)
        text = f"{messages.described_argument(launch, index, arguments[index])} {_refused(arguments[index])}"
        help = "give it the size that the kernel takes, such as np.int32(…) or np.float32(…)"
        self._tell(launch, failed, text, help, (), self.severity)

    def _tell(
        self,
        launch: Launch,
        failed: CallFailed | None,
        text: str,
        help: str,
        places: tuple[Related, ...],
        severity: Severity,
    ) -> None:
        """Report what is wrong; where PyCUDA refused the call, the program may have counted on that."""
        if severity is Severity.ERROR:
            self.explain(launch.sequence)
        failure = failed.sequence if failed is not None else None
        event: Launch | CallFailed = failed or launch
        if self.again(event, site=launch.site, kernel=launch.function, failure=failure, severity=severity):
            return
        self.report(
            event,
            f"kernel `{launch.function}`: {text}",
            help,
            site=launch.site,
            kernel=messages.kernel_location(launch),
            related=places,
            failure=failure,
            severity=severity,
        )

    @staticmethod
    def _is_harmless(launch: Launch, signature: KernelSignature, wrong: list[tuple[int, str]]) -> bool:
        """Tell whether the kernel gets the right values all the same: padding takes what is too much."""
        arguments, parameters = launch.arguments or (), signature.parameters
        return (
            all(_is_kept(arguments[index], parameters[index]) for index, _ in wrong)
            and all(a.offset == p.offset for a, p in zip(arguments, parameters, strict=True))
            and max(a.offset + a.size for a in arguments) <= signature.packed_size
        )

    @staticmethod
    def _help(event: Launch, index: int, parameter: Parameter) -> str:
        argument = (event.arguments or ())[index]
        text = messages.launch_argument(event, index).strip("`") or "…"
        is_array = argument.kind is ArgumentKind.BYTES and argument.type_name == "ndarray"
        if is_array and parameter.kind is ParameterKind.POINTER:
            return f"wrap the array: cuda.In({text}), cuda.Out({text}) or cuda.InOut({text})"
        if argument.size == parameter.size and argument.offset < parameter.offset:
            return (
                "PyCUDA packs structs without padding: put the struct before smaller parameters, "
                f"or pass {messages.size(parameter.offset - argument.offset)} of padding before it"
            )
        if argument.misplaced is not None and parameter.kind is ParameterKind.BYTES:
            return "give the dtype C's padding: np.dtype([…], align=True)"
        names = numpy_type(parameter)
        if names is None:
            if parameter.kind is ParameterKind.FLOAT or argument.type_name == "float16":
                return f"pass its bits: np.float16({_converted(text)}).view(np.uint16)"
            vector = _VECTOR.match(parameter.declared)
            if vector is not None and parameter.kind is ParameterKind.BYTES and event.call == "__call__":
                return f"write gpuarray.vec.make_{vector['name']}({_components(argument, text, vector)})"
            return f"pass {messages.size(parameter.size)} for {_quoted(parameter)}"
        if event.call.startswith("prepared"):
            return f"in prepare(), write {names[1]!r} for {_quoted(parameter)}"
        if parameter.kind is ParameterKind.POINTER:
            return f"pass device memory for {_quoted(parameter)}"
        return f"write np.{names[0]}({_converted(text)})"


def _is_refused(launch: Launch) -> bool:
    """Tell whether PyCUDA packs no such arguments."""
    return any(argument.kind is ArgumentKind.INVALID for argument in launch.arguments or ())


def _components(argument: Argument, text: str, vector: re.Match[str]) -> str:
    """Return what the vector is to be made of: the array's elements, if they are as many."""
    count = int(vector["count"])
    is_array = argument.type_name == "ndarray" and argument.shape == (count,) and text.isidentifier()
    return f"*{text}" if is_array else ", ".join("xyzw"[:count])


def _is_permuted(arguments: tuple[Argument, ...], parameters: tuple[Parameter, ...]) -> bool:
    """Tell whether the very same arguments in another order are what the kernel takes."""
    given = [(argument.size, _SAME_KIND.get(argument.kind)) for argument in arguments]
    taken = [(parameter.size, parameter.kind) for parameter in parameters]
    return given != taken and Counter(given) == Counter(taken)


def _converted(text: str) -> str:
    """Return what a conversion such as ``np.int64(n)`` converts, or the text itself."""
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return text
    if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords:
        return text
    name, (given,) = call.func, call.args
    if not isinstance(name, ast.Attribute) or ast.unparse(name.value) not in ("np", "numpy"):
        return text
    if isinstance(given, ast.Starred) or not _NUMBER.fullmatch(name.attr):
        return text
    return ast.get_source_segment(text, given) or text


def numpy_type(parameter: Parameter) -> tuple[str, str] | None:
    """Return the numpy type and the prepare() character that fit a parameter."""
    declared = re.sub(r"\b(const|volatile|__restrict__)\b", "", parameter.declared)
    base = " ".join(declared.removesuffix(parameter.name).split())
    named = _BY_NAME.get(base) if parameter.kind is ParameterKind.INTEGER else None
    return named or _BY_SIZE.get((parameter.kind, parameter.size))


def _disagreement(argument: Argument, parameter: Parameter) -> str:
    """Say how an argument disagrees with its parameter, apart from its place; empty if it doesn't."""
    if argument.kind is ArgumentKind.INVALID:
        return f"for {_quoted(parameter)} {_refused(argument)}"
    if _is_array_for_pointer(argument, parameter):
        return f"is passed by value, but {_quoted(parameter)} is a pointer"
    missing = parameter.size - argument.size
    if missing:
        text = f"has {messages.size(argument.size)}, but {_quoted(parameter)} takes {parameter.size}"
        if argument.kind is not ArgumentKind.BYTES or parameter.kind is not ParameterKind.BYTES:
            return text
        if argument.misplaced is not None and missing > 0:
            return f"{text}: C puts padding before `{argument.misplaced}`, this dtype none"
        # A record may lack the padding at the end of the struct.
        return "" if 0 < missing < parameter.align else text
    given, wanted = _number_kind(argument), parameter.kind
    if given is None or wanted is ParameterKind.BYTES or argument.size == 2:
        return ""  # half floats have no type of their own in PTX
    if (given is ParameterKind.FLOAT) is (wanted is ParameterKind.FLOAT):
        return ""  # addresses may be passed as integers, and the reverse
    if _may_be_bits(argument, given):
        return ""
    return f"is {_KINDS[given]}, but {_quoted(parameter)} is {_KINDS[wanted]}"


def _may_be_bits(argument: Argument, given: ParameterKind) -> bool:
    """Tell whether a number may be meant as the bits of a number of the other kind.

    Zero is the same in both. Bits of a float are a huge integer, those of an integer a tiny float.
    """
    value, size = argument.value, argument.size
    if value is None:
        return False
    if given is ParameterKind.FLOAT:
        return abs(value) < _SMALLEST[size]
    read: float = struct.unpack(_FLOATS[size], (int(value) % (1 << 8 * size)).to_bytes(size, "little"))[0]
    return value == 0 or 2.0**-100 <= abs(read) <= 2.0**100


_FLOATS = {4: "<f", 8: "<d"}
_SMALLEST = {4: 2.0**-126, 8: 2.0**-1022}


def _is_kept(argument: Argument, parameter: Parameter) -> bool:
    """Tell whether a number that is too wide has its value in the bytes that the kernel reads."""
    bits = 8 * parameter.size
    value = argument.value
    return (
        argument.kind is ArgumentKind.INTEGER
        and parameter.kind is ParameterKind.INTEGER
        and argument.size > parameter.size
        and type(value) is int
        and -(1 << (bits - 1)) <= value < 1 << bits
    )


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
    if argument.type_name == "bool":
        return "is a bool, which PyCUDA refuses, Python's and numpy's alike"
    if argument.type_name in ("int", "float"):
        return f"is a Python {argument.type_name}, which PyCUDA refuses because it has no size"
    return "is of a type that PyCUDA does not take"


def _quoted(parameter: Parameter) -> str:
    return f"`{messages.declared(parameter)}`"
