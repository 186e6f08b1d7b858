"""Integer arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential.forms import clamped, form, number, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form

ALL = ("u16", "s16", "u32", "s32", "u64", "s64")
_STEPS: dict[str, Callable[[int, int], int]] = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b}


def _typed(kind: str, function: Callable[..., int]) -> Callable[..., int]:
    return lambda *values: function(*(number(value, kind) for value in values))


def _halves(function: Callable[[int, int], int], kind: str) -> Callable[[int, int], int]:
    def both(a: int, b: int) -> int:
        low = function(number(a, kind), number(b, kind)) & 0xFFFF
        return low | (function(number(a >> 16, kind), number(b >> 16, kind)) & 0xFFFF) << 16

    return both


def _part(kind: str, part: str) -> Callable[[int, int], int]:
    bits = int(kind[1:])
    return _typed(kind, lambda a, b: a * b >> bits if part == "hi" else a * b)


def _mad(kind: str, part: str) -> Callable[[int, int, int], int]:
    product = _part(kind, part)
    return lambda a, b, c: product(a, b) + c


def _quotient(a: int, b: int) -> int:
    size = abs(a) // abs(b)
    return -size if (a < 0) != (b < 0) else size


def _remainder(a: int, b: int) -> int:
    return a - b * _quotient(a, b)


def _sums() -> Iterator[Form]:
    for kind in ALL:
        i = "i" + kind[1:]
        for name, step in _STEPS.items():
            yield form(f"{name}.{kind} $d, $a, $b;", f"{i} {i} {i}", step)
        for name, choose in (("min", min), ("max", max)):
            yield form(f"{name}.{kind} $d, $a, $b;", f"{i} {i} {i}", _typed(kind, choose))
        yield form(f"sad.{kind} $d, $a, $b, $c;", f"{i} {i} {i} {i}", _difference(kind))
        for name, divided in (("div", _quotient), ("rem", _remainder)):
            text = f"{{ .reg .b{kind[1:]} x; or.b{kind[1:]} x, $b, 1; {name}.{kind} $d, $a, x; }}"
            yield form(text, f"{i} {i} {i}", _by_odd(kind, divided))
    for name, step in _STEPS.items():
        yield form(
            f"{name}.sat.s32 $d, $a, $b;",
            "i32 i32 i32",
            _typed("s32", lambda a, b, step=step: clamped(step(a, b), "s32")),
        )
    for kind in ("s16", "s32", "s64"):
        i = "i" + kind[1:]
        yield form(f"neg.{kind} $d, $a;", f"{i} {i}", lambda a: -a)
        yield form(f"abs.{kind} $d, $a;", f"{i} {i}", _typed(kind, abs))
    for name, choose in (("min", min), ("max", max)):
        yield form(f"{name}.relu.s32 $d, $a, $b;", "i32 i32 i32", _relu(choose, "s32"))
        for kind in ("u16", "s16"):
            yield form(f"{name}.{kind}x2 $d, $a, $b;", "i32 i32 i32", _halves(choose, kind))
        yield form(f"{name}.relu.s16x2 $d, $a, $b;", "i32 i32 i32", _halves(_relu(choose, "s16"), "s16"))
    for kind in ("u16", "s16"):
        yield form(f"add.{kind}x2 $d, $a, $b;", "i32 i32 i32", _halves(_STEPS["add"], kind))


def _difference(kind: str) -> Callable[[int, int, int], int]:
    return lambda a, b, c: c + abs(number(a, kind) - number(b, kind))


def _by_odd(kind: str, function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda a, b: function(number(a, kind), number(b | 1, kind))


def _relu(choose: Callable[[int, int], int], kind: str) -> Callable[[int, int], int]:
    return lambda a, b: max(choose(number(a, kind), number(b, kind)), 0)


def _products() -> Iterator[Form]:
    for kind in ALL:
        bits = int(kind[1:])
        i, wide = f"i{bits}", f"i{2 * bits}"
        for part in ("lo", "hi"):
            yield form(f"mul.{part}.{kind} $d, $a, $b;", f"{i} {i} {i}", _part(kind, part))
            yield form(f"mad.{part}.{kind} $d, $a, $b, $c;", f"{i} {i} {i} {i}", _mad(kind, part))
        if bits < 64:
            yield form(f"mul.wide.{kind} $d, $a, $b;", f"{wide} {i} {i}", _part(kind, "wide"))
            yield form(f"mad.wide.{kind} $d, $a, $b, $c;", f"{wide} {i} {i} {wide}", _mad(kind, "wide"))
    yield form(
        "mad.hi.sat.s32 $d, $a, $b, $c;",
        "i32 i32 i32 i32",
        _typed("s32", lambda a, b, c: clamped((a * b >> 32) + c, "s32")),
    )
    for sign in "us":
        for part, shift in (("lo", 0), ("hi", 16)):
            yield form(f"mul24.{part}.{sign}32 $d, $a, $b;", "i32 i32 i32", _mul24(sign, shift))
            yield form(
                f"mad24.{part}.{sign}32 $d, $a, $b, $c;",
                "i32 i32 i32 i32",
                lambda a, b, c, sign=sign, shift=shift: _mul24(sign, shift)(a, b) + c,
            )
    yield form(
        "mad24.hi.sat.s32 $d, $a, $b, $c;",
        "i32 i32 i32 i32",
        lambda a, b, c: clamped(signed(_mul24("s", 16)(a, b), 32) + signed(c, 32), "s32"),
    )
    for first in "us":
        for second in "us":
            yield form(f"dp4a.{first}32.{second}32 $d, $a, $b, $c;", "i32 i32 i32 i32", _dot(first, second))
            for part, shift in (("lo", 0), ("hi", 16)):
                yield form(
                    f"dp2a.{part}.{first}32.{second}32 $d, $a, $b, $c;",
                    "i32 i32 i32 i32",
                    _dot2(first, second, shift),
                )


def _mul24(sign: str, shift: int) -> Callable[[int, int], int]:
    return lambda a, b: number(a, f"{sign}24") * number(b, f"{sign}24") >> shift


def _dot(first: str, second: str) -> Callable[[int, int, int], int]:
    return lambda a, b, c: (
        c
        + sum(number(a >> place, f"{first}8") * number(b >> place, f"{second}8") for place in (0, 8, 16, 24))
    )


def _dot2(first: str, second: str, shift: int) -> Callable[[int, int, int], int]:
    return lambda a, b, c: (
        c
        + number(a, f"{first}16") * number(b >> shift, f"{second}8")
        + number(a >> 16, f"{first}16") * number(b >> shift + 8, f"{second}8")
    )


def _chains() -> Iterator[Form]:
    """Carry chains, two links and three."""
    for bits in (32, 64):
        i, sign = f"i{bits}", "u" if bits == 64 else "s"
        mask = (1 << bits) - 1
        yield form(
            f"{{ add.cc.u{bits} $d, $a, $b; addc.u{bits} $e, $c, $f; }}",
            f"{i} {i} {i} {i} {i} {i}",
            lambda a, b, c, f, bits=bits: (a + b, c + f + (a + b >> bits)),
            results=2,
        )
        yield form(
            f"{{ sub.cc.{sign}{bits} $d, $a, $b; subc.{sign}{bits} $e, $c, $f; }}",
            f"{i} {i} {i} {i} {i} {i}",
            lambda a, b, c, f: (a - b, c - f - (a < b)),
            results=2,
        )
        yield form(
            f"{{ add.cc.u{bits} $d, $a, $b; addc.cc.u{bits} $e, $c, $f; addc.u{bits} $g, $a, 0; }}",
            f"{i} {i} {i} {i} {i} {i} {i}",
            lambda a, b, c, f, bits=bits: _carried((a, b), (c, f), bits, a),
            results=3,
        )
        yield form(
            f"{{ sub.cc.u{bits} $d, $a, $b; subc.cc.u{bits} $e, $c, $f; subc.u{bits} $g, $a, 0; }}",
            f"{i} {i} {i} {i} {i} {i} {i}",
            lambda a, b, c, f: (a - b, c - f - (a < b), a - (c - f - (a < b) < 0)),
            results=3,
        )
        yield form(
            f"{{ mad.lo.cc.u{bits} $d, $a, $b, $c; madc.hi.u{bits} $e, $a, $b, $f; }}",
            f"{i} {i} {i} {i} {i} {i}",
            lambda a, b, c, f, bits=bits: (a * b + c, (a * b + c + (f << bits)) >> bits),
            results=2,
        )
        yield form(
            f"{{ mad.hi.cc.s{bits} $d, $a, $b, $c; madc.lo.cc.s{bits} $e, $a, $b, $f; addc.u{bits} $g, $c, $f; }}",
            f"{i} {i} {i} {i} {i} {i} {i}",
            lambda a, b, c, f, bits=bits, mask=mask: _mixed(a, b, c, f, bits, mask),
            results=3,
        )


def _carried(low: tuple[int, int], high: tuple[int, int], bits: int, last: int) -> tuple[int, int, int]:
    first = sum(low)
    second = sum(high) + (first >> bits)
    return first, second, last + (second >> bits)


def _mixed(a: int, b: int, c: int, f: int, bits: int, mask: int) -> tuple[int, int, int]:
    product = signed(a, bits) * signed(b, bits)
    first = (product >> bits & mask) + c
    second = (product & mask) + f + (first >> bits)
    return first, second, c + f + (second >> bits)


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _sums()
    yield from _products()
    yield from _chains()
