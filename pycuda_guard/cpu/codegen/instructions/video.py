"""Video instructions: on bytes and half-words of registers, one, two or four at a time.

Everything is computed with 64 bits, in which no intermediate result is lost. The third operand takes the
result in (*merge*) or is added to it and the like (*secondary operation*).

GPUs of compute capability 5.0 and above have no such instructions: ptxas writes others for them. Where its
choice for those on one number is not what the PTX manual says, the GPU is followed: the rules marked *as
ptxas does* were seen in what ptxas 13.0 assembles, and hold for all results of an H200 that were compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.values import clamp, extend, integer, maximum, minimum, number
from pycuda_guard.cpu.codegen.types import I32, I64, is_signed
from pycuda_guard.kernels.ptx.ir import Register

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_OPERATIONS = ("vadd", "vsub", "vabsdiff", "vmin", "vmax")
_AVERAGES = ("vavrg2", "vavrg4")
_TESTS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_SCALES = {"": 0, "shr7": 7, "shr15": 15}


@dataclass(frozen=True, slots=True)
class _Field:
    """A part of a word: ``bits`` wide, from bit ``place`` on."""

    bits: int
    place: int


def _field(part: str) -> _Field:
    """Return the field that ``b0`` … ``b3``, ``h0``, ``h1`` name; nothing is the whole word."""
    bits = {"b": 8, "h": 16}.get(part[:1], 32)
    return _Field(bits, bits * int(part[1:] or 0))


def _split(operand: Operand) -> tuple[Operand, str, bool]:
    """Split an operand into what is read or written, its part, and whether it is negated."""
    if not isinstance(operand, Register):
        return operand, "", False
    return Register(operand.name, operand.special), operand.part, operand.negative


def _word(e: Emitter, operand: Operand) -> ir.Value:
    return e.read(_split(operand)[0], "b32")


def _wide(e: Emitter, word: ir.Value, field: _Field, signed: bool) -> ir.Value:
    """Return a field of a word, extended to 64 bits."""
    b = e.builder
    shifted = b.lshr(word, number(word, field.place)) if field.place else word
    return extend(e, extend(e, shifted, field.bits, False), 64, signed)


def _limited(e: Emitter, value: ir.Value, bits: int, signed: bool) -> ir.Value:
    """Return a 64-bit number clamped to the range of an integer type."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return clamp(e, value, low, high)


def _computed(e: Emitter, opcode: str, a: ir.Value, b: ir.Value) -> ir.Value:
    """Return the result of an operation on two 64-bit numbers."""
    f = e.builder
    match opcode.rstrip("24"):
        case "vadd":
            return f.add(a, b)
        case "vsub":
            return f.sub(a, b)
        case "vmin":
            return minimum(e, a, b, True)
        case "vmax":
            return maximum(e, a, b, True)
        case "vabsdiff":
            return f.sub(maximum(e, a, b, True), minimum(e, a, b, True))
    # vavrg rounds up, but a negative sum towards zero
    total = f.add(a, b)
    up = f.zext(f.icmp_signed(">=", total, integer(64, 0)), total.type)
    return f.ashr(f.add(total, up), integer(64, 1))


def _compared(e: Emitter, test: str, a: ir.Value, b: ir.Value) -> ir.Value:
    return e.builder.zext(e.builder.icmp_signed(_TESTS[test], a, b), a.type)


# --- one number at a time -----------------------------------------------------------------------


class _Scalar:
    """The operands of a scalar instruction, and how its result is written."""

    def __init__(self, e: Emitter, i: Instruction, m: Modifiers) -> None:
        self.e = e
        self.i = i
        self.saturates = m.flag("sat")
        self.secondary = m.one_of("add", "min", "max", default="none")
        self.target, self.part, _ = _split(i.operands[0])
        if (len(i.operands) == 3) != (self.secondary == "none" and not self.part):
            e.unsupported("third operand and no use for it, or the reverse")

    def source(self, index: int, kind: str) -> ir.Value:
        """Return a source operand's field as a 64-bit number."""
        operand = self.i.operands[index]
        return _wide(self.e, _word(self.e, operand), _field(_split(operand)[1]), is_signed(kind))

    def limited(self, value: ir.Value, signed: bool) -> ir.Value:
        """Return a 64-bit result after ``.sat``, as ptxas does it.

        For a part of a word the result counts as unsigned, so that of negative ones the largest is left; for
        a word, an unsigned one is only kept from being negative.
        """
        if self.part:
            bits = _field(self.part).bits
            return minimum(self.e, value, integer(64, (1 << (bits - signed)) - 1))
        return _limited(self.e, value, 32, True) if signed else maximum(self.e, value, integer(64, 0), True)

    def write(self, value: ir.Value, kind: str) -> None:
        """Write a 64-bit result, after the secondary operation or into its part of the third operand."""
        e, b = self.e, self.e.builder
        signed, field = is_signed(kind), _field(self.part)
        if self.secondary == "add":
            value = b.add(value, b.zext(_word(e, self.i.operands[3]), I64))
        elif self.secondary != "none":
            # as ptxas does: 64 bits are compared, so that a negative number is a large unsigned one
            choose = minimum if self.secondary == "min" else maximum
            value = choose(e, value, extend(e, _word(e, self.i.operands[3]), 64, signed), signed)
        word = b.trunc(value, I32)
        if self.part:
            mask = ((1 << field.bits) - 1) << field.place
            # as ptxas does: the upper half takes the result's upper half
            placed = word if self.part == "h1" else b.shl(word, integer(32, field.place))
            placed = b.and_(placed, integer(32, mask))
            word = b.or_(placed, b.and_(_word(e, self.i.operands[3]), integer(32, ~mask)))
        e.write(self.target, word, "b32")


@lowers(*_OPERATIONS)
def arithmetic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vadd``, ``vsub``, ``vabsdiff``, ``vmin``, ``vmax``."""
    scalar = _Scalar(e, i, m)
    target, *kinds = m.types(3)
    a, b = (scalar.source(index, kind) for index, kind in enumerate(kinds, 1))
    result = _computed(e, i.opcode, a, b)
    if scalar.saturates:
        result = scalar.limited(result, is_signed(target))
    if i.opcode in ("vadd", "vsub"):
        result = extend(e, extend(e, result, 32, True), 64, True)
    scalar.write(result, target)


@lowers("vshl", "vshr")
def shift(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vshl``, ``vshr``: by up to 32 bits (``.clamp``) or by the count's low five bits (``.wrap``).

    ``.sat`` limits the word, also where a part of it is written; as ptxas does, it looks at 34 bits.
    """
    scalar = _Scalar(e, i, m)
    mode = m.one_of("clamp", "wrap")
    target, *kinds = m.types(3)
    value, count = (scalar.source(index, kind) for index, kind in enumerate(kinds, 1))
    limit = integer(64, 32 if mode == "clamp" else 31)
    count = minimum(e, count, limit) if mode == "clamp" else e.builder.and_(count, limit)
    result = (e.builder.shl if i.opcode == "vshl" else e.builder.ashr)(value, count)
    if scalar.saturates:
        result = extend(e, extend(e, result, 34, True), 64, True)
        result = _limited(e, result, 32, is_signed(target))
        result = extend(e, extend(e, result, 32, True), 64, True)
    scalar.write(result, target)


@lowers("vset")
def compare(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vset``: 1 where the comparison holds, else 0."""
    scalar = _Scalar(e, i, m)
    test = m.one_of(*_TESTS)
    kinds = m.types(2)
    a, b = (scalar.source(index, kind) for index, kind in enumerate(kinds, 1))
    scalar.write(_compared(e, test, a, b), kinds[0])


@lowers("vmad")
def multiply_add(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vmad``: ``a * b + c``, one more with ``.po``, shifted right; signed if anything in it is.

    As ptxas does, whole words and the third operand are signed in any case.
    """
    b = e.builder
    saturates, plus_one = m.flag("sat"), m.flag("po")
    scale = _SCALES[m.one_of("shr7", "shr15", default="")]
    _, *kinds = m.types(3)
    factors, negative = [], False
    for operand, kind in zip(i.operands[1:3], kinds, strict=True):
        _, part, minus = _split(operand)
        factors.append(_wide(e, _word(e, operand), _field(part), is_signed(kind) or not part))
        negative ^= minus
    third, _, minus = _split(i.operands[3])
    signed = negative or minus or any(map(is_signed, kinds))
    product = b.mul(*factors)
    product = b.neg(product) if negative else product
    addend = extend(e, e.read(third, "b32"), 64, True)
    total = b.sub(product, addend) if minus else b.add(product, addend)
    if plus_one:
        total = b.add(total, number(total, 1))
    total = (b.ashr if signed else b.lshr)(total, number(total, scale))
    if saturates:
        total = _limited(e, total, 32, signed)
    e.write(i.operands[0], b.trunc(total, I32), "b32")


# --- two or four numbers at a time --------------------------------------------------------------


class _Lanes:
    """The operands of a packed instruction, and how its results are written."""

    def __init__(self, e: Emitter, i: Instruction, m: Modifiers) -> None:
        self.e = e
        self.i = i
        self.count = int(i.opcode[-1])
        self.bits = 32 // self.count
        self.saturates = m.flag("sat")
        self.adds = m.flag("add")
        self.target, part, _ = _split(i.operands[0])
        self.mask = {int(digit) for digit in part[1:]} or set(range(self.count))
        self._words = [_word(e, operand) for operand in i.operands[1:3]]

    def sources(self, index: int, kind: str) -> list[ir.Value]:
        """Return the fields that a source operand's selector names, the low one first, as 64-bit numbers."""
        part = _split(self.i.operands[index])[1][1:]
        selected = [int(digit) for digit in reversed(part)]
        first = self.count * (index - 1)
        return [
            _wide(
                self.e,
                self._words[place // self.count],
                _Field(self.bits, self.bits * (place % self.count)),
                is_signed(kind),
            )
            for place in selected or range(first, first + self.count)
        ]

    def write(self, values: list[ir.Value], signed: bool) -> None:
        """Add the lanes' 64-bit results to the third operand, or put them in its place."""
        e, b = self.e, self.e.builder
        word = _word(e, self.i.operands[3])
        for lane, value in enumerate(values):
            if lane not in self.mask:
                continue
            if self.saturates:
                value = _limited(e, value, self.bits, signed)
            value = b.trunc(value, I32)
            if self.adds:
                word = b.add(word, value)
                continue
            mask = ((1 << self.bits) - 1) << self.bits * lane
            placed = b.and_(b.shl(value, integer(32, self.bits * lane)), integer(32, mask))
            word = b.or_(placed, b.and_(word, integer(32, ~mask)))
        e.write(self.target, word, "b32")


@lowers(*(f"{name}{count}" for name in _OPERATIONS for count in (2, 4)), *_AVERAGES)
def packed_arithmetic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vadd2``, ``vabsdiff4`` and the like."""
    lanes = _Lanes(e, i, m)
    target, *kinds = m.types(3)
    pairs = zip(*(lanes.sources(index, kind) for index, kind in enumerate(kinds, 1)), strict=True)
    lanes.write([_computed(e, i.opcode, a, b) for a, b in pairs], is_signed(target))


@lowers("vset2", "vset4")
def packed_compare(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vset2``, ``vset4``: 1 where the comparison holds, else 0."""
    test = m.one_of(*_TESTS)
    lanes = _Lanes(e, i, m)
    pairs = zip(*(lanes.sources(index, kind) for index, kind in enumerate(m.types(2), 1)), strict=True)
    lanes.write([_compared(e, test, a, b) for a, b in pairs], False)
