"""Approximate functions: how far a device's answers are from the exact ones, in units of the last place."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING

from tools.differential import numbers
from tools.differential.forms import BITS
from tools.differential.generate import HEADER, Kernel, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 1024


@dataclass(frozen=True)
class Approximation:
    """A function: its instruction, kind of number, exact value, domain, and the manual's limit.

    ``limit`` gives the largest error allowed from the exact value (and the first operand).
    """

    text: str
    kind: str
    exact: Callable[..., float]
    domain: tuple[float, float]
    limit: Callable[[float, float], float]
    operands: int = 1


def _relative(bits: float) -> Callable[[float, float], float]:
    return lambda exact, x: abs(exact) * 2.0**-bits


def _absolute(bits: float) -> Callable[[float, float], float]:
    return lambda exact, x: 2.0**-bits


def _lg2(exact: float, x: float) -> float:
    return 2.0**-22 if 0.5 < x < 2 else abs(exact) * 2.0**-22


FUNCTIONS = tuple(
    Approximation(text, kind, exact, domain, limit, operands)
    for text, kind, exact, domain, limit, operands in (
        ("sin.approx{}.f32", "f32", math.sin, (-math.pi, math.pi), _absolute(20.5), 1),
        ("cos.approx{}.f32", "f32", math.cos, (-math.pi, math.pi), _absolute(20.5), 1),
        ("lg2.approx{}.f32", "f32", math.log2, (2.0**-40, 2.0**40), _lg2, 1),
        ("lg2.approx{}.f32", "f32", math.log2, (0.5, 2.0), _lg2, 1),
        ("ex2.approx{}.f32", "f32", math.exp2, (-120.0, 120.0), _relative(22), 1),
        ("tanh.approx.f32", "f32", math.tanh, (-8.0, 8.0), _relative(11), 1),
        ("rcp.approx{}.f32", "f32", lambda x: 1 / x, (2.0**-100, 2.0**100), _relative(23), 1),
        ("sqrt.approx{}.f32", "f32", math.sqrt, (2.0**-100, 2.0**100), _relative(23), 1),
        ("rsqrt.approx{}.f32", "f32", lambda x: 1 / math.sqrt(x), (2.0**-100, 2.0**100), _relative(22.9), 1),
        ("div.approx{}.f32", "f32", lambda x, y: x / y, (2.0**-60, 2.0**60), _relative(22), 2),
        ("div.full{}.f32", "f32", lambda x, y: x / y, (2.0**-60, 2.0**60), _relative(22), 2),
        ("rcp.approx.ftz.f64", "f64", lambda x: 1 / x, (2.0**-100, 2.0**100), _relative(20), 1),
        ("rsqrt.approx.ftz.f64", "f64", lambda x: 1 / math.sqrt(x), (2.0**-100, 2.0**100), _relative(20), 1),
        ("ex2.approx.f16", "f16", math.exp2, (-13.0, 15.0), _relative(9.9), 1),
        ("tanh.approx.f16", "f16", math.tanh, (-5.0, 5.0), _absolute(10.987), 1),
        ("ex2.approx.ftz.bf16", "bf16", math.exp2, (-100.0, 100.0), _relative(7), 1),
        ("tanh.approx.bf16", "bf16", math.tanh, (-5.0, 5.0), _absolute(8), 1),
    )
)


def variants() -> Iterator[tuple[str, Approximation]]:
    """Yield each instruction, with ``.ftz`` and without it where there are both."""
    for function in FUNCTIONS:
        low, high = function.domain
        domain = f" of {low:.4g} … {high:.4g}"
        for ftz in ("", ".ftz") if "{}" in function.text else ("",):
            yield function.text.format(ftz) + domain, function


def _inputs(function: Approximation, random: Random) -> list[int]:
    low, high = function.domain
    found = []
    for _ in range(COUNT):
        if low > 0 and high / low > 4:
            value = math.exp(random.uniform(math.log(low), math.log(high)))
        else:
            value = random.uniform(low, high)
        bits = int.from_bytes(struct.pack("<d", value), "little")
        found.append(numbers.converted(function.kind, "f64", bits))
    return found


def value_of(kind: str, bits: int) -> float:
    """Return the number that bits stand for."""
    if numbers.is_nan(kind, bits):
        return math.nan
    if numbers.is_infinite(kind, bits):
        return math.inf
    sign, magnitude, exponent = numbers.finite(kind, bits)
    return float(Fraction(magnitude) * Fraction(2) ** exponent) * (-1 if sign else 1)


@dataclass(frozen=True)
class Table:
    """One instruction's inputs, and the kernel that applies it to them."""

    name: str
    function: Approximation
    inputs: tuple[list[int], ...]
    kernel: Kernel


def tables() -> list[Table]:
    """Return a kernel for each variant."""
    found = []
    for place, (name, function) in enumerate(variants()):
        random = Random(place)
        inputs = tuple(_inputs(function, random) for _ in range(function.operands))
        found.append(
            Table(name, function, inputs, _kernel(f"a{place}", name.split(" ")[0], function, inputs))
        )
    return found


def _kernel(name: str, instruction: str, function: Approximation, inputs: tuple[list[int], ...]) -> Kernel:
    bits = BITS[function.kind]
    size = bits // 8
    loads = "\n  ".join(
        f"ld.global.b{bits} %v{place}, [%at+{place * COUNT * size}];" for place in range(len(inputs))
    )
    sources = ", ".join(f"%v{place}" for place in range(len(inputs)))
    text = f"""
.visible .entry {name}(.param .u64 {name}_given, .param .u64 {name}_answer, .param .u64 {name}_own)
{{
  .reg .b64 %at;
  .reg .b32 %thread;
  .reg .b{bits} %v<3>;
  mov.u32 %thread, %tid.x;
  ld.param.u64 %at, [{name}_given];
  mad.wide.u32 %at, %thread, {size}, %at;
  {loads}
  {instruction} %v2, {sources};
  ld.param.u64 %at, [{name}_answer];
  mad.wide.u32 %at, %thread, {size}, %at;
  st.global.b{bits} [%at], %v2;
  ret;
}}
"""
    data = b"".join(value.to_bytes(size, "little") for column in inputs for value in column)
    result = Result(function.kind, 0, instruction, ())
    return Kernel(name, text, COUNT, data, [result], frozenset({instruction.split(".")[0]}), COUNT * size)


def module(found: list[Table]) -> str:
    """Return the PTX module of all tables."""
    return HEADER + "".join(table.kernel.text for table in found)


@dataclass(frozen=True)
class Errors:
    """How far answers were from exact: largest and mean in units of the last place, and over the limit."""

    largest: float
    mean: float
    beyond: int


def errors(table: Table, answers: list[int]) -> Errors:
    """Compare the bits that a device answered with exact values."""
    function = table.function
    form = numbers.FORMATS[function.kind]
    units, beyond = [], 0
    for place, bits in enumerate(answers):
        arguments = [value_of(function.kind, column[place]) for column in table.inputs]
        exact = function.exact(*arguments)
        _, exponent = math.frexp(exact)
        unit = 2.0 ** max(exponent - 1 - form.fraction, form.smallest)
        error = abs(value_of(function.kind, bits) - exact)
        units.append(error / unit)
        # half a unit more: the answer has to be a number of the format
        beyond += not error <= function.limit(exact, arguments[0]) + unit / 2
    return Errors(max(units), sum(units) / len(units), beyond)
