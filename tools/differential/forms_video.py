"""Video instructions: on parts of words, one, two or four at a time.

Those on one part are what an H200 does with PTX that ptxas 13.0 assembled, which is not always what the manual
says: results were compared in 64 bits, :func:`merged`, :func:`secondary`, ``.sat`` and ``vmad`` say how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential.forms import clamped, form as any_form, number, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form

_STEPS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "absdiff": lambda a, b: abs(a - b),
    "min": min,
    "max": max,
}
_TESTS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
_PARTS = ("", ".b0", ".b1", ".b2", ".b3", ".h0", ".h1")


def form(text: str, kinds: str, function: Callable[..., object]) -> Form:
    """Return a form without constants, of which there are no parts."""
    return any_form(text, kinds, function, immediates=False)


def part(value: int, kind: str, selector: str) -> int:
    """Return the part of a word that a selector names, extended by the sign of its type."""
    if not selector:
        return number(value, kind)
    bits = 8 if selector[1] == "b" else 16
    return number(value >> bits * int(selector[2]), f"{kind[0]}{bits}")


def merged(value: int, selector: str, into: int) -> int:
    """Return a word with a part replaced: by the low bits of a number, the upper half by its upper half."""
    bits = 8 if selector[1] == "b" else 16
    place = bits * int(selector[2])
    mask = ((1 << bits) - 1) << place
    placed = value if selector == ".h1" else value << place
    return into & ~mask | placed & mask


def secondary(name: str, value: int, c: int, kind: str) -> int:
    """Return the outcome of ``.add``, ``.min`` or ``.max`` with the third operand, in 64 bits."""
    if name == "add":
        return value + c
    wide = f"{kind[0]}64"
    return {"min": min, "max": max}[name](number(value, wide), number(c, kind))


def _limited(value: int, kind: str, into: str) -> int:
    """Return what ``.sat`` makes of a number: of a negative one for a part of a word the largest."""
    if into:
        bits = 8 if into[1] == "b" else 16
        return min(number(value, "u64"), clamped(1 << 64, f"{kind[0]}{bits}"))
    return clamped(value, kind) if kind == "s32" else max(value, 0)


def _scalar() -> Iterator[Form]:
    place = 0
    for name, step in _STEPS.items():
        for kinds in ("uuu", "sss", "sus", "usu", "ssu", "uss"):
            target, first, second = (f"{sign}32" for sign in kinds)
            for saturates in (False, True):
                place += 1
                one, other = _PARTS[place % 7], _PARTS[place * 3 % 7]
                into = _PARTS[1 + place % 6]
                sat = ".sat" * saturates

                def base(a: int, b: int, into: str, f: str = first, s: str = second, t: str = target,
                         one: str = one, other: str = other, step: Callable[[int, int], int] = step,
                         saturates: bool = saturates, cut: bool = name in ("add", "sub")) -> int:  # fmt: skip
                    value = step(part(a, f, one), part(b, s, other))
                    value = _limited(value, t, into) if saturates else value
                    return number(value, "s32") if cut else value

                stem = f"v{name}.{target}.{first}.{second}{sat}"
                yield form(
                    f"{stem} $d, $a{one}, $b{other};", "i32 i32 i32", lambda a, b, base=base: base(a, b, "")
                )
                more = ("add", "min", "max")[place % 3]
                yield form(
                    f"{stem}.{more} $d, $a{one}, $b{other}, $c;",
                    "i32 i32 i32 i32",
                    lambda a, b, c, base=base, more=more, t=target: secondary(more, base(a, b, ""), c, t),
                )
                yield form(
                    f"{stem} $d{into}, $a{one}, $b{other}, $c;",
                    "i32 i32 i32 i32",
                    lambda a, b, c, base=base, into=into: merged(base(a, b, into), into, c),
                )


def _shifts() -> Iterator[Form]:
    place = 0
    for name in ("vshl", "vshr"):
        for target in ("u32", "s32"):
            for source in ("u32", "s32"):
                for mode in ("clamp", "wrap"):
                    for saturates in (False, True):
                        place += 1
                        one, into = _PARTS[place % 7], _PARTS[1 + place % 6]

                        def base(a: int, b: int, name: str = name, t: str = target, s: str = source,
                                 mode: str = mode, one: str = one, saturates: bool = saturates) -> int:  # fmt: skip
                            count = b & 255
                            count = min(count, 32) if mode == "clamp" else count & 31
                            value = part(a, s, one)
                            value = value << count if name == "vshl" else value >> count
                            # for a part of a word too, the word is limited, of which 34 bits are looked at
                            return clamped(signed(value, 34), t) if saturates else value

                        stem = f"{name}.{target}.{source}.u32{'.sat' * saturates}.{mode}"
                        yield form(
                            f"{stem} $d, $a{one}, $b.b0;",
                            "i32 i32 i32",
                            base,
                        )
                        yield form(
                            f"{stem}.add $d, $a{one}, $b.b0, $c;",
                            "i32 i32 i32 i32",
                            lambda a, b, c, base=base: base(a, b) + c,
                        )
                        yield form(
                            f"{stem} $d{into}, $a{one}, $b.b0, $c;",
                            "i32 i32 i32 i32",
                            lambda a, b, c, base=base, into=into: merged(base(a, b), into, c),
                        )


def _comparisons() -> Iterator[Form]:
    for place, (name, test) in enumerate(_TESTS.items()):
        for first in ("u32", "s32"):
            for second in ("u32", "s32"):
                one, other, into = _PARTS[place + 1], _PARTS[6 - place], _PARTS[1 + (place + 2) % 6]

                def base(a: int, b: int, f: str = first, s: str = second, one: str = one, other: str = other,
                         test: Callable[[int, int], bool] = test) -> int:  # fmt: skip
                    return int(test(part(a, f, one), part(b, s, other)))

                stem = f"vset.{first}.{second}.{name}"
                yield form(f"{stem} $d, $a{one}, $b{other};", "i32 i32 i32", base)
                yield form(
                    f"{stem}.max $d, $a{one}, $b{other}, $c;",
                    "i32 i32 i32 i32",
                    lambda a, b, c, base=base, kind=first: secondary("max", base(a, b), c, kind),
                )
                yield form(
                    f"{stem} $d{into}, $a{one}, $b{other}, $c;",
                    "i32 i32 i32 i32",
                    lambda a, b, c, base=base, into=into: merged(base(a, b), into, c),
                )


def _products() -> Iterator[Form]:
    for place, (target, first, second, a, c) in enumerate(
        (
            ("u32", "u32", "u32", "", ""),
            ("s32", "u32", "u32", "-", ""),
            ("s32", "u32", "u32", "", "-"),
            ("s32", "u32", "s32", "", ""),
            ("s32", "s32", "u32", "-", ""),
            ("s32", "s32", "s32", "", ""),
            ("s32", "s32", "s32", "", "-"),
        )
    ):
        for saturates in (False, True):
            for scale in ("", ".shr7", ".shr15"):
                one, other = _PARTS[(place + len(scale)) % 7], _PARTS[(2 * place) % 7]
                sign = "s" if a or c or "s32" in (first, second) else "u"

                def computed(x: int, y: int, z: int, target: str = target, first: str = first, second: str = second,
                             a: str = a, c: str = c, one: str = one, other: str = other, sign: str = sign,
                             scale: str = scale, saturates: bool = saturates, more: int = 0) -> int:  # fmt: skip
                    # whole words count as signed, and so does the third operand
                    total = signed(part(x, first, one), 32) * signed(part(y, second, other), 32)
                    total = total * (-1 if a else 1) + signed(z, 32) * (-1 if c else 1) + more
                    total = number(total, f"{sign}64") >> int(scale[4:] or 0)
                    return clamped(signed(total, 64), f"{sign}32") if saturates else total

                stem = f"vmad.{target}.{first}.{second}{'.sat' * saturates}{scale}"
                yield form(
                    f"{stem} $d, {a}$a{one}, $b{other}, {c}$c;",
                    "i32 i32 i32 i32",
                    computed,
                )
                if not a and not c:
                    stem = f"vmad.{target}.{first}.{second}.po{'.sat' * saturates}{scale}"
                    yield form(
                        f"{stem} $d, $a{one}, $b{other}, $c;",
                        "i32 i32 i32 i32",
                        lambda x, y, z, computed=computed: computed(x, y, z, more=1),
                    )


def _averaged(a: int, b: int) -> int:
    return a + b + (a + b >= 0) >> 1


def _lanes(a: int, b: int, selector: str, kind: str, count: int) -> list[int]:
    bits = 32 // count
    pair = b << 32 | a
    return [number(pair >> bits * int(digit), f"{kind[0]}{bits}") for digit in reversed(selector)]


def _simd() -> Iterator[Form]:
    steps: dict[str, Callable[[int, int], int]] = {**_STEPS, "avrg": _averaged}
    tests = {name: lambda a, b, test=test: int(test(a, b)) for name, test in _TESTS.items()}
    place = 0
    for count, letter, selectors, masks in (
        (2, "h", ("10", "32", "23", "00", "31"), ("", "0", "1", "10")),
        (4, "b", ("3210", "7654", "0246", "5511", "7610"), ("", "0", "10", "21", "3", "320")),
    ):
        for name, step in steps.items():
            for kinds in ("uuu", "sss", "suu", "sus"):
                target, first, second = (f"{sign}32" for sign in kinds)
                for sat in ("", ".sat"):
                    place += 1
                    yield from _both(
                        count, letter, f"v{name}{count}.{target}.{first}.{second}", sat, step,
                        (target, first, second), selectors, masks, place,
                    )  # fmt: skip
        for name, test in tests.items():
            for kinds in ("uu", "ss", "us"):
                first, second = (f"{sign}32" for sign in kinds)
                place += 1
                yield from _both(
                    count, letter, f"vset{count}.{first}.{second}.{name}", "", test, ("u32", first, second),
                    selectors, masks, place,
                )  # fmt: skip


def _both(
    count: int, letter: str, stem: str, sat: str, step: Callable[[int, int], int], kinds: tuple[str, str, str],
    selectors: tuple[str, ...], masks: tuple[str, ...], place: int,
) -> Iterator[Form]:  # fmt: skip
    """Yield the form that merges and the one that adds up."""
    target, first, second = kinds
    bits = 32 // count
    one, other = selectors[place % 5], selectors[(place * 2 + 1) % 5]
    mask = masks[place % len(masks)]
    chosen = mask or "3210"[4 - count :]

    def lanes(a: int, b: int) -> list[int]:
        firsts, seconds = (
            _lanes(a, b, selector, kind, count) for selector, kind in ((one, first), (other, second))
        )
        found = [step(x, y) for x, y in zip(firsts, seconds, strict=True)]
        return [clamped(value, f"{target[0]}{bits}") for value in found] if sat else found

    def merges(a: int, b: int, c: int) -> int:
        result = 0
        for lane, value in enumerate(lanes(a, b)):
            taken = value if str(lane) in chosen else c >> bits * lane
            result |= (taken & ((1 << bits) - 1)) << bits * lane
        return result

    def adds(a: int, b: int, c: int) -> int:
        return c + sum(value for lane, value in enumerate(lanes(a, b)) if str(lane) in chosen)

    operands = f"$d{f'.{letter}{mask}' * bool(mask)}, $a.{letter}{one}, $b.{letter}{other}, $c;"
    yield form(f"{stem}{sat} {operands}", "i32 i32 i32 i32", merges)
    if not sat:
        yield form(f"{stem}.add {operands}", "i32 i32 i32 i32", adds)


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _scalar()
    yield from _shifts()
    yield from _comparisons()
    yield from _products()
    yield from _simd()
