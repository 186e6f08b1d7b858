"""f16 and bf16, alone and in pairs, against exact rational arithmetic."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from instruction_rows import EDGES, Row, Table, decode, encode, exact

from pycuda_guard.cpu import jit

FORMATS = ("f16", "bf16")
SIMPLE = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b}
#: instructions, operands, and what an H200 answers: rounded to 11 bits, then flushed
NEAR_THE_SMALLEST = (
    ("mul.rn.ftz.f16 %d, %a, %b", (0x1096, 0x2EFA), 0x0400),
    ("mul.rn.ftz.f16 %d, %a, %b", (0x23DA, 0x1C13), 0x0000),
    ("fma.rn.ftz.f16 %d, %a, %b, %c", (0x23DA, 0x1C13, 0x0000), 0x0000),
    ("fma.rn.ftz.f16 %d, %a, %b, %c", (0x8B72, 0x065D, 0x0400), 0x0000),
    ("fma.rn.ftz.f16 %d, %a, %b, %c", (0x8500, 0x0864, 0x0400), 0x0400),
)
SIGNS = {"neg": lambda a: -a, "abs": abs}
TINY = {"f16": 2.0**-14, "bf16": 2.0**-126}


def fused(a, b, c):
    return a * b + c


def in_pairs(function, kind: str):
    """An expectation for packed operands from that for one lane."""

    def expected(*words):
        result = 0
        for shift in (0, 16):
            values = [decode(kind, word >> shift & 0xFFFF) for word in words]
            result |= encode(kind, function(*values)) << shift
        return result

    return expected


def saturated(function, kind: str):
    def expected(*values):
        value = decode(kind, encode(kind, function(*values)))
        return encode(kind, np.float32(0) if not value > 0 else min(value, np.float32(1)))

    return expected


def clipped(function, kind: str):
    def expected(*values):
        value = decode(kind, encode(kind, function(*values)))
        return encode(kind, value if value > 0 or math.isnan(value) else np.float32(0))

    return expected


def with_flush(function, kind: str):
    def flushed(value):
        return np.copysign(np.float32(0), value) if abs(value) < TINY[kind] else np.float32(value)

    def expected(*values):
        return encode(kind, flushed(decode(kind, encode(kind, function(*map(flushed, values))))))

    return expected


def smaller(a, b):
    if math.isnan(a) or math.isnan(b):
        return b if math.isnan(a) else a
    if a == b:
        return a if math.copysign(1, a) < 0 else b
    return min(a, b)


def larger(a, b):
    return -smaller(-a, -b)


def any_nan(function):
    return lambda *values: math.nan if any(map(math.isnan, values)) else function(*values)


def both(function):
    def expected(a, b):
        low = [decode("f16", word & 0xFFFF) for word in (a, b)]
        high = [decode("f16", word >> 16) for word in (a, b)]
        return bool(function(*low)), bool(function(*high))

    return expected


def near(function):
    return lambda a: np.float32(function(np.float64(a)))


ROWS = [
    *(
        Row(f"{name}.{kind} %d, %a, %b;", f"{kind} {kind} {kind}", exact(function, kind))
        for kind in FORMATS
        for name, function in SIMPLE.items()
    ),
    *(
        Row(
            f"{name}.rn.{kind}x2 %d, %a, %b;",
            f"{kind}x2 {kind}x2 {kind}x2",
            in_pairs(exact(function, kind), kind),
        )
        for kind in FORMATS
        for name, function in SIMPLE.items()
    ),
    *(
        Row(
            f"fma.rn.{kind} %d, %a, %b, %c;",
            f"{kind} {kind} {kind} {kind}",
            exact(fused, kind),
            values=dict.fromkeys(range(3), EDGES[kind][2::2] + EDGES[kind][:2]),
        )
        for kind in FORMATS
    ),
    *(
        Row(
            f"fma.rn.{kind}x2 %d, %a, %b, %c;",
            f"{kind}x2 {kind}x2 {kind}x2 {kind}x2",
            in_pairs(exact(fused, kind), kind),
        )
        for kind in FORMATS
    ),
    *(
        Row(
            f"fma.rn.relu.{kind} %d, %a, %b, %c;",
            f"{kind} {kind} {kind} {kind}",
            clipped(exact(fused, kind), kind),
            values=dict.fromkeys(range(3), EDGES[kind][::2]),
        )
        for kind in FORMATS
    ),
    Row(
        "fma.rn.sat.f16 %d, %a, %b, %c;",
        "f16 f16 f16 f16",
        saturated(exact(fused, "f16"), "f16"),
        values=dict.fromkeys(range(3), EDGES["f16"][::2]),
    ),
    Row("add.sat.f16 %d, %a, %b;", "f16 f16 f16", saturated(exact(SIMPLE["add"], "f16"), "f16")),
    Row("mul.ftz.f16 %d, %a, %b;", "f16 f16 f16", with_flush(exact(SIMPLE["mul"], "f16"), "f16")),
    *(
        Row(
            f"{text};",
            " ".join(["f16"] * (len(operands) + 1)),
            lambda *_, found=found: found,
            values={place: [bits] for place, bits in enumerate(operands)},
        )
        for text, operands, found in NEAR_THE_SMALLEST
    ),
    *(
        Row(f"{name}.{kind} %d, %a;", f"{kind} {kind}", function)
        for kind in FORMATS
        for name, function in SIGNS.items()
    ),
    *(
        Row(f"{name}.{kind}x2 %d, %a;", f"{kind}x2 {kind}x2", in_pairs(function, kind))
        for kind in FORMATS
        for name, function in SIGNS.items()
    ),
    *(
        Row(f"{name}.{kind} %d, %a, %b;", f"{kind} {kind} {kind}", function)
        for kind in FORMATS
        for name, function in (("min", smaller), ("max", larger), ("max.NaN", any_nan(larger)))
    ),
    *(
        Row(f"{name}.{kind}x2 %d, %a, %b;", f"{kind}x2 {kind}x2 {kind}x2", in_pairs(function, kind))
        for kind in FORMATS
        for name, function in (("min", smaller), ("min.NaN", any_nan(smaller)))
    ),
    *(
        Row(
            f"setp.{name}.f16x2 %d|%q, %a, %b;",
            "pred pred f16x2 f16x2",
            both(getattr(operator, name)),
            results=2,
        )
        for name in ("lt", "eq", "ge")
    ),
    Row(
        "setp.gt.bf16 %d, %a, %b;",
        "pred bf16 bf16",
        lambda a, b: bool(a > b),
    ),
    Row(
        "set.lt.f16.f16 %d, %a, %b;",
        "f16 f16 f16",
        lambda a, b: np.float16(a < b),
    ),
    Row("set.le.u32.f16 %d, %a, %b;", "u32 f16 f16", lambda a, b: -int(a <= b)),
    Row(
        "set.gt.f16x2.f16x2 %d, %a, %b;",
        "f16x2 f16x2 f16x2",
        in_pairs(lambda a, b: np.float16(a > b), "f16"),
    ),
    Row(
        "set.gt.u32.f16x2 %d, %a, %b;",
        "u32 f16x2 f16x2",
        lambda a, b: sum(0xFFFF << 16 * k for k, hit in enumerate(both(operator.gt)(a, b)) if hit),
    ),
    Row("ex2.approx.f16 %d, %a;", "f16 f16", near(np.exp2), ulps=1),
    Row(
        "ex2.approx.f16x2 %d, %a;",
        "f16x2 f16x2",
        in_pairs(near(np.exp2), "f16"),
        values={0: [0x3C004000, 0xC0000000]},
    ),
    Row("tanh.approx.f16 %d, %a;", "f16 f16", near(np.tanh), ulps=1),
]


TABLE = Table(ROWS)


@pytest.fixture(scope="module")
def loaded(device):
    return jit.load_module(TABLE.ptx(), device.memory)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda index: str(ROWS[index]))
def test_half(device, loaded, index):
    TABLE.check(device, loaded, index)
