"""Kernels in CUDA C put together at random: expressions whose value the language leaves no choice about.

Signed numbers are only added, multiplied and shifted as unsigned ones, as C wants it. Floating-point numbers
go through intrinsics that say how they are rounded, so that nvcc may contract nothing.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from pycuda_guard.toolchain import find_nvcc
from tools.differential import numbers
from tools.differential.forms import BITS, signed
from tools.differential.forms_bits import permuted
from tools.differential.forms_compare import holds
from tools.differential.generate import Kernel, Result, random_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MASK = {kind: (1 << bits) - 1 for kind, bits in BITS.items()}
_TYPES = {"i32": "unsigned", "i64": "unsigned long long", "f32": "float", "f64": "double"}
_PARAMETERS = ("i32", "i32", "i32", "i64", "i64", "f32", "f32", "f64", "f64")
DEPTH = 5
STATEMENTS = 8


@dataclass(frozen=True)
class _Term:
    """An operator or a function of CUDA C: ``{0}`` and so on are its operands."""

    text: str
    result: str
    operands: tuple[str, ...]
    function: Callable[..., int]


def _term(text: str, kinds: str, function: Callable[..., int]) -> _Term:
    result, *operands = kinds.split()
    # an int or a long long would be extended by its sign, and compared by it
    text = f"({_TYPES[result]}){text}" if result in ("i32", "i64") else text
    return _Term(text, result, tuple(operands), function)


def _lanes(bits: int, function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    """Return a function of two words that treats each of their parts of ``bits`` bits."""
    mask = (1 << bits) - 1

    def words(a: int, b: int) -> int:
        return sum(
            (function(a >> place & mask, b >> place & mask) & mask) << place for place in range(0, 32, bits)
        )

    return words


def _signed_lanes(bits: int, function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return _lanes(bits, lambda a, b: function(signed(a, bits), signed(b, bits)))


def _saturated(value: int, bits: int) -> int:
    return min(max(value, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def _integer_terms() -> list[_Term]:
    terms = []
    for kind, suffix in (("i32", ""), ("i64", "ll")):
        bits = BITS[kind]
        three = f"{kind} {kind} {kind}"
        number = {"i32": "int", "i64": "long long"}[kind]
        terms += [
            _term("({0} + {1})", three, lambda a, b: a + b),
            _term("({0} - {1})", three, lambda a, b: a - b),
            _term("({0} * {1})", three, lambda a, b: a * b),
            _term("({0} & {1})", three, lambda a, b: a & b),
            _term("({0} | ~{1})", three, lambda a, b: a | ~b),
            _term("({0} ^ {1})", three, lambda a, b: a ^ b),
            _term("({0} / ({1} | 1))", three, lambda a, b: a // (b | 1)),
            _term("({0} % ({1} | 1))", three, lambda a, b: a % (b | 1)),
            _term(f"({{0}} << ({{1}} & {bits - 1}))", three, lambda a, b, m=bits - 1: a << (b & m)),
            _term(f"({{0}} >> ({{1}} & {bits - 1}))", three, lambda a, b, m=bits - 1: a >> (b & m)),
            _term(
                f"({_TYPES[kind]})(({number}){{0}} >> ({{1}} & {bits - 1}))",
                three,
                lambda a, b, bits=bits: signed(a, bits) >> (b & bits - 1),
            ),
            _term(
                f"({_TYPES[kind]})(({number}){{0}} < ({number}){{1}})",
                three,
                lambda a, b, bits=bits: signed(a, bits) < signed(b, bits),
            ),
            _term("({0} > {1} ? {0} : {2})", f"{three} {kind}", lambda a, b, c: a if a > b else c),
            _term(f"__popc{suffix}({{0}})", f"i32 {kind}", int.bit_count),
            _term(f"__clz{suffix}({{0}})", f"i32 {kind}", lambda a, bits=bits: bits - a.bit_length()),
            _term(f"__ffs{suffix}({{0}})", f"i32 {kind}", lambda a: (a & -a).bit_length()),
            _term(
                f"__brev{suffix}({{0}})", f"{kind} {kind}", lambda a, bits=bits: int(f"{a:0{bits}b}"[::-1], 2)
            ),
            _term(
                f"max(({number}){{0}}, ({number}){{1}})",
                three,
                lambda a, b, bits=bits: max(signed(a, bits), signed(b, bits)),
            ),
            _term("min({0}, {1})", three, min),
        ]
    return [
        *terms,
        _term("(unsigned char)({0})", "i32 i32", lambda a: a & 255),
        _term("(unsigned)(short){0}", "i32 i32", lambda a: signed(a, 16)),
        _term("(unsigned)(signed char)({0} >> 8)", "i32 i32", lambda a: signed(a >> 8, 8)),
        _term("(unsigned){0}", "i32 i64", lambda a: a),
        _term("(unsigned long long)(int){0}", "i64 i32", lambda a: signed(a, 32)),
        _term("((unsigned long long){0} * {1})", "i64 i32 i32", lambda a, b: a * b),
        _term("__umulhi({0}, {1})", "i32 i32 i32", lambda a, b: a * b >> 32),
        _term("__mulhi((int){0}, (int){1})", "i32 i32 i32", lambda a, b: signed(a, 32) * signed(b, 32) >> 32),
        _term("__umul64hi({0}, {1})", "i64 i64 i64", lambda a, b: a * b >> 64),
        _term("__byte_perm({0}, {1}, {2})", "i32 i32 i32 i32", lambda a, b, c: permuted(a, b, c & 0x7777)),
        _term(
            "__funnelshift_l({0}, {1}, {2})",
            "i32 i32 i32 i32",
            lambda a, b, c: (b << 32 | a) << (c & 31) >> 32,
        ),
        _term(
            "__funnelshift_rc({0}, {1}, {2})", "i32 i32 i32 i32", lambda a, b, c: (b << 32 | a) >> min(c, 32)
        ),
        _term(
            "__sad((int){0}, (int){1}, {2})",
            "i32 i32 i32 i32",
            lambda a, b, c: abs(signed(a, 32) - signed(b, 32)) + c,
        ),
        _term("__vadd4({0}, {1})", "i32 i32 i32", _lanes(8, lambda a, b: a + b)),
        _term("__vsub2({0}, {1})", "i32 i32 i32", _lanes(16, lambda a, b: a - b)),
        _term("__vabsdiffu4({0}, {1})", "i32 i32 i32", _lanes(8, lambda a, b: abs(a - b))),
        _term("__vabsdiffs2({0}, {1})", "i32 i32 i32", _signed_lanes(16, lambda a, b: abs(a - b))),
        _term("__vaddss2({0}, {1})", "i32 i32 i32", _signed_lanes(16, lambda a, b: _saturated(a + b, 16))),
        _term("__vsubss4({0}, {1})", "i32 i32 i32", _signed_lanes(8, lambda a, b: _saturated(a - b, 8))),
        _term("__vmaxs4({0}, {1})", "i32 i32 i32", _signed_lanes(8, max)),
        _term("__vminu2({0}, {1})", "i32 i32 i32", _lanes(16, min)),
        _term("__vavgu4({0}, {1})", "i32 i32 i32", _lanes(8, lambda a, b: a + b + 1 >> 1)),
        _term("__vhaddu4({0}, {1})", "i32 i32 i32", _lanes(8, lambda a, b: a + b >> 1)),
        _term("__vcmpgts4({0}, {1})", "i32 i32 i32", _signed_lanes(8, lambda a, b: -(a > b))),
        _term("__vseteq2({0}, {1})", "i32 i32 i32", _lanes(16, lambda a, b: int(a == b))),
        _term(
            "__vsadu4({0}, {1})",
            "i32 i32 i32",
            lambda a, b: sum(abs((a >> place & 255) - (b >> place & 255)) for place in (0, 8, 16, 24)),
        ),
        _term(
            "(unsigned)__dp4a((int){0}, (int){1}, (int){2})",
            "i32 i32 i32 i32",
            lambda a, b, c: (
                c + sum(signed(a >> place, 8) * signed(b >> place, 8) for place in (0, 8, 16, 24))
            ),
        ),
    ]


def _float_terms() -> list[_Term]:
    terms = []
    for kind, name in (("f32", "f"), ("f64", "d")):
        for suffix, mode in (("rn", "rn"), ("rz", "rz"), ("rd", "rm"), ("ru", "rp")):
            for intrinsic, function, count in (
                ("add", numbers.add, 2),
                ("mul", numbers.multiply, 2),
                ("div", numbers.divide, 2),
                ("sqrt", numbers.root, 1),
            ):
                sources = ", ".join(("{0}", "{1}")[:count])
                terms.append(
                    _term(
                        f"__{name}{intrinsic}_{suffix}({sources})",
                        " ".join([kind] * (count + 1)),
                        lambda *values, f=function, k=kind, m=mode: f(k, *values, m),
                    )
                )
            fused = "__fmaf" if kind == "f32" else "__fma"
            terms.append(
                _term(
                    f"{fused}_{suffix}({{0}}, {{1}}, {{2}})",
                    f"{kind} {kind} {kind} {kind}",
                    lambda a, b, c, k=kind, m=mode: numbers.fused(k, a, b, c, m),
                )
            )
        f = "f" if kind == "f32" else ""
        for function_name, mode in (("floor", "rm"), ("ceil", "rp"), ("trunc", "rz"), ("rint", "rn")):
            terms.append(
                _term(
                    f"{function_name}{f}({{0}})", f"{kind} {kind}", lambda a, k=kind, m=mode: _whole(k, a, m)
                )
            )
        terms += [
            _term(f"fmin{f}({{0}}, {{1}})", f"{kind} {kind} {kind}", _extremum(kind, False)),
            _term(f"fmax{f}({{0}}, {{1}})", f"{kind} {kind} {kind}", _extremum(kind, True)),
            _term(
                "({0} < {1} ? {2} : {0})",
                f"{kind} {kind} {kind} {kind}",
                lambda a, b, c, k=kind: c if holds("lt", k, a, b) else a,
            ),
            _term("({0} >= {1})", f"i32 {kind} {kind}", lambda a, b, k=kind: holds("ge", k, a, b)),
            _term("(unsigned)isnan({0})", f"i32 {kind}", lambda a, k=kind: numbers.is_nan(k, a)),
        ]
    return [
        *terms,
        _term(
            "__int2float_rz((int){0})", "f32 i32", lambda a: numbers.of_integer("f32", signed(a, 32), "rz")
        ),
        _term("__uint2double_rn({0})", "f64 i32", lambda a: numbers.of_integer("f64", a)),
        _term("__ull2float_ru({0})", "f32 i64", lambda a: numbers.of_integer("f32", a, "rp")),
        _term(
            "__ll2double_rd((long long){0})",
            "f64 i64",
            lambda a: numbers.of_integer("f64", signed(a, 64), "rm"),
        ),
        _term("__double2float_rz({0})", "f32 f64", lambda a: numbers.converted("f32", "f64", a, "rz")),
        _term("(double){0}", "f64 f32", lambda a: numbers.converted("f64", "f32", a)),
        _term("(unsigned)__float2int_rd({0})", "i32 f32", lambda a: _to_int("f32", a, "rm")),
        _term("(unsigned)__double2int_rn({0})", "i32 f64", lambda a: _to_int("f64", a, "rn")),
        _term("__uint_as_float({0})", "f32 i32", lambda a: a),
    ]


def _whole(kind: str, a: int, mode: str) -> int:
    if numbers.is_nan(kind, a) or numbers.is_infinite(kind, a):
        return a
    size = abs(numbers.integral(kind, a, mode))
    return numbers.rounded(kind, (numbers.sign_of(kind, a), size, 0))


def _extremum(kind: str, largest: bool) -> Callable[[int, int], int]:
    return lambda a, b: numbers.extremum(kind, a, b, largest)


def _to_int(kind: str, a: int, mode: str) -> int:
    if numbers.is_nan(kind, a):
        return 1 << 31 if kind == "f64" else 0
    if numbers.is_infinite(kind, a):
        return 1 << 31 if numbers.sign_of(kind, a) else (1 << 31) - 1
    return _saturated(numbers.integral(kind, a, mode), 32)


_TERMS: dict[str, list[_Term]] = {}
for _each in (*_integer_terms(), *_float_terms()):
    _TERMS.setdefault(_each.result, []).append(_each)


def _expression(
    random: Random, kind: str, depth: int, values: Sequence[tuple[str, str, list[int]]]
) -> tuple[str, list[int]]:
    """Return an expression's text, and its value in every thread."""
    if depth == 0 or random.random() < 0.2:
        if random.random() < 0.15 and kind in ("i32", "i64"):
            number = random_value(random, kind)
            return f"{number}{'u' if kind == 'i32' else 'ull'}", [number] * len(values[0][2])
        name, _, column = random.choice([value for value in values if value[1] == kind])
        return name, column
    term = random.choice(_TERMS[kind])
    parts = [_expression(random, operand, depth - 1, values) for operand in term.operands]
    columns = zip(*(column for _, column in parts), strict=True)
    text = term.text.format(*(part for part, _ in parts))
    return text, [int(term.function(*row)) & _MASK[kind] for row in columns]


def kernel(seed: int, number: int) -> Kernel:
    """Return one kernel of a seed, as CUDA C."""
    random = Random(seed * 1_000_003 + number + 500_000_000)
    threads = 32
    values: list[tuple[str, str, list[int]]] = []
    lines, results, data = [], [], bytearray()
    for place, kind in enumerate(_PARAMETERS):
        size = BITS[kind] // 8
        column = [random_value(random, kind) for _ in range(threads)]
        lines.append(f"{_TYPES[kind]} p{place} = ((const {_TYPES[kind]} *)(given + {len(data)}))[t];")
        data += b"".join(value.to_bytes(size, "little") for value in column)
        values.append((f"p{place}", kind, column))
    end = 0
    for place in range(STATEMENTS):
        kind = random.choice(("i32", "i32", "i32", "i64", "i64", "f32", "f64"))
        text, column = _expression(random, kind, DEPTH, values)
        lines.append(f"{_TYPES[kind]} r{place} = {text};")
        if random.random() < 0.3:
            lines[-1], column = _loop(random, place, kind, column, values)
            text = lines[-1]
        lines.append(f"(({_TYPES[kind]} *)(answer + {end}))[t] = r{place};")
        results.append(Result(kind, end, text, (tuple(column),)))
        end += threads * BITS[kind] // 8
        values.append((f"r{place}", kind, column))
    name = f"c{number}"
    body = "\n  ".join(lines)
    text = (
        f'extern "C" __global__ void {name}(const char *given, char *answer, char *own)\n{{\n'
        f"  unsigned t = threadIdx.x;\n  {body}\n}}\n"
    )
    return Kernel(name, text, threads, bytes(data), results, frozenset(), end)


def _loop(
    random: Random, place: int, kind: str, column: list[int], values: Sequence[tuple[str, str, list[int]]]
) -> tuple[str, list[int]]:
    """Return a loop that goes round as often as an integer's low bits say, doing one operation each time."""
    same = [term for term in _TERMS[kind] if term.operands == (kind, kind)]
    term = random.choice(same)
    start, first = _expression(random, kind, 2, values)
    step, second = _expression(random, kind, 1, values)
    count, counts = _expression(random, "i32", 1, values)
    text = (
        f"{_TYPES[kind]} r{place} = {start}; for (unsigned i = 0; i < ({count} & 15); i++) "
        f"r{place} = {term.text.format(f'r{place}', step)};"
    )
    found = []
    for value, other, times in zip(first, second, counts, strict=True):
        for _ in range(times & 15):
            value = int(term.function(value, other)) & _MASK[kind]
        found.append(value)
    return text, found


def compiled(kernels: Sequence[Kernel]) -> str:
    """Return the PTX that nvcc makes of kernels. Raises CalledProcessError where it refuses them."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise FileNotFoundError("needs nvcc")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "kernels.cu"), Path(folder, "kernels.ptx")
        source.write_text("".join(each.text for each in kernels))
        command = [nvcc, "-ptx", "-arch=sm_90", "-w", str(source), "-o", str(target)]
        subprocess.run(command, check=True, capture_output=True)
        return target.read_text()
