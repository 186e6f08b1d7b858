"""PTX's types as LLVM's: a register holds bits of a width, an instruction says how to read them."""

from __future__ import annotations

from llvmlite import ir

from pycuda_guard.kernels.ptx.ir import TYPE_SIZES

I1 = ir.IntType(1)
I8 = ir.IntType(8)
I16 = ir.IntType(16)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
HALF = ir.HalfType()
FLOAT = ir.FloatType()
DOUBLE = ir.DoubleType()
VOID = ir.VoidType()
POINTER = ir.PointerType()

_VALUE_TYPES: dict[str, ir.Type] = {
    "pred": I1,
    "f16": HALF,
    "f32": FLOAT,
    "f64": DOUBLE,
    "f16x2": ir.VectorType(HALF, 2),
    "bf16x2": ir.VectorType(I16, 2),
}


def width(ptx_type: str) -> int:
    """Bits of a PTX type; 1 for ``pred``."""
    return 1 if ptx_type == "pred" else 8 * TYPE_SIZES[ptx_type]


def bits_type(ptx_type: str) -> ir.IntType:
    """LLVM integer of the width of a PTX type: what a register is kept as."""
    return ir.IntType(width(ptx_type))


def value_type(ptx_type: str) -> ir.Type:
    """LLVM type that instructions of a PTX type compute with.

    Integers and untyped bits are ``iN``; bfloat16 is handled as its bits (``i16``, ``<2 x i16>``),
    tf32 as the ``i32`` that holds it.
    """
    return _VALUE_TYPES.get(ptx_type) or bits_type(ptx_type)


def scalar_width(kind: ir.Type) -> int:
    """Bits of an LLVM scalar: an integer or a floating-point number."""
    if isinstance(kind, ir.IntType):
        return int(kind.width)
    if isinstance(kind, ir.HalfType):
        return 16
    return 32 if isinstance(kind, ir.FloatType) else 64


def is_signed(ptx_type: str) -> bool:
    """Whether the type is a signed integer."""
    return ptx_type.startswith("s")


def is_float(ptx_type: str) -> bool:
    """Whether the type is an IEEE floating-point scalar that LLVM computes with (f16, f32, f64)."""
    return ptx_type in ("f16", "f32", "f64")


def constant(ptx_type: str, bits: int) -> ir.Constant:
    """Return the constant of a PTX type with this bit pattern (as ``value_type`` has it)."""
    kind = value_type(ptx_type)
    number = ir.Constant(bits_type(ptx_type), bits & ((1 << width(ptx_type)) - 1))
    return number if isinstance(kind, ir.IntType) else number.bitcast(kind)
