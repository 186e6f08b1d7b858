"""Comparisons and selections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential import numbers
from tools.differential.forms import form, number, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form

_TESTS: dict[str, Callable[[int], bool]] = {
    "eq": lambda difference: difference == 0,
    "ne": lambda difference: difference != 0,
    "lt": lambda difference: difference < 0,
    "le": lambda difference: difference <= 0,
    "gt": lambda difference: difference > 0,
    "ge": lambda difference: difference >= 0,
}
_UNSIGNED = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
_BOOLEANS: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}
FLOATS = ("f32", "f64", "f16", "bf16")


def _operators(kind: str) -> tuple[str, ...]:
    if kind in FLOATS:
        return (*_TESTS, *(f"{name}u" for name in _TESTS), "num", "nan")
    if kind[0] == "b":
        return ("eq", "ne")
    return (*_TESTS, *_UNSIGNED) if kind[0] == "u" else tuple(_TESTS)


def holds(operator: str, kind: str, a: int, b: int, flushes: bool = False) -> int:
    """Return 1 or 0 as a comparison holds."""
    if kind in FLOATS:
        if flushes:
            a, b = numbers.flushed(kind, a), numbers.flushed(kind, b)
        difference = numbers.compared(kind, a, b)
        if operator in ("num", "nan"):
            return int((difference is None) == (operator == "nan"))
        if difference is None:
            return int(len(operator) == 3)
        return int(_TESTS[operator[:2]](difference))
    return int(_TESTS[_UNSIGNED.get(operator, operator)](number(a, kind) - number(b, kind)))


def _kinds() -> Iterator[tuple[str, str, bool]]:
    for bits in (16, 32, 64):
        for sign in "usb":
            yield f"{sign}{bits}", f"i{bits}", False
    for kind in FLOATS:
        yield kind, kind, False
    yield "f32", "f32", True
    yield "f16", "f16", True


def _setp() -> Iterator[Form]:
    for kind, value, flushes in _kinds():
        ftz = ".ftz" * flushes
        for place, operator in enumerate(_operators(kind)):
            test = _test(operator, kind, flushes)
            if kind in ("f16", "bf16"):
                # of 16-bit numbers there is no second result
                yield form(
                    f"setp.{operator}{ftz}.{kind} $d, $a, $b;",
                    f"pred {value} {value}",
                    test,
                    immediates=False,
                )
                continue
            yield form(
                f"setp.{operator}{ftz}.{kind} $d|$e, $a, $b;",
                f"pred pred {value} {value}",
                lambda a, b, test=test: (test(a, b), 1 - test(a, b)),
                results=2,
            )
            name = tuple(_BOOLEANS)[place % 3]
            yield form(
                f"setp.{operator}.{name}{ftz}.{kind} $d|$e, $a, $b, $c;",
                f"pred pred {value} {value} pred",
                lambda a, b, c, test=test, name=name: (
                    _BOOLEANS[name](test(a, b), c),
                    _BOOLEANS[name](1 - test(a, b), c),
                ),
                results=2,
                immediates=False,
            )
    for kind in ("f16x2", "bf16x2"):
        for operator in ("lt", "geu", "nan", "ne"):
            yield form(
                f"setp.{operator}.{kind} $d|$e, $a, $b;",
                f"pred pred {kind} {kind}",
                lambda a, b, operator=operator, one=kind[:-2]: (
                    holds(operator, one, a & 0xFFFF, b & 0xFFFF),
                    holds(operator, one, a >> 16, b >> 16),
                ),
                results=2,
                immediates=False,
            )


def _test(operator: str, kind: str, flushes: bool) -> Callable[[int, int], int]:
    return lambda a, b: holds(operator, kind, a, b, flushes)


def _set() -> Iterator[Form]:
    results = {
        "u32": ("i32", 0xFFFF_FFFF),
        "s32": ("i32", 0xFFFF_FFFF),
        "f32": ("f32", numbers.FORMATS["f32"].one),
    }
    for kind, value, flushes in _kinds():
        if kind in ("f16", "bf16"):
            continue
        operators = _operators(kind)
        for place, (target, (result, yes)) in enumerate(results.items()):
            for operator in operators[place::2]:
                test = _test(operator, kind, flushes)
                yield form(
                    f"set.{operator}{'.ftz' * flushes}.{target}.{kind} $d, $a, $b;",
                    f"{result} {value} {value}",
                    lambda a, b, test=test, yes=yes: yes * test(a, b),
                )
        name = tuple(_BOOLEANS)[place % 3]
        test = _test(operators[0], kind, flushes)
        yield form(
            f"set.{operators[0]}.{name}{'.ftz' * flushes}.u32.{kind} $d, $a, $b, !$c;",
            f"i32 {value} {value} pred",
            lambda a, b, c, test=test, name=name: 0xFFFF_FFFF * _BOOLEANS[name](test(a, b), 1 - c),
            immediates=False,
        )
    for kind in ("f16", "bf16"):
        one = numbers.FORMATS[kind].one
        for operator in ("eq", "ltu", "ge", "nan"):
            test = _test(operator, kind, False)
            yield form(
                f"set.{operator}.{kind}.{kind} $d, $a, $b;",
                f"{kind} {kind} {kind}",
                lambda a, b, test=test, one=one: one * test(a, b),
                immediates=False,
            )
            yield form(
                f"set.{operator}.u32.{kind} $d, $a, $b;",
                f"i32 {kind} {kind}",
                lambda a, b, test=test: 0xFFFF_FFFF * test(a, b),
                immediates=False,
            )
            yield form(
                f"set.{operator}.{kind}x2.{kind}x2 $d, $a, $b;",
                f"{kind}x2 {kind}x2 {kind}x2",
                lambda a, b, test=test, one=one: (
                    one * test(a & 0xFFFF, b & 0xFFFF) | one * test(a >> 16, b >> 16) << 16
                ),
                immediates=False,
            )


def _select() -> Iterator[Form]:
    for kind, value in (
        *((f"{sign}{bits}", f"i{bits}") for sign in "usb" for bits in (16, 32, 64)),
        ("f32", "f32"),
        ("f64", "f64"),
    ):
        yield form(
            f"selp.{kind} $d, $a, $b, $c;", f"{value} {value} {value} pred", lambda a, b, c: a if c else b
        )
        yield form(
            f"slct.{kind}.s32 $d, $a, $b, $c;",
            f"{value} {value} {value} i32",
            lambda a, b, c: a if signed(c, 32) >= 0 else b,
        )
        for flushes in (False, True):
            yield form(
                f"slct{'.ftz' * flushes}.{kind}.f32 $d, $a, $b, $c;",
                f"{value} {value} {value} f32",
                lambda a, b, c, flushes=flushes: a if holds("ge", "f32", c, 0, flushes) else b,
            )


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _setp()
    yield from _set()
    yield from _select()
