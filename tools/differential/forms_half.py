"""f16 and bf16, one or two in a register."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential import numbers
from tools.differential.forms import form
from tools.differential.forms_float import arithmetic, extremum, sign_changed, sign_of_product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form


def lanes(function: Callable[..., int], packed: bool) -> Callable[..., int]:
    """Return a function of one number as one of a register."""
    if not packed:
        return function

    def both(*words: int) -> int:
        low = function(*(word & 0xFFFF for word in words))
        return low | function(*(word >> 16 for word in words)) << 16

    return both


_STEPS: dict[str, Callable[..., int]] = {
    "add": numbers.add,
    "sub": lambda kind, a, b, mode: numbers.add(kind, a, numbers.negative(kind, b), mode),
    "mul": numbers.multiply,
}


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    for kind in ("f16", "bf16"):
        for packed in (False, True):
            name = kind + "x2" * packed
            for flushes in (False, True) if kind == "f16" else (False,):
                yield from _of(kind, name, packed, flushes)


def _of(kind: str, name: str, packed: bool, flushes: bool) -> Iterator[Form]:
    ftz = ".ftz" * flushes
    for opcode, function in _STEPS.items():
        for saturates in (False, True) if kind == "f16" else (False,):
            yield form(
                f"{opcode}.rn{ftz}{'.sat' * saturates}.{name} $d, $a, $b;",
                f"{name} {name} {name}",
                lanes(arithmetic(kind, function, "rn", flushes, saturates), packed),
                immediates=False,
            )
    four = f"{name} {name} {name} {name}"
    fused = arithmetic(kind, numbers.fused, "rn", flushes)
    yield form(f"fma.rn{ftz}.{name} $d, $a, $b, $c;", four, lanes(fused, packed), immediates=False)
    yield form(
        f"fma.rn{ftz}.relu.{name} $d, $a, $b, $c;",
        four,
        lanes(lambda a, b, c: numbers.clipped(kind, fused(a, b, c)), packed),
        immediates=False,
    )
    if kind == "f16":
        yield form(
            f"fma.rn{ftz}.sat.{name} $d, $a, $b, $c;",
            four,
            lanes(arithmetic(kind, numbers.fused, "rn", flushes, True), packed),
            immediates=False,
        )
        product, total = (arithmetic(kind, _STEPS[each], "rn", flushes) for each in ("mul", "add"))
        bits = 32 if packed else 16
        yield form(
            f"{{ .reg .b{bits} x; mul{ftz}.{name} x, $a, $b; add{ftz}.{name} $d, x, $c; }}",
            four,
            lanes(lambda a, b, c: total(product(a, b), c), packed),
            lanes(fused, packed),
            last=True,
            immediates=False,
        )
    for opcode in ("min", "max"):
        for keeps in (False, True):
            for signs in (False, True):
                make = sign_of_product if signs else extremum
                yield form(
                    f"{opcode}{ftz}{'.NaN' * keeps}{'.xorsign.abs' * signs}.{name} $d, $a, $b;",
                    f"{name} {name}{'=' * signs} {name}{'=' * signs}",
                    lanes(make(kind, opcode == "max", keeps, flushes), packed),
                    immediates=False,
                )
    for opcode in ("abs", "neg"):
        yield form(
            f"{opcode}{ftz}.{name} $d, $a;",
            f"{name} {name}",
            lanes(sign_changed(kind, opcode == "abs", flushes), packed),
            immediates=False,
        )
