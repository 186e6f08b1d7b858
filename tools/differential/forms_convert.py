"""``cvt`` between all numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential import numbers
from tools.differential.forms import clamped, form, number
from tools.differential.forms_float import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form

_INTEGERS = tuple(f"{sign}{bits}" for bits in (8, 16, 32, 64) for sign in "us")
_RANK = {"f16": 0, "bf16": 0, "f32": 1, "f64": 2}


def _register(kind: str) -> str:
    """The kind of value that holds a number of a PTX type."""
    return kind if kind in _RANK else f"i{max(int(kind[1:]), 16)}"


def _extended(value: int, kind: str) -> int:
    """An integer as its register holds it: 8-bit numbers are extended by their sign."""
    return number(value, kind)


def _least(kind: str) -> int:
    return -(1 << (int(kind[1:]) - 1)) if kind[0] == "s" else 0


def _most(kind: str) -> int:
    return (1 << (int(kind[1:]) - (kind[0] == "s"))) - 1


def _integers() -> Iterator[Form]:
    for target in _INTEGERS:
        for source in _INTEGERS:
            if target == source:
                continue
            kinds = f"{_register(target)} {_register(source)}"
            yield form(
                f"cvt.{target}.{source} $d, $a;",
                kinds,
                lambda a, t=target, s=source: _extended(number(a, s), t),
            )
            if all(clamped(limit, target) == limit for limit in (_least(source), _most(source))):
                continue  # nothing to saturate, and not allowed
            yield form(
                f"cvt.sat.{target}.{source} $d, $a;",
                kinds,
                lambda a, t=target, s=source: _extended(clamped(number(a, s), t), t),
            )
    for sign in "us":
        for bits in (2, 4, 8, 16):
            kind = f"{sign}{bits}"
            if bits == 16:
                yield form(
                    f"cvt.pack.sat.{kind}.s32 $d, $a, $b;",
                    "i32 i32 i32",
                    lambda a, b, kind=kind: _packed(kind, a, b, 0),
                )
            else:
                yield form(
                    f"cvt.pack.sat.{kind}.s32.b32 $d, $a, $b, $c;",
                    "i32 i32 i32 i32",
                    lambda a, b, c, kind=kind: _packed(kind, a, b, c),
                )


def _packed(kind: str, a: int, b: int, c: int) -> int:
    bits = int(kind[1:])
    high, low = (clamped(number(value, "s32"), kind) & ((1 << bits) - 1) for value in (a, b))
    return c << 2 * bits | high << bits | low


def _to_integer(
    target: str, source: str, mode: str, flushes: bool, saturates: bool = False
) -> Callable[[int], int]:
    def function(a: int) -> int:
        if flushes:
            a = numbers.flushed(source, a)
        if numbers.is_nan(source, a):
            # of 64-bit numbers the largest power of two, as GPUs do it; the manual gives 0 for the others
            bits = int(target[1:])
            return 1 << (bits - 1) if source == "f64" or bits == 64 else 0
        if numbers.is_infinite(source, a):
            huge = 1 << 200
            return _extended(clamped(-huge if numbers.sign_of(source, a) else huge, target), target)
        return _extended(clamped(numbers.integral(source, a, mode), target), target)

    return function


def _floats_and_integers() -> Iterator[Form]:
    for kind in ("f16", "bf16", "f32", "f64"):
        for integer in _INTEGERS[2:] if kind == "bf16" else _INTEGERS:
            for mode in MODES:
                if kind != "f64" or integer not in ("u8", "s8"):
                    for flushes in (False, True) if kind == "f32" else (False,):
                        yield form(
                            f"cvt.{mode}i{'.ftz' * flushes}.{integer}.{kind} $d, $a;",
                            f"{_register(integer)} {kind}",
                            _to_integer(integer, kind, mode, flushes),
                            immediates=False,
                        )
                yield form(
                    f"cvt.{mode}.{kind}.{integer} $d, $a;",
                    f"{kind} {_register(integer)}",
                    lambda a, k=kind, i=integer, mode=mode: numbers.of_integer(k, number(a, i), mode),
                )
    for integer in ("u8", "s16", "s32", "u64"):
        yield form(
            f"cvt.rn.sat.f32.{integer} $d, $a;",
            f"f32 {_register(integer)}",
            lambda a, i=integer: numbers.saturated("f32", numbers.of_integer("f32", number(a, i))),
        )


def _between(
    target: str, source: str, mode: str, flushes: bool, saturates: bool, relu: bool = False
) -> Callable[[int], int]:
    def function(a: int) -> int:
        if flushes and source == "f32" and target != "f16":  # an H200 keeps what an f16 may still hold
            a = numbers.flushed(source, a)
        if flushes and target == "f32" and not numbers.is_nan(source, a):
            wide = f"{target} unbounded"  # as in arithmetic: rounded, then flushed
            result = numbers.narrowed(target, numbers.converted(wide, source, a, mode), mode)
        else:
            result = numbers.converted(target, source, a, mode)
        if saturates:
            result = numbers.saturated(target, result)
        return numbers.clipped(target, result) if relu else result

    return function


def _rounded(kind: str, mode: str, flushes: bool, saturates: bool) -> Callable[[int], int]:
    def function(a: int) -> int:
        if flushes:
            a = numbers.flushed(kind, a)
        if numbers.is_nan(kind, a):
            result = numbers.FORMATS[kind].nan
        elif numbers.is_infinite(kind, a):
            result = a
        else:
            sign = numbers.sign_of(kind, a)
            size = abs(numbers.integral(kind, a, mode))
            result = numbers.rounded(kind, (sign, size, 0))
        return numbers.saturated(kind, result) if saturates else result

    return function


def _widened() -> Iterator[Form]:
    for target, source in (("f32", "f16"), ("f64", "f16"), ("f64", "f32"), ("f32", "bf16")):
        for flushes in (
            (False, True) if (target, source) != ("f32", "bf16") and "f32" in (target, source) else (False,)
        ):
            for saturates in (False, True) if source != "bf16" else (False,):
                yield form(
                    f"cvt{'.ftz' * flushes}{'.sat' * saturates}.{target}.{source} $d, $a;",
                    f"{target} {source}",
                    _between(target, source, "rn", flushes, saturates),
                    immediates=False,
                )


def _between_floats() -> Iterator[Form]:
    for target, source in (("f16", "f32"), ("f16", "f64"), ("f32", "f64")):
        for mode in MODES:
            for flushes in (False, True) if "f32" in (target, source) else (False,):
                for saturates in (False, True):
                    yield form(
                        f"cvt.{mode}{'.ftz' * flushes}{'.sat' * saturates}.{target}.{source} $d, $a;",
                        f"{target} {source}",
                        _between(target, source, mode, flushes, saturates),
                        immediates=False,
                    )


def _to_16_bits() -> Iterator[Form]:
    for target in ("f16", "bf16"):
        for mode in ("rn", "rz"):
            for relu in (False, True):
                one = _between(target, "f32", mode, False, False, relu)
                yield form(
                    f"cvt.{mode}{'.relu' * relu}.{target}.f32 $d, $a;",
                    f"{target} f32",
                    one,
                    immediates=False,
                )
                yield form(
                    f"cvt.{mode}{'.relu' * relu}.{target}x2.f32 $d, $a, $b;",
                    f"{target}x2 f32 f32",
                    lambda a, b, one=one: one(a) << 16 | one(b),
                    immediates=False,
                )


def _to_integral() -> Iterator[Form]:
    for kind in ("f16", "f32", "f64"):
        for mode in MODES:
            for flushes in (False, True) if kind == "f32" else (False,):
                for saturates in (False, True):
                    yield form(
                        f"cvt.{mode}i{'.ftz' * flushes}{'.sat' * saturates}.{kind}.{kind} $d, $a;",
                        f"{kind} {kind}",
                        _rounded(kind, mode, flushes, saturates),
                        immediates=False,
                    )
    # an H200 only cuts the bits of a NaN
    yield form(
        "cvt.rna.tf32.f32 $d, $a;",
        "i32 f32",
        lambda a: (a + 0x1000 * (not numbers.is_nan("f32", a))) & 0xFFFF_E000,
        immediates=False,
    )


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _integers()
    yield from _floats_and_integers()
    yield from _widened()
    yield from _between_floats()
    yield from _to_16_bits()
    yield from _to_integral()
