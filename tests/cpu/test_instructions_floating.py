"""f32 and f64 against exact rational arithmetic, rounded in every direction."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from instruction_rows import EDGES, Row, Table, decode, encode, exact, rounded

from pycuda_guard.cpu import jit

MODES = ("rn", "rz", "rm", "rp")
FEW = {"f32": EDGES["f32"][:16:2] + EDGES["f32"][1:16:5], "f64": EDGES["f64"][:8] + EDGES["f64"][10:14]}
#: without infinities, so that the reference needs no special cases in double precision
FINITE = [bits for bits in EDGES["f64"] if (bits >> 52) & 0x7FF != 0x7FF]


def flushed(value):
    return np.copysign(np.float32(0), value) if abs(value) < np.float32(2.0**-126) else value


def with_flush(function):
    def expected(*values):
        result = function(*map(flushed, values))
        return encode("f32", flushed(np.uint32(encode("f32", result)).view(np.float32)))

    return expected


def saturated(function):
    def expected(*values):
        value = np.uint32(encode("f32", function(*values))).view(np.float32)
        return np.float32(0) if not value > 0 else min(value, np.float32(1))

    return expected


def smaller(a, b):
    if math.isnan(a) or math.isnan(b):
        return b if math.isnan(a) else a
    if a == b:
        return a if math.copysign(1, a) < 0 else b
    return min(a, b)


def larger(a, b):
    return -smaller(-a, -b)


#: bits by width: signalling and quiet NaNs of both signs, zeros, one
NANS_AND_ZEROS = {
    32: [0x7F800001, 0xFFA00000, 0x7FC00000, 0xFFC00001, 0, 0x80000000, 0x3F800000],
    64: [0x7FF0000000000001, 0xFFF4 << 48, 0x7FF8 << 48, 0xFFF8000000000001, 0, 1 << 63, 0x3FF0 << 48],
}


def against_an_integer(function, n):
    return lambda pattern, number: function(decode(f"f{n}", pattern), float(number))


def any_nan(function):
    return lambda *values: math.nan if any(map(math.isnan, values)) else function(*values)


def xorsign(function):
    def expected(a, b):
        sign = math.copysign(1, a) * math.copysign(1, b)
        result = function(abs(a), abs(b))
        if math.isnan(result):
            return result
        return np.copysign(result, sign)

    return expected


def divided(kind: str, mode: str = "rn"):
    precise = exact(lambda a, b: a / b, kind, mode)

    def expected(a, b):
        if b == 0 or not (math.isfinite(a) and math.isfinite(b)):
            return np.float64(a) / np.float64(b)
        if a == 0:
            return np.copysign(a, math.copysign(1, a) * math.copysign(1, b))
        return precise(a, b)

    return expected


def divided_approximately(a, b):
    if 2.0**126 < abs(b) < math.inf:
        return (
            math.nan if not math.isfinite(a) else np.copysign(0.0, math.copysign(1, a) * math.copysign(1, b))
        )
    return divided("f32")(a, b)


def root(kind: str, mode: str = "rn"):
    """Square root: the rounded candidate whose neighbours' squares enclose the operand."""

    def expected(a):
        if not (math.isfinite(a) and a > 0):
            return np.sqrt(np.float64(a))
        # 200 more bits than any format has, and a sticky bit for what is left
        scaled = Fraction(float(a)) * 4**2400
        units = math.isqrt(scaled.numerator // scaled.denominator)
        is_exact = units * units == scaled
        return rounded(Fraction(2 * units + (not is_exact), 2 * 2**2400), kind, mode)

    return expected


def reciprocal(kind: str, mode: str = "rn"):
    return lambda a: divided(kind, mode)(np.float64(1), a)


def by_double(function):
    def expected(*values):
        return np.float32(function(*(np.float64(value) for value in values)))

    return expected


def inverse_root(a):
    return np.float64(1) / np.sqrt(np.float64(a))


def high_word(function):
    """``.approx.ftz.f64``: denormals are zeros, the low word of the result is 0."""

    def flushed(value):
        return np.copysign(0.0, value) if abs(value) < 2.0**-1022 else value

    return lambda a: int(encode("f64", flushed(function(flushed(a))))) & ~0xFFFFFFFF


def classified(name: str):
    def expected(a):
        smallest = np.finfo(type(a)).tiny
        return {
            "finite": bool(np.isfinite(a)),
            "infinite": bool(np.isinf(a)),
            "number": not np.isnan(a),
            "notanumber": bool(np.isnan(a)),
            "normal": bool(np.isfinite(a) and (abs(a) >= smallest or a == 0)),
            "subnormal": bool(a != 0 and abs(a) < smallest),
        }[name]

    return expected


def sign_of_product(a: float, b: float) -> float:
    return math.copysign(1, a) * math.copysign(1, b)


SMALL = [0.0, -0.0, 1.0, -1.5, 2.0**-127, -(2.0**-149), 2.0**-126]


SMALL_AND_INFINITE = [*SMALL, math.inf, -math.inf]


def twice(function):
    def expected(*values):
        result = function(*values)
        return result, result

    return expected


def copied_sign(width: int):
    sign = 1 << width - 1
    return lambda a, b: a & sign | b & ~sign


SIMPLE = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b}
ADDENDS = {"add": lambda a, b: (a, b), "sub": lambda a, b: (a, -b), "mul": None}


def fused(a, b, c):
    return a * b + c


ROWS = [
    *(
        Row(
            f"{operation}.{mode}.{kind} %d, %a, %b;",
            f"{kind} {kind} {kind}",
            exact(function, kind, mode, ADDENDS[operation]),
        )
        for kind in ("f32", "f64")
        for operation, function in SIMPLE.items()
        for mode in MODES
    ),
    *(
        Row(
            f"fma.{mode}.f32 %d, %a, %b, %c;",
            "f32 f32 f32 f32",
            exact(fused, "f32", mode, lambda a, b, c: (sign_of_product(a, b), c)),
            values=dict.fromkeys(range(3), FEW["f32"]),
        )
        for mode in MODES
    ),
    *(
        Row(
            f"fma.{mode}.f64 %d, %a, %b, %c;",
            "f64 f64 f64 f64",
            exact(fused, "f64", mode, lambda a, b, c: (sign_of_product(a, b), c)),
            values=dict.fromkeys(range(3), FINITE[::2]),
        )
        for mode in MODES
    ),
    *(
        Row(f"div.{mode}.{kind} %d, %a, %b;", f"{kind} {kind} {kind}", divided(kind, mode))
        for kind in ("f32", "f64")
        for mode in MODES
    ),
    *(
        Row(f"{operation}.{mode}.{kind} %d, %a;", f"{kind} {kind}", function(kind, mode))
        for operation, function in (("sqrt", root), ("rcp", reciprocal))
        for kind in ("f32", "f64")
        for mode in MODES
    ),
    *(
        Row(f"{operation}.ftz.f32 %d, %a, %b;", "f32 f32 f32", with_flush(exact(function, "f32")))
        for operation, function in SIMPLE.items()
    ),
    Row("add.rz.ftz.f32 %d, %a, %b;", "f32 f32 f32", with_flush(exact(SIMPLE["add"], "f32", "rz"))),
    *(
        Row(f"{operation}.sat.f32 %d, %a, %b;", "f32 f32 f32", saturated(exact(function, "f32")))
        for operation, function in SIMPLE.items()
    ),
    Row(
        "fma.rn.sat.f32 %d, %a, %b, %c;",
        "f32 f32 f32 f32",
        saturated(exact(fused, "f32")),
        values=dict.fromkeys(range(3), FEW["f32"]),
    ),
    Row(
        "mad.rn.f32 %d, %a, %b, %c;",
        "f32 f32 f32 f32",
        exact(fused, "f32"),
        values=dict.fromkeys(range(3), FEW["f32"]),
    ),
    *(
        Row(f"{operation}.{kind} %d, %a, %b;", f"{kind} {kind} {kind}", function)
        for operation, function in (("min", smaller), ("max", larger))
        for kind in ("f32", "f64")
    ),
    *(
        Row(
            f"{{ .reg .f{n} n; cvt.rn.f{n}.s32 n, %b; {operation}.f{n} %d, %a, n; }}",
            f"f{n} b{n} s32",
            against_an_integer(function, n),
            values={0: NANS_AND_ZEROS[n], 1: [-3, 0, 5]},
        )
        for operation, function in (("min", smaller), ("max", larger))
        for n in (32, 64)
    ),
    Row("min.NaN.f32 %d, %a, %b;", "f32 f32 f32", any_nan(smaller)),
    Row("max.NaN.f32 %d, %a, %b;", "f32 f32 f32", any_nan(larger)),
    Row("min.ftz.f32 %d, %a, %b;", "f32 f32 f32", with_flush(smaller)),
    Row("min.xorsign.abs.f32 %d, %a, %b;", "f32 f32 f32", xorsign(smaller)),
    Row(
        "max.f32 %d, %a, %b, %c;",
        "f32 f32 f32 f32",
        lambda a, b, c: larger(larger(a, b), c),
        values=dict.fromkeys(range(3), FEW["f32"]),
    ),
    *(
        Row(f"{operation}.{kind} %d, %a;", f"{kind} {kind}", function)
        for kind in ("f32", "f64")
        for operation, function in (("neg", lambda a: -a), ("abs", abs))
    ),
    Row("neg.ftz.f32 %d, %a;", "f32 f32", with_flush(lambda a: -a), values={0: SMALL}),
    *(
        Row(
            f"copysign.f{n} %d, %a, %b;",
            f"b{n} b{n} b{n}",
            copied_sign(n),
            values=dict.fromkeys((0, 1), edges),
        )
        for n, edges in ((32, EDGES["f32"]), (64, EDGES["f64"]))
    ),
    *(
        Row(f"testp.{test}.{kind} %d, %a;", f"pred {kind}", classified(test))
        for test in ("finite", "infinite", "number", "notanumber", "normal", "subnormal")
        for kind in ("f32", "f64")
    ),
    # whatever reads the bits of a result sees the NaN of a GPU, however the result came there
    Row(
        "add.f32 %q, %a, %b; mov.b32 %d, %q;",
        "f32 f32 f32 f32",
        twice(exact(SIMPLE["add"], "f32")),
        results=2,
    ),
    Row(
        "sub.f32 %q, %a, %b; setp.lt.f32 %p, %a, 0f00000000; selp.b32 %d, 1065353216, %q, %p;",
        "f32 f32 f32 f32",
        lambda a, b: (1.0 if a < 0 else a - b, a - b),
        results=2,
        values=dict.fromkeys(range(2), SMALL_AND_INFINITE),
    ),
    Row(
        "sub.f32 %q, %a, %b; or.b32 %d, %q, 0;",
        "f32 f32 f32 f32",
        twice(exact(SIMPLE["sub"], "f32")),
        results=2,
    ),
    Row(
        "sub.f32 %q, %a, %b; cvt.f64.f32 %d, %q;",
        "b64 f32 f32 f32",
        lambda a, b: (0x7FFFFFFFE0000000 if np.isnan(a - b) else encode("f64", a - b), a - b),
        results=2,
        values=dict.fromkeys(range(2), SMALL_AND_INFINITE),
    ),
    Row("div.approx.f32 %d, %a, %b;", "f32 f32 f32", divided_approximately, ulps=2),
    Row("div.full.f32 %d, %a, %b;", "f32 f32 f32", divided("f32"), ulps=2),
    Row("rcp.approx.f32 %d, %a;", "f32 f32", reciprocal("f32"), ulps=1),
    Row("rcp.approx.ftz.f32 %d, %a;", "f32 f32", with_flush(reciprocal("f32")), ulps=1),
    Row("sqrt.approx.f32 %d, %a;", "f32 f32", root("f32"), ulps=1),
    Row("rsqrt.approx.f32 %d, %a;", "f32 f32", by_double(inverse_root), ulps=2),
    Row("rsqrt.approx.f64 %d, %a;", "f64 f64", inverse_root, ulps=2),
    Row("rsqrt.approx.ftz.f64 %d, %a;", "f64 f64", high_word(inverse_root), ulps=2.0**33),
    Row("rcp.approx.ftz.f64 %d, %a;", "f64 f64", high_word(lambda a: np.float64(1) / a), ulps=2.0**33),
    Row("sin.approx.f32 %d, %a;", "f32 f32", by_double(np.sin), ulps=2),
    Row("cos.approx.f32 %d, %a;", "f32 f32", by_double(np.cos), ulps=2),
    Row("lg2.approx.f32 %d, %a;", "f32 f32", by_double(np.log2), ulps=2),
    Row("lg2.approx.ftz.f32 %d, %a;", "f32 f32", with_flush(by_double(np.log2)), ulps=2),
    Row("ex2.approx.f32 %d, %a;", "f32 f32", by_double(np.exp2), ulps=2),
    Row("ex2.approx.ftz.f32 %d, %a;", "f32 f32", with_flush(by_double(np.exp2)), ulps=2),
    Row("tanh.approx.f32 %d, %a;", "f32 f32", by_double(np.tanh), ulps=4),
]


TABLE = Table(ROWS)


@pytest.fixture(scope="module")
def loaded(device):
    return jit.load_module(TABLE.ptx(), device.memory)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda index: str(ROWS[index]))
def test_floating(device, loaded, index):
    TABLE.check(device, loaded, index)
