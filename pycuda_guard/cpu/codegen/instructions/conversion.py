"""``cvt`` between all numbers, and addresses between spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.floating import (
    canonical,
    clipped,
    flush,
    flush_rounded,
    saturated,
    write_result,
)
from pycuda_guard.cpu.codegen.instructions.moves import read_bits
from pycuda_guard.cpu.codegen.instructions.nans import CANONICAL_NAN
from pycuda_guard.cpu.codegen.instructions.operands import write_halves
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.rounding import (
    MODES,
    Pair,
    exact_sum,
    exactly,
    float_of_16,
    round_pair,
    widen,
)
from pycuda_guard.cpu.codegen.instructions.values import (
    clamp,
    convert,
    extend,
    integer,
    intrinsic,
    is_nan,
)
from pycuda_guard.cpu.codegen.types import DOUBLE, I16, I64, bits_type, is_signed, value_type, width

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction

#: formats whose NaNs keep their bits when they become an f32 or f64
_PAYLOADS = frozenset({"f64", "bf16"})
_FLOATS = frozenset({"f16", "bf16", "f32", "f64"})
_TO_INTEGRAL = {"rni": "roundeven", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}


class _Cvt:
    """The modifiers of a ``cvt``, and the steps that they ask for."""

    def __init__(self, e: Emitter, m: Modifiers) -> None:
        self.e = e
        self.integral = m.one_of(*_TO_INTEGRAL, default="")
        self.mode = m.one_of(*MODES, default="")
        self.saturate = m.flag("sat")
        self.relu = m.flag("relu")
        self._ftz = m.flag("ftz")

    def read(self, i: Instruction, index: int, kind: str) -> ir.Value:
        """Return a floating-point operand as float or double."""
        if kind in ("f16", "bf16"):
            return float_of_16(self.e, self.e.read(i.operands[index], "b16"), kind)
        value = self.e.read(i.operands[index], kind)
        return flush(self.e, value) if self._ftz else value

    def finish(self, value: ir.Value) -> ir.Value:
        """Return a float or double after ``.sat``, ``.relu`` and ``.ftz``."""
        if self.saturate:
            value = saturated(self.e, value)
        if self.relu:
            value = clipped(self.e, value)
        return flush(self.e, value) if self._ftz else value

    def keep_denormals(self) -> None:
        """Ignore ``.ftz``, as ptxas does where an f32 becomes an f16."""
        self._ftz = False

    def to_f32(self, value: ir.Value) -> ir.Value:
        """Round a double to a float, flushed if the instruction says so."""
        exact, mode = exactly(value), self.mode or "rn"
        result = round_pair(self.e, exact, "f32", mode)
        return flush_rounded(self.e, result, exact, mode) if self._ftz else result

    def narrow(self, pair: Pair, target: str) -> ir.Value:
        """Round to a 16-bit format after ``.sat`` and ``.relu``, which only choose between exact numbers."""
        chosen = self.finish(pair.value) if self.saturate or self.relu else pair.value
        kept = self.e.builder.fcmp_ordered("==", chosen, pair.value)
        error = self.e.builder.select(kept, pair.error, ir.Constant(DOUBLE, 0.0))
        return round_pair(self.e, Pair(chosen, error), target, self.mode or "rn")


@lowers("cvt", limits="no 8-, 6- or 4-bit floating point, no .rs rounding")
def convert_number(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvt``: between integers, floating-point numbers and both; ``.pack`` clamps integers."""
    if m.flag("pack"):
        return _pack(e, i, m)
    target, source = m.types(2)
    if target == "tf32":
        return _to_tf32(e, i, m)
    cvt = _Cvt(e, m)
    if target in ("f16x2", "bf16x2"):
        return _pack_floats(e, i, cvt, target.removesuffix("x2"), source)
    unknown = [kind for kind in (target, source) if kind not in _FLOATS and kind[0] not in "us"]
    if unknown:
        e.unsupported(f"type .{unknown[0]}")
    if source in _FLOATS and target in _FLOATS:
        return _float_to_float(e, i, cvt, target, source)
    if source in _FLOATS:
        return _float_to_integer(e, i, cvt, target, source)
    if target in _FLOATS:
        return _integer_to_float(e, i, cvt, target, source)
    value = e.read(i.operands[1], source)
    if cvt.saturate:
        return e.write(i.operands[0], saturate(e, value, source, target), target)
    return e.write(i.operands[0], extend(e, value, width(target), is_signed(source)), target)


def _pack_floats(e: Emitter, i: Instruction, cvt: _Cvt, target: str, source: str) -> None:
    """Round two f32 to 16 bits: the first operand becomes the high half."""
    if source != "f32":
        e.unsupported(f"packing of type .{source}")
    low, high = (cvt.narrow(exactly(widen(e, cvt.read(i, index, source))), target) for index in (2, 1))
    write_halves(e, i.operands[0], low, high)


def _to_tf32(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """Round an f32 to 10 bits of fraction, ties away from zero or to even; it stays in 32 bits."""
    b = e.builder
    mode = m.one_of("rna", "rn", "rz")
    relu = m.flag("relu")
    value = e.read(i.operands[1], "f32")
    value = clipped(e, value) if relu else value
    pattern = given = e.bits(value)
    if mode == "rna":
        given = read_bits(e, i.operands[1], "f32")  # a NaN's bits as on a GPU: they count
        pattern = b.add(given, integer(32, 0x1000))
    elif mode == "rn":
        odd = b.and_(b.lshr(pattern, integer(32, 13)), integer(32, 1))
        pattern = b.add(pattern, b.add(odd, integer(32, 0xFFF)))
    rounded = b.and_(pattern, integer(32, ~0x1FFF))
    # of an infinity nothing is rounded; ptxas adds to no NaN either, when the mode is .rna
    special = b.and_(given, integer(32, ~0x1FFF)) if mode == "rna" else integer(32, CANONICAL_NAN)
    e.write(i.operands[0], b.select(is_nan(e, value), special, rounded), "b32")


def _float_to_float(e: Emitter, i: Instruction, cvt: _Cvt, target: str, source: str) -> None:
    if (target, source) == ("f16", "f32"):
        cvt.keep_denormals()
    value = cvt.read(i, 1, source)
    if cvt.integral:
        value = intrinsic(e, _TO_INTEGRAL[cvt.integral], value)
    if target in ("f16", "bf16"):
        pattern = cvt.narrow(exactly(widen(e, value)), target)
        if (target, source) == ("f16", "f64") and not cvt.saturate:
            pattern = e.builder.select(is_nan(e, value), _upper_bits(e, value), pattern)
        return e.write(i.operands[0], pattern, "b16")
    if target == "f32" and source == "f64":
        value = cvt.to_f32(value)
    elif target == "f64":
        value = widen(e, canonical(e, value))
    if source in _PAYLOADS:
        return e.write(i.operands[0], cvt.finish(value), target)
    return write_result(e, i.operands[0], cvt.finish(value), target)


def _upper_bits(e: Emitter, nan: ir.Value) -> ir.Value:
    """The f16 NaN of a double that is NaN: its sign and the upper bits of its fraction."""
    b = e.builder
    pattern = b.bitcast(nan, I64)
    sign = b.and_(b.lshr(pattern, integer(64, 48)), integer(64, 0x8000))
    fraction = b.and_(b.lshr(pattern, integer(64, 42)), integer(64, 0x1FF))
    return b.trunc(b.or_(b.or_(sign, fraction), integer(64, 0x7E00)), I16)


def _float_to_integer(e: Emitter, i: Instruction, cvt: _Cvt, target: str, source: str) -> None:
    """Clamp to the target's range; NaN is 0, or 1 followed by zeros where a 64-bit type is involved."""
    if not cvt.integral:
        e.unsupported("conversion to an integer without .rni, .rzi, .rmi or .rpi")
    value = cvt.read(i, 1, source)
    rounded = intrinsic(e, _TO_INTEGRAL[cvt.integral], value)
    result = convert(e, "fptosi.sat" if is_signed(target) else "fptoui.sat", rounded, bits_type(target))
    if source == "f64" or width(target) == 64:
        size = width(target)
        result = e.builder.select(is_nan(e, value), integer(size, 1 << (size - 1)), result)
    e.write(i.operands[0], result, target)


def _integer_to_float(e: Emitter, i: Instruction, cvt: _Cvt, target: str, source: str) -> None:
    value = e.read(i.operands[1], source)
    if target in ("f32", "f64") and cvt.mode in ("", "rn"):
        step = e.builder.sitofp if is_signed(source) else e.builder.uitofp
        return e.write(i.operands[0], cvt.finish(step(value, value_type(target))), target)
    pair = _exact_double(e, value, is_signed(source))
    if target in ("f16", "bf16"):
        return e.write(i.operands[0], cvt.narrow(pair, target), "b16")
    return e.write(i.operands[0], cvt.finish(round_pair(e, pair, target, cvt.mode)), target)


def _exact_double(e: Emitter, value: ir.Value, signed: bool) -> Pair:
    """An integer as an exact pair of doubles."""
    b = e.builder
    step = b.sitofp if signed else b.uitofp
    if value.type.width < 64:
        return exactly(step(value, DOUBLE))
    low = b.uitofp(b.and_(value, integer(64, 0xFFFF_FFFF)), DOUBLE)
    high = (b.ashr if signed else b.lshr)(value, integer(64, 32))
    return exact_sum(e, b.fmul(step(high, DOUBLE), ir.Constant(DOUBLE, 2.0**32)), low)


def saturate(e: Emitter, value: ir.Value, source: str, target: str) -> ir.Value:
    """Clamp an integer of type ``source`` to the range of ``target`` and change its width."""
    size = width(target)
    low, high = _range(size, is_signed(target))
    # room for every value of either type; LLVM narrows the computation again
    room = 128 if 64 in (width(source), size) else 64
    return extend(e, clamp(e, extend(e, value, room, is_signed(source)), low, high), size, False)


def _range(size: int, signed: bool) -> tuple[int, int]:
    return (-(1 << (size - 1)), (1 << (size - 1)) - 1) if signed else (0, (1 << size) - 1)


_PACKED = {f"{sign}{size}": (size, sign == "s") for sign in "us" for size in (2, 4, 8, 16)}


def _pack(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvt.pack``: a and b clamped to few bits, put beside each other and below c."""
    b = e.builder
    m.flag("sat")
    size, signed = _PACKED[m.one_of(*_PACKED)]
    m.flag("s32")
    m.flag("b32")
    low, high = _range(size, signed)
    first, second = (clamp(e, e.read(operand, "s32"), low, high) for operand in i.operands[1:3])
    mask = integer(32, (1 << size) - 1)
    result = b.or_(b.shl(b.and_(first, mask), integer(32, size)), b.and_(second, mask))
    if size < 16:
        result = b.or_(result, b.shl(e.read(i.operands[3], "b32"), integer(32, 2 * size)))
    e.write(i.operands[0], result, "b32")
