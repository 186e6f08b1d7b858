"""The kernels of the loaded modules: their signatures and limits."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from pycuda_guard.checks.state.coverage import named_parameters
from pycuda_guard.events.model import FIRST_PRODUCT, ArgumentKind, ParameterKind, factors

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.events.model import (
        Argument,
        FunctionLimits,
        KernelSignature,
        ModuleId,
        ModuleLoaded,
        Parameter,
    )

_MATCHING = {
    ParameterKind.POINTER: ArgumentKind.POINTER,
    ParameterKind.INTEGER: ArgumentKind.INTEGER,
    ParameterKind.FLOAT: ArgumentKind.FLOAT,
    ParameterKind.BYTES: ArgumentKind.BYTES,
}


@dataclass(slots=True, frozen=True)
class Kernel:
    """What is known of one kernel, put so that a launch is quick to compare.

    ``layout`` is the offset, the size and the kind of the argument that fits each parameter exactly.
    ``writes`` tells for each parameter whether the kernel may write through it. ``scalars`` is the
    position and the item size of each parameter that points to numbers wider than a byte. ``outputs`` are
    the positions of the pointers that it is certain to write through. ``left_out``: it was to be
    instrumented and could not be. ``free`` are the positions of numbers on which nothing depends that is
    known of it, and ``telling`` picks the other arguments.
    """

    signature: KernelSignature
    layout: tuple[tuple[int, int, ArgumentKind], ...]
    writes: tuple[bool, ...]
    scalars: tuple[tuple[int, int], ...]
    outputs: frozenset[int]
    left_out: bool
    free: tuple[int, ...]
    telling: Callable[[tuple[Argument, ...]], object]


class Modules:
    """Kernels by module and function name, as far as they are known."""

    def __init__(self) -> None:
        self.kernels: dict[tuple[ModuleId, str], Kernel] = {}
        self.limits: dict[tuple[ModuleId, str], FunctionLimits] = {}

    def load(self, event: ModuleLoaded) -> None:
        """Enter the kernels of a module."""
        left_out = {name for name, _ in event.left_out}
        for signature in event.kernels or ():
            layout = tuple((p.offset, p.size, _MATCHING[p.kind]) for p in signature.parameters)
            writes = tuple(
                p.kind is ParameterKind.POINTER and not _reads_only(p) for p in signature.parameters
            )
            scalars = tuple(
                (index, p.pointee_size)
                for index, p in enumerate(signature.parameters)
                if p.depth == 1 and p.pointee and p.pointee_size > 1
            )
            is_left_out = bool(left_out & {"", signature.name})
            free = _free(signature)
            rest = [index for index in range(len(layout)) if index not in free]
            self.kernels[event.module, signature.name] = Kernel(
                signature,
                layout,
                writes,
                scalars,
                _outputs(signature),
                is_left_out,
                free,
                itemgetter(*rest) if rest else len,
            )

    def limit(self, event: FunctionLimits) -> None:
        """Enter what the driver says of a function."""
        self.limits[event.module, event.function] = event


def _outputs(signature: KernelSignature) -> frozenset[int]:
    """Return the positions of the pointers that a kernel is certain to write through."""
    parameters = signature.parameters
    return frozenset(
        symbol
        for access in signature.accesses or ()
        if access.kind != "read"
        for symbol, factor in access.address.terms
        if 0 <= symbol < len(parameters) and factor == 1 and parameters[symbol].kind is ParameterKind.POINTER
    )


def _free(signature: KernelSignature) -> tuple[int, ...]:
    """Return the positions of numbers on which nothing depends that is known of a kernel, nor any address."""
    named = set() if signature.coverage is None else named_parameters(signature.coverage)
    for access in signature.accesses or ():
        for form in (access.address, *[form for _, form in access.conditions]):
            for symbol, _ in form.terms:
                named.update((symbol,) if symbol > FIRST_PRODUCT else factors(symbol))
    return tuple(
        index
        for index, parameter in enumerate(signature.parameters)
        if index not in named and _is_number(parameter)
    )


def _is_number(parameter: Parameter) -> bool:
    """Tell whether a parameter is a number and can be no address."""
    is_short = parameter.kind is ParameterKind.INTEGER and parameter.size < 8
    return is_short or parameter.kind is ParameterKind.FLOAT


def _reads_only(parameter: Parameter) -> bool:
    """Tell whether the source declares that the kernel only reads through a pointer parameter."""
    pointee, star, _ = parameter.declared.partition("*")
    return bool(star) and "const" in pointee.split()
