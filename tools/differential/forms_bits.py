"""Logic, shifts, bit fields, counting, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential.forms import form, number, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form

_LOGIC: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def _logic() -> Iterator[Form]:
    for name, function in _LOGIC.items():
        yield form(f"{name}.pred $d, $a, $b;", "pred pred pred", function)
        for bits in (16, 32, 64):
            yield form(f"{name}.b{bits} $d, $a, $b;", f"i{bits} i{bits} i{bits}", function)
    yield form("not.pred $d, $a;", "pred pred", lambda a: ~a)
    for bits in (16, 32, 64):
        yield form(f"not.b{bits} $d, $a;", f"i{bits} i{bits}", lambda a: ~a)
        yield form(f"cnot.b{bits} $d, $a;", f"i{bits} i{bits}", lambda a: a == 0)
    for table in (0x01, 0x1B, 0x3C, 0x6A, 0x80, 0x96, 0xB2, 0xCA, 0xE8, 0xF1, 0xFE):
        yield form(f"lop3.b32 $d, $a, $b, $c, {table:#x};", "i32 i32 i32 i32", _lop3(table))
    for name in ("or", "and"):
        yield form(
            f"lop3.{name}.b32 $d|$e, $a, $b, $c, 0x6a, $f;",
            "i32 pred i32 i32 i32 pred",
            lambda a, b, c, p, name=name: (
                _lop3(0x6A)(a, b, c),
                _LOGIC[name](int(_lop3(0x6A)(a, b, c) != 0), p),
            ),
            results=2,
            immediates=False,
        )


def _lop3(table: int) -> Callable[[int, int, int], int]:
    def function(a: int, b: int, c: int) -> int:
        terms = 0
        for row in range(8):
            if table >> row & 1:
                terms |= (a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c)
        return terms & 0xFFFF_FFFF

    return function


def _shifts() -> Iterator[Form]:
    # counts beyond the width are rare among random numbers: take the low 7 bits now and then
    for text, take in (("$b", lambda b: b), ("x", lambda b: b & 0x7F)):
        before = "" if text == "$b" else ".reg .b32 x; and.b32 x, $b, 127;"
        for bits in (16, 32, 64):
            i = f"i{bits}"
            yield form(
                f"{{ {before} shl.b{bits} $d, $a, {text}; }}",
                f"{i} {i} i32",
                lambda a, b, bits=bits, take=take: a << min(take(b), bits),
            )
            for kind in (f"u{bits}", f"s{bits}", f"b{bits}"):
                yield form(
                    f"{{ {before} shr.{kind} $d, $a, {text}; }}",
                    f"{i} {i} i32",
                    lambda a, b, kind=kind, bits=bits, take=take: number(a, kind) >> min(take(b), bits),
                )
        for side in "lr":
            for mode in ("clamp", "wrap"):
                yield form(
                    f"{{ {before} shf.{side}.{mode}.b32 $d, $a, $b, {text if before else '$c'}; }}",
                    "i32 i32 i32" + ("" if before else " i32"),
                    _funnel(side, mode, bool(before)),
                )


def _funnel(side: str, mode: str, own: bool) -> Callable[..., int]:
    def function(a: int, b: int, c: int = 0) -> int:
        count = b & 0x7F if own else c
        count = count & 31 if mode == "wrap" else min(count, 32)
        pair = b << 32 | a
        return pair << count >> 32 if side == "l" else pair >> count

    return function


def _fields() -> Iterator[Form]:
    for bits in (32, 64):
        for sign in "us":
            # fields near the width, the manual's whole range of counts
            text = (
                f"{{ .reg .b32 x, y; and.b32 x, $b, 127; and.b32 y, $c, 127; "
                f"bfe.{sign}{bits} $d, $a, x, y; }}"
            )
            yield form(text, f"i{bits} i{bits} i32 i32", _extracted(bits, sign))
        text = (
            "{ .reg .b32 x, y; and.b32 x, $c, 127; and.b32 y, $f, 127; " + f"bfi.b{bits} $d, $a, $b, x, y; }}"
        )
        yield form(text, f"i{bits} i{bits} i{bits} i32 i32", _inserted(bits))
        yield form(f"popc.b{bits} $d, $a;", f"i32 i{bits}", int.bit_count)
        yield form(f"clz.b{bits} $d, $a;", f"i32 i{bits}", lambda a, bits=bits: bits - a.bit_length())
        yield form(
            f"brev.b{bits} $d, $a;",
            f"i{bits} i{bits}",
            lambda a, bits=bits: sum((a >> place & 1) << bits - 1 - place for place in range(bits)),
        )
        for sign in "us":
            for amount in ("", ".shiftamt"):
                yield form(
                    f"bfind{amount}.{sign}{bits} $d, $a;", f"i32 i{bits}", _found(bits, sign, bool(amount))
                )
    # the low 8 bits of 32-bit fields' places and lengths count
    yield form("bfe.u32 $d, $a, $b, $c;", "i32 i32 i32 i32", _extracted(32, "u", 255))
    for mode in ("clamp", "wrap"):
        yield form(f"bmsk.{mode}.b32 $d, $a, $b;", "i32 i32 i32", _mask(mode))
        yield form(
            f"{{ .reg .b32 x, y; and.b32 x, $a, 63; and.b32 y, $b, 63; bmsk.{mode}.b32 $d, x, y; }}",
            "i32 i32 i32",
            lambda a, b, mode=mode: _mask(mode)(a & 63, b & 63),
        )
        for sign in "us":
            yield form(
                f"{{ .reg .b32 x; and.b32 x, $b, 63; szext.{mode}.{sign}32 $d, $a, x; }}",
                "i32 i32 i32",
                _extended(sign, mode),
            )
    yield form(
        "{ .reg .b32 x, y; and.b32 x, $b, 31; and.b32 y, $c, 7; sub.s32 y, y, 3; fns.b32 $d, $a, x, y; }",
        "i32 i32 i32 i32",
        lambda a, b, c: _nth(a, b & 31, (c & 7) - 3),
    )


def _extracted(bits: int, sign: str, mask: int = 127) -> Callable[[int, int, int], int]:
    def function(a: int, b: int, c: int) -> int:
        position, length = b & mask, c & mask
        if length == 0:
            return 0
        top = a >> min(position + length - 1, bits - 1) & 1 if sign == "s" else 0
        field = a >> position & ((1 << length) - 1)
        inside = min(max(bits - position, 0), length)
        return field | (-top << inside) if top else field

    return function


def _inserted(bits: int) -> Callable[[int, int, int, int], int]:
    def function(a: int, b: int, c: int, f: int) -> int:
        mask = ((1 << (f & 127)) - 1) << (c & 127)
        return (a << (c & 127)) & mask | b & ~mask

    return function


def _found(bits: int, sign: str, amount: bool) -> Callable[[int], int]:
    def function(a: int) -> int:
        if sign == "s" and a >> (bits - 1):
            a ^= (1 << bits) - 1
        if a == 0:
            return -1
        return bits - a.bit_length() if amount else a.bit_length() - 1

    return function


def _mask(mode: str) -> Callable[[int, int], int]:
    def function(a: int, b: int) -> int:
        a, b = (a & 31, b & 31) if mode == "wrap" else (min(a, 32), min(b, 32))
        return ((1 << b) - 1) << a

    return function


def _extended(sign: str, mode: str) -> Callable[[int, int], int]:
    def function(a: int, b: int) -> int:
        count = b & 31 if mode == "wrap" else min(b & 63, 32)
        if count == 0:
            return 0
        return signed(a, count) if sign == "s" else a & ((1 << count) - 1)

    return function


def _nth(mask: int, base: int, offset: int) -> int:
    if offset == 0:
        return base if mask >> base & 1 else -1
    places = range(base, 32) if offset > 0 else range(base, -1, -1)
    found = [place for place in places if mask >> place & 1]
    return found[abs(offset) - 1] if len(found) >= abs(offset) else -1


def _bytes() -> Iterator[Form]:
    yield form("prmt.b32 $d, $a, $b, $c;", "i32 i32 i32 i32", permuted)
    for selector in (0x0123, 0x7531, 0x8899, 0xBA98, 0x4F51):
        yield form(
            f"prmt.b32 $d, $a, $b, {selector:#x};",
            "i32 i32 i32",
            lambda a, b, selector=selector: permuted(a, b, selector),
        )
    for mode, choose in _MODES.items():
        yield form(
            f"prmt.b32.{mode} $d, $a, $b, $c;",
            "i32 i32 i32 i32",
            lambda a, b, c, choose=choose: sum(
                ((b << 32 | a) >> 8 * choose(c & 3, place) & 255) << 8 * place for place in range(4)
            ),
        )


#: byte of {b, a} that goes to a place, by the selector's two low bits
_MODES: dict[str, Callable[[int, int], int]] = {
    "f4e": lambda n, place: n + place,
    "b4e": lambda n, place: (n - place) % 8,
    "rc8": lambda n, place: n,
    "ecl": lambda n, place: max(n, place),
    "ecr": lambda n, place: min(n, place),
    "rc16": lambda n, place: 2 * (n & 1) + (place & 1),
}


def permuted(a: int, b: int, c: int) -> int:
    """Return the bytes of two words that a selector of ``prmt`` chooses."""
    result = 0
    for place in range(4):
        selector = c >> 4 * place & 15
        byte = (b << 32 | a) >> 8 * (selector & 7) & 255
        if selector & 8:
            byte = 255 if byte & 128 else 0
        result |= byte << 8 * place
    return result


def _moves() -> Iterator[Form]:
    for bits in (16, 32, 64):
        i = f"i{bits}"
        for kind in (f"b{bits}", f"u{bits}", f"s{bits}"):
            yield form(f"mov.{kind} $d, $a;", f"{i} {i}", lambda a: a)
    yield form("mov.f32 $d, $a;", "f32 f32", lambda a: a)
    yield form("mov.f64 $d, $a;", "f64 f64", lambda a: a)
    yield form("mov.pred $d, $a;", "pred pred", lambda a: a)
    yield form("mov.b32 $d, {$a, $b};", "i32 i16 i16", lambda a, b: a | b << 16)
    yield form("mov.b64 $d, {$a, $b};", "i64 i32 i32", lambda a, b: a | b << 32)
    yield form(
        "mov.b64 $d, {$a, $b, $c, $f};",
        "i64 i16 i16 i16 i16",
        lambda a, b, c, f: a | b << 16 | c << 32 | f << 48,
    )
    yield form("mov.b32 {$d, $e}, $a;", "i16 i16 i32", lambda a: (a, a >> 16), results=2)
    yield form("mov.b64 {$d, $e}, $a;", "i32 i32 i64", lambda a: (a, a >> 32), results=2)
    yield form("mov.b64 {_, $d}, $a;", "i32 i64", lambda a: a >> 32)
    yield form(
        "mov.b64 {$d, $e, $g, $h}, $a;",
        "i16 i16 i16 i16 i64",
        lambda a: (a, a >> 16, a >> 32, a >> 48),
        results=4,
    )
    yield form(
        "{ .reg .b128 x; mov.b128 x, {$a, $b}; mov.b128 {$e, $d}, x; }",
        "i64 i64 i64 i64",
        lambda a, b: (b, a),
        results=2,
        immediates=False,
    )


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _logic()
    yield from _shifts()
    yield from _fields()
    yield from _bytes()
    yield from _moves()
