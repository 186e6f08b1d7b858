"""Reads of ``struct pg_block`` and of kernel parameters: what is the same for all threads of a block.

Kernels read all of it once, before the loops over threads, and hand it to their regions as arguments
(:class:`Invariants`), so that nothing in those loops depends on LLVM finding out that it does not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.codegen.types import I8, I32, I64, POINTER

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.metadata import Metadata
    from pycuda_guard.kernels.ptx.ir import Function

_OFFSETS = abi.block_offsets()
_WIDTHS = {name: abi.SIZES[kind] for name, kind, _ in abi.BLOCK_FIELDS}
#: size of ``struct pg_block`` in bytes
BLOCK_BYTES = sum(count * abi.SIZES[kind] for _, kind, count in abi.BLOCK_FIELDS)

#: what identifies an invariant: ("field", name, index), ("pointer", name) or ("parameter", offset, bits)
Key = tuple[str | int, ...]

_FIELDS = ("shared", "local", "threads", "dynamic_shared", "local_stride")
_POINTERS = ("parameters", "frame", "exchange", "snapshot", "warp_mask")


def read_field(b: ir.IRBuilder, metadata: Metadata, block: ir.Value, name: str, index: int = 0) -> ir.Value:
    """Emit the read of a field (``i32`` or ``i64``) of the block."""
    kind = I64 if _WIDTHS[name] == 8 else I32
    value = b.load(_place(b, block, name, index), typ=kind, align=_WIDTHS[name])
    metadata.field(value, name, index)
    return value


def read_pointer(
    b: ir.IRBuilder, metadata: Metadata, block: ir.Value, name: str, readable: int = 0
) -> ir.Value:
    """Emit the read of a field that holds a host address, with ``readable`` bytes behind it."""
    value = b.load(_place(b, block, name, 0), typ=POINTER, align=8)
    metadata.pointee(value, readable)
    return value


def _place(b: ir.IRBuilder, block: ir.Value, name: str, index: int) -> ir.Value:
    offset = _OFFSETS[name] + index * _WIDTHS[name]
    return b.gep(block, [ir.Constant(I64, offset)], source_etype=I8)


class Invariants:
    """The values that the regions of one kernel get as arguments, in the order of ``keys``."""

    def __init__(self, function: Function, offsets: dict[str, int], parameter_bytes: int) -> None:
        self._parameter_bytes = parameter_bytes
        self.keys: list[Key] = [("field", name, 0) for name in _FIELDS]
        self.keys += [("field", "grid", axis) for axis in range(3)]
        self.keys += [("pointer", name, 0) for name in _POINTERS]
        for parameter in function.parameters:
            if not parameter.dims and parameter.size in (1, 2, 4, 8):
                self.keys.append(("parameter", offsets[parameter.name], 8 * parameter.size))

    def types(self) -> list[ir.Type]:
        """Return the LLVM types of the values."""
        return [self._type(key) for key in self.keys]

    def read(self, b: ir.IRBuilder, metadata: Metadata, block: ir.Value) -> list[ir.Value]:
        """Emit the reads of all values."""
        values = []
        parameters: ir.Value = None
        for key in self.keys:
            match key:
                case ("field", str(name), int(index)):
                    value = read_field(b, metadata, block, name, index)
                case ("pointer", "parameters", _):
                    value = parameters = read_pointer(b, metadata, block, "parameters", self._parameter_bytes)
                case ("pointer", str(name), _):
                    value = read_pointer(b, metadata, block, name)
                case (_, offset, int(bits)):
                    place = b.gep(parameters, [ir.Constant(I64, offset)], source_etype=I8)
                    value = b.load(place, typ=ir.IntType(bits), align=1)
                    metadata.constant(value)
            values.append(value)
        return values

    def _type(self, key: Key) -> ir.Type:
        match key:
            case ("parameter", _, bits):
                return ir.IntType(bits)
            case ("field", str(name), _) if _WIDTHS[name] == 4:
                return I32
            case ("field", _, _):
                return I64
        return POINTER
