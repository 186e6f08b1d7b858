"""Initial values in PTX to the bytes of a variable."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from pycuda_guard.cpu.variables import Image, Reference, integer_bytes
from pycuda_guard.errors import GuardError
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Immediate, SymbolValue

if TYPE_CHECKING:
    from collections.abc import Collection

    from pycuda_guard.kernels.ptx.ir import Initializer, Variable

#: codes of struct for a floating-point type and for the integer with its bits
_FLOATS = {"f16": ("<e", "<H"), "f32": ("<f", "<I"), "f64": ("<d", "<Q")}


class VariableError(GuardError):
    """A variable's initial value is not one that its declaration allows, or it is defined nowhere."""


def image_of(variable: Variable, symbols: Collection[str]) -> Image:
    """Return the initial image of a variable of the global or const space; raise VariableError.

    ``symbols`` are the names that initial values may refer to.
    """
    if "extern" in variable.linkage:
        raise VariableError(f"variable {variable.name} is declared .extern and defined nowhere")
    if variable.initializer is None:
        return Image(variable.name, variable.size)
    extents = _extents(variable, variable.initializer)
    filler = _Filler(variable, symbols, math.prod(extents))
    filler.fill(variable.initializer, 0, extents)
    data = b"" if not any(filler.data) else bytes(filler.data)
    return Image(variable.name, len(filler.data), data, tuple(filler.references))


def _extents(variable: Variable, initializer: Initializer) -> tuple[int, ...]:
    """Return the array's extents, with that of a vector type as the last; ``[]`` has as many as given."""
    given = len(initializer) if isinstance(initializer, tuple) else 1
    extents = tuple(given if extent is None else extent for extent in variable.dims)
    return (*extents, variable.vector) if variable.vector > 1 else extents


class _Filler:
    """Writes one variable's initializer into bytes."""

    def __init__(self, variable: Variable, symbols: Collection[str], elements: int) -> None:
        self.variable = variable
        self.symbols = symbols
        self.width = TYPE_SIZES[variable.type]
        self.data = bytearray(elements * self.width)
        self.references: list[Reference] = []

    def fill(self, value: Initializer, place: int, extents: tuple[int, ...]) -> int:
        """Write ``value`` for an array of ``extents`` from byte ``place`` on; return where it ends.

        Braces may be left out around inner dimensions; what is missing at the end of a dimension is zero.
        """
        if not isinstance(value, tuple):
            self._scalar(value, place)
            return place + self.width
        at = place
        for element in value:
            at = self.fill(element, at, extents[1:])
        size = self.width * math.prod(extents)
        if at > place + size:
            raise VariableError(f"variable {self.variable.name} has more initial values than elements")
        return place + size

    def _scalar(self, value: Immediate | SymbolValue, place: int) -> None:
        if place + self.width > len(self.data):
            raise VariableError(f"variable {self.variable.name} has more initial values than elements")
        if isinstance(value, Immediate):
            self.data[place : place + self.width] = integer_bytes(
                _bits(value, self.variable.type), self.width
            )
            return
        if value.name not in self.symbols:
            raise VariableError(
                f"the initial value of {self.variable.name} is the address of {value.name}, which is no "
                "variable in global memory and no function"
            )
        self.references.append(Reference(place, self.width, value.name, value.offset, value.mask))


def _bits(value: Immediate, ptx_type: str) -> int:
    """Return an immediate as the bits of a variable's type."""
    if ptx_type not in _FLOATS or value.kind == ptx_type:
        return value.value
    target, bits = _FLOATS[ptx_type]
    if value.kind == "int":
        number = float(value.value)
    else:
        source, source_bits = _FLOATS[value.kind]
        number = struct.unpack(source, struct.pack(source_bits, value.value))[0]
    return int(struct.unpack(bits, struct.pack(target, number))[0])
