"""Arithmetic of f32 and f64 as far as the manual leaves no choice; and pairs that may be contracted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential import numbers
from tools.differential.forms import form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form

MODES = ("rn", "rz", "rm", "rp")
_BINARY: dict[str, Callable[..., int]] = {
    "add": numbers.add,
    "sub": lambda kind, a, b, mode: numbers.add(kind, a, numbers.negative(kind, b), mode),
    "mul": numbers.multiply,
    "div": numbers.divide,
}
_OTHER: dict[str, tuple[Callable[..., int], int]] = {
    "fma": (numbers.fused, 3),
    "rcp": (lambda kind, a, mode: numbers.divide(kind, numbers.FORMATS[kind].one, a, mode), 1),
    "sqrt": (numbers.root, 1),
}


def arithmetic(
    kind: str, function: Callable[..., int], mode: str, flushes: bool, saturates: bool = False
) -> Callable[..., int]:
    """Return what an instruction with ``.ftz`` and ``.sat`` computes.

    A result is rounded to all bits of a normal number first, then flushed if that is less than the smallest
    one, so that what rounding to a denormal number would make normal is flushed too (seen on an H200).
    """

    def computed(*values: int) -> int:
        if not flushes:
            result = function(kind, *values, mode)
        else:
            values = tuple(numbers.flushed(kind, value) for value in values)
            wide = f"{kind} unbounded"
            values = tuple(numbers.converted(wide, kind, value) for value in values)
            result = numbers.narrowed(kind, function(wide, *values, mode), mode)
        return numbers.saturated(kind, result) if saturates else result

    return computed


def _rounded() -> Iterator[Form]:
    operations = [(name, function, 2) for name, function in _BINARY.items()]
    operations += [(name, function, count) for name, (function, count) in _OTHER.items()]
    for name, function, count in operations:
        sources = ", ".join(f"${letter}" for letter in "abc"[:count])
        for kind in ("f32", "f64"):
            for mode in MODES:
                for flushes in (False, True) if kind == "f32" else (False,):
                    saturated = (
                        (False, True) if kind == "f32" and name in ("add", "sub", "mul", "fma") else ()
                    )
                    for saturates in saturated or (False,):
                        text = f"{name}.{mode}{'.ftz' * flushes}{'.sat' * saturates}.{kind} $d, {sources};"
                        yield form(
                            text,
                            " ".join([kind] * (count + 1)),
                            arithmetic(kind, function, mode, flushes, saturates),
                        )


def _pairs() -> Iterator[Form]:
    """A product and a sum that ptxas may contract to one rounding, or may leave."""
    for kind in ("f32", "f64"):
        for flushes in (False, True) if kind == "f32" else (False,):
            ftz = ".ftz" * flushes
            for name in ("add", "sub"):
                sum_of = arithmetic(kind, _BINARY[name], "rn", flushes)
                product = arithmetic(kind, numbers.multiply, "rn", flushes)
                fused = arithmetic(kind, numbers.fused, "rn", flushes)
                bits = kind[1:]
                yield form(
                    f"{{ .reg .b{bits} x; mul{ftz}.{kind} x, $a, $b; {name}{ftz}.{kind} $d, x, $c; }}",
                    f"{kind} {kind} {kind} {kind}",
                    lambda a, b, c, s=sum_of, p=product: s(p(a, b), c),
                    lambda a, b, c, f=fused, k=kind, negate=name == "sub": f(
                        a, b, numbers.negative(k, c) if negate else c
                    ),
                    last=True,
                )


def _choices() -> Iterator[Form]:
    for kind in ("f32", "f64"):
        for flushes in (False, True) if kind == "f32" else (False,):
            ftz = ".ftz" * flushes
            for name in ("min", "max"):
                for keeps in (False, True) if kind == "f32" else (False,):
                    yield form(
                        f"{name}{ftz}{'.NaN' * keeps}.{kind} $d, $a, $b;",
                        f"{kind} {kind} {kind}",
                        extremum(kind, name == "max", keeps, flushes),
                    )
                    if kind == "f32":
                        yield form(
                            f"{name}{ftz}{'.NaN' * keeps}.xorsign.abs.f32 $d, $a, $b;",
                            "f32 f32= f32=",
                            sign_of_product(kind, name == "max", keeps, flushes),
                        )
            yield form(f"abs{ftz}.{kind} $d, $a;", f"{kind} {kind}", sign_changed(kind, True, flushes))
            yield form(f"neg{ftz}.{kind} $d, $a;", f"{kind} {kind}", sign_changed(kind, False, flushes))
        bits = numbers.FORMATS[kind].bits
        yield form(
            f"copysign.{kind} $d, $a, $b;",
            f"{kind} {kind}= {kind}",
            lambda a, b, top=1 << (bits - 1): a & top | b & (top - 1),
        )
        for name, test in _PROPERTIES.items():
            yield form(
                f"testp.{name}.{kind} $d, $a;",
                f"pred {kind}",
                lambda a, test=test, kind=kind: test(kind, a),
                immediates=False,
            )


def extremum(kind: str, largest: bool, keeps: bool, flushes: bool) -> Callable[[int, int], int]:
    """Return what ``min`` or ``max`` computes."""

    def function(a: int, b: int) -> int:
        if flushes:
            a, b = numbers.flushed(kind, a), numbers.flushed(kind, b)
        return numbers.extremum(kind, a, b, largest, keeps)

    return function


def sign_of_product(kind: str, largest: bool, keeps: bool, flushes: bool) -> Callable[[int, int], int]:
    """Return what ``min`` or ``max`` with ``.xorsign.abs`` computes."""

    def function(a: int, b: int) -> int:
        top = numbers.FORMATS[kind].sign
        size = extremum(kind, largest, keeps, flushes)(a & ~top, b & ~top)
        return size & ~top | (a ^ b) & top

    return function


def sign_changed(kind: str, absolute: bool, flushes: bool) -> Callable[[int], int]:
    """Return what ``abs`` or ``neg`` computes."""

    def function(a: int) -> int:
        top = numbers.FORMATS[kind].sign
        if numbers.is_nan(kind, a):
            return numbers.FORMATS[kind].nan
        a = numbers.flushed(kind, a) if flushes else a
        return a & ~top if absolute else a ^ top

    return function


def _is_denormal(kind: str, bits: int) -> bool:
    form_ = numbers.FORMATS[kind]
    return 0 < bits & (form_.sign - 1) < 1 << form_.fraction


_PROPERTIES: dict[str, Callable[[str, int], bool]] = {
    "finite": lambda kind, a: _is_finite(kind, a),
    "infinite": numbers.is_infinite,
    "number": lambda kind, a: not numbers.is_nan(kind, a),
    "notanumber": numbers.is_nan,
    "normal": lambda kind, a: (
        not (numbers.is_nan(kind, a) or numbers.is_infinite(kind, a) or _is_denormal(kind, a))
    ),
    "subnormal": _is_denormal,
}


def _signs_of_nans() -> Iterator[Form]:
    """What arithmetic gives where there is no number has the sign of 0x7fffffff, as a difference of 0 has."""
    difference = "{ .reg .b32 x; sub.rn.f32 x, $a, $a;"
    yield form(
        f"{difference} copysign.f32 $d, x, $b; }}",
        "f32 f32 f32",
        lambda a, b: b & 0x7FFF_FFFF,
        immediates=False,
    )
    yield form(
        f"{difference} max.xorsign.abs.f32 $d, x, $b; }}",
        "f32 f32 f32=",
        lambda a, b: sign_of_product("f32", True, False, False)(
            0 if _is_finite("f32", a) else numbers.FORMATS["f32"].nan, b
        ),
        immediates=False,
    )


def _is_finite(kind: str, bits: int) -> bool:
    return not numbers.is_nan(kind, bits) and not numbers.is_infinite(kind, bits)


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _rounded()
    yield from _pairs()
    yield from _choices()
    yield from _signs_of_nans()
