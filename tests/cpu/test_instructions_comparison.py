"""Comparisons, selections and conversions against Python's."""

from __future__ import annotations

import math
import operator
from fractions import Fraction

import numpy as np
import pytest
from instruction_rows import EDGES, Row, Table, encode, rounded

from pycuda_guard.cpu import jit

ORDERED = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
UNSIGNED = {"lo": operator.lt, "ls": operator.le, "hi": operator.gt, "hs": operator.ge}
INTEGERS = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64")
FLOATS = ("f16", "f32", "f64")
ROUNDERS = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}


def ordered(function):
    return lambda a, b: not (math.isnan(a) or math.isnan(b)) and bool(function(a, b))


def unordered(function):
    return lambda a, b: math.isnan(a) or math.isnan(b) or bool(function(a, b))


def span(kind: str) -> tuple[int, int]:
    n = int(kind[1:])
    return (-(1 << n - 1), (1 << n - 1) - 1) if kind[0] == "s" else (0, (1 << n) - 1)


def clamped(value: int, kind: str) -> int:
    low, high = span(kind)
    return max(low, min(high, value))


def narrows(target: str, source: str) -> bool:
    """Whether the target lacks values of the source: only then may a conversion saturate."""
    low, high = span(source)
    return not span(target)[0] <= low <= high <= span(target)[1]


def to_integer(target: str, source: str, mode: str):
    def expected(a):
        if math.isnan(a):
            return 1 << int(target[1:]) - 1 if source == "f64" or target[1:] == "64" else 0
        if math.isinf(a):
            return span(target)[int(a > 0)]
        return clamped(ROUNDERS[mode](float(a)), target)

    return expected


def nan_of(target: str, value) -> object:
    """The NaN that a conversion gives: of f64 (and of bf16, which comes here as f32) its upper bits."""
    if isinstance(value, np.float64):
        bits = int(value.view(np.uint64))
        sign, payload = bits >> 63, bits & (1 << 51) - 1
        if target == "f32":
            return sign << 31 | 0x7FC00000 | payload >> 29
        if target == "f16":
            return sign << 15 | 0x7E00 | payload >> 42
    return math.nan


def to_float(target: str, mode: str = "rn"):
    def expected(a):
        if isinstance(a, int):
            return rounded(Fraction(a), target, mode)
        if math.isnan(a):
            return nan_of(target, a)
        if math.isinf(a):
            return np.float64(a)
        return rounded(Fraction(float(a)), target, mode, math.copysign(1, a) < 0)

    return expected


def integral(kind: str, mode: str):
    def expected(a):
        if not math.isfinite(a):
            return a
        return np.copysign(float(ROUNDERS[mode](float(a))), a)

    return expected


def saturated(kind: str):
    def expected(a):
        value = 0.0 if not a > 0 else min(float(a), 1.0)
        return rounded(Fraction(value), kind)

    return expected


def pair_of(kind: str, mode: str = "rn", relu: bool = False):
    def one(value) -> int:
        if relu and not (value > 0 or math.isnan(value)):
            value = 0.0
        return encode(kind, to_float(kind, mode)(value))

    return lambda a, b: one(a) << 16 | one(b)


def packed(kind: str):
    size = int(kind[1:])
    mask = (1 << size) - 1

    def expected(a, b, c=0):
        return (
            (clamped(a, kind) & mask) << size | clamped(b, kind) & mask | (c << 2 * size if size < 16 else 0)
        )

    return expected


BOOLEANS = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}

COMPARISONS = [
    *(
        Row(f"setp.{name}.{kind} %d, %a, %b;", f"pred {kind} {kind}", function)
        for kind in ("s16", "u16", "s32", "u32", "s64", "u64")
        for name, function in ORDERED.items()
    ),
    *(
        Row(f"setp.{name}.u{n} %d, %a, %b;", f"pred u{n} u{n}", function)
        for n in (16, 32, 64)
        for name, function in UNSIGNED.items()
    ),
    *(
        Row(f"setp.{name}.{kind} %d, %a, %b;", f"pred {kind} {kind}", ordered(function))
        for kind in FLOATS
        for name, function in ORDERED.items()
    ),
    *(
        Row(f"setp.{name}u.{kind} %d, %a, %b;", f"pred {kind} {kind}", unordered(function))
        for kind in FLOATS
        for name, function in ORDERED.items()
    ),
    *(
        Row(f"setp.{name}.{kind} %d, %a, %b;", f"pred {kind} {kind}", function)
        for kind in FLOATS
        for name, function in (("num", ordered(lambda a, b: True)), ("nan", unordered(lambda a, b: False)))
    ),
    *(
        Row(
            f"setp.lt.{name}.s32 %d|%q, %a, %b, %c;",
            "pred pred s32 s32 pred",
            lambda a, b, c, f=function: (f(a < b, c), f(a >= b, c)),
            results=2,
        )
        for name, function in BOOLEANS.items()
    ),
    Row(
        "setp.gt.and.f32 %d|%q, %a, %b, !%c;",
        "pred pred f32 f32 pred",
        lambda a, b, c: (bool(a > b) and not c, not a > b and not c),
        results=2,
    ),
    Row(
        "setp.eq.ftz.f32 %d, %a, %b;",
        "pred f32 f32",
        lambda a, b: bool(a == b or (abs(a) < 2.0**-126 and abs(b) < 2.0**-126)),
    ),
    Row("set.ge.u32.s32 %d, %a, %b;", "u32 s32 s32", lambda a, b: -(a >= b)),
    Row("set.lt.s32.f64 %d, %a, %b;", "s32 f64 f64", lambda a, b: -int(a < b)),
    Row("set.neu.f32.f32 %d, %a, %b;", "f32 f32 f32", lambda a, b: np.float32(a != b)),
    Row(
        "set.lt.or.u32.u32 %d, %a, %b, %c;",
        "u32 u32 u32 pred",
        lambda a, b, c: -(a < b or c),
    ),
    *(
        Row(f"selp.{kind} %d, %a, %b, %c;", f"b{n} b{n} b{n} pred", lambda a, b, c: a if c else b)
        for kind, n in (("b16", 16), ("s32", 32), ("f32", 32), ("b64", 64), ("f64", 64))
    ),
    Row("slct.b64.s32 %d, %a, %b, %c;", "b64 b64 b64 s32", lambda a, b, c: a if c >= 0 else b),
    Row("slct.u32.f32 %d, %a, %b, %c;", "u32 u32 u32 f32", lambda a, b, c: a if c >= 0 else b),
]

CONVERSIONS = [
    *(
        Row(f"cvt.{target}.{source} %d, %a;", f"{target} {source}", lambda a: a)
        for target in INTEGERS
        for source in INTEGERS
        if target != source
    ),
    *(
        Row(f"cvt.sat.{target}.{source} %d, %a;", f"{target} {source}", lambda a, t=target: clamped(a, t))
        for target in INTEGERS
        for source in INTEGERS
        if narrows(target, source)
    ),
    *(
        Row(f"cvt.{mode}.{target}.{source} %d, %a;", f"{target} {source}", to_integer(target, source, mode))
        for target in INTEGERS
        for source in FLOATS
        for mode in (("rni", "rzi", "rmi", "rpi") if target in ("s32", "u64") else ("rzi",))
    ),
    *(
        Row(f"cvt.{mode}.{target}.{source} %d, %a;", f"{target} {source}", to_float(target, mode))
        for target in FLOATS
        for source in INTEGERS
        for mode in ("rn", "rz", "rm", "rp")
    ),
    *(
        Row(f"cvt.{mode}.{target}.{source} %d, %a;", f"{target} {source}", to_float(target, mode))
        for target, source in (("f32", "f64"), ("f16", "f32"), ("f16", "f64"), ("bf16", "f32"))
        for mode in ("rn", "rz", "rm", "rp")
    ),
    *(
        Row(f"cvt.{target}.{source} %d, %a;", f"{target} {source}", to_float(target))
        for target, source in (("f64", "f32"), ("f64", "f16"), ("f32", "f16"))
    ),
    Row("cvt.f32.bf16 %d, %a;", "f32 b16", lambda a: a << 16, values={0: EDGES["bf16"]}),
    *(
        Row(f"cvt.{mode}.{kind}.{kind} %d, %a;", f"{kind} {kind}", integral(kind, mode))
        for kind in FLOATS
        for mode in ROUNDERS
    ),
    Row("cvt.sat.f32.f32 %d, %a;", "f32 f32", saturated("f32")),
    Row("cvt.rn.sat.f16.f32 %d, %a;", "f16 f32", saturated("f16")),
    Row("cvt.rn.sat.f32.s32 %d, %a;", "f32 s32", saturated("f32")),
    Row(
        "cvt.ftz.f32.f32 %d, %a;",
        "f32 f32",
        lambda a: np.copysign(np.float32(0), a) if abs(a) < 2.0**-126 else a,
    ),
    Row("cvt.rzi.ftz.s32.f32 %d, %a;", "s32 f32", to_integer("s32", "f32", "rzi")),
    *(
        Row(f"cvt.{mode}.{kind}x2.f32 %d, %a, %b;", f"{kind}x2 f32 f32", pair_of(kind, mode))
        for kind in ("f16", "bf16")
        for mode in ("rn", "rz")
    ),
    Row("cvt.rn.relu.f16x2.f32 %d, %a, %b;", "f16x2 f32 f32", pair_of("f16", relu=True)),
    *(Row(f"cvt.pack.sat.{kind}.s32 %d, %a, %b;", "b32 s32 s32", packed(kind)) for kind in ("u16", "s16")),
    *(
        Row(f"cvt.pack.sat.{kind}.s32.b32 %d, %a, %b, %c;", "b32 s32 s32 b32", packed(kind))
        for kind in ("u8", "s8", "u4", "s4", "u2", "s2")
    ),
]
# the 16-bit formats have too many halfway cases to miss them: all of f32's that are near one
HALFWAY = [
    encode("f32", np.float32(sign * (1 + (odd + 0.5 + shift) * 2.0**-bits)))
    for bits in (10, 7)
    for odd in (0, 1, 2)
    for shift in (-(2.0**-10), 0.0, 2.0**-10)
    for sign in (1, -1)
]
CONVERSIONS += [
    Row(f"cvt.rn.{kind}.f32 %d, %a;", f"{kind} f32", to_float(kind), values={0: HALFWAY + EDGES["f32"]})
    for kind in ("f16", "bf16")
]

ROWS = COMPARISONS + CONVERSIONS


TABLE = Table(ROWS)


@pytest.fixture(scope="module")
def loaded(device):
    return jit.load_module(TABLE.ptx(), device.memory)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda index: str(ROWS[index]))
def test_comparison_and_conversion(device, loaded, index):
    TABLE.check(device, loaded, index)
