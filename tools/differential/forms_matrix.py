"""Products of matrices that a warp holds together, where no order of the sums matters; and moved matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential import numbers
from tools.differential.forms import clamped, form, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Column, Form


def _warps(function: Callable[..., list[list[int]]]) -> Callable[..., tuple[Column, ...]]:
    """Return a function of whole columns from one of a warp's columns."""

    def together(*columns: Column) -> tuple[Column, ...]:
        found: list[list[int]] = []
        for start in range(0, len(columns[0]), 32):
            parts = function(*(column[start : start + 32] for column in columns))
            found = [old + new for old, new in zip(found or [[]] * len(parts), parts, strict=True)]
        return tuple(found)

    return together


def _multiplied(
    a: list[Column], b: list[Column], c: list[Column], per_word: int, read: Callable[[int, int, int], int]
) -> list[list[int]]:
    """Return D of ``m16n8``, from registers by lane; ``read`` takes a word, a place in it and 0 for A, 1 for B.

    The places are those of the manual's tables: A's row is the lane's group, or that and 8, and so on.
    """
    k = 4 * per_word * len(b)

    def of_a(row: int, column: int) -> int:
        block, inside = divmod(column, 4 * per_word)
        lane = row % 8 * 4 + inside // per_word
        return read(a[row // 8 + 2 * block][lane], inside % per_word, 0)

    def of_b(row: int, column: int) -> int:
        block, inside = divmod(row, 4 * per_word)
        return read(b[block][column * 4 + inside // per_word], inside % per_word, 1)

    results = []
    for place in range(4):
        column = []
        for lane in range(32):
            row, other = lane // 4 + 8 * (place // 2), lane % 4 * 2 + place % 2
            column.append(c[place][lane] + sum(of_a(row, at) * of_b(at, other) for at in range(k)))
        results.append(column)
    return results


def _bytes(first: str, second: str, saturates: bool) -> Callable[..., list[list[int]]]:
    def read(word: int, place: int, factor: int) -> int:
        value = word >> 8 * place & 255
        return signed(value, 8) if (first, second)[factor] == "s8" else value

    def function(a: Column, b: Column, c: Column, f: Column) -> list[list[int]]:
        starts = [[signed(value, 32) for value in column] for column in (f, a, b, c)]
        found = _multiplied([a, b], [c], starts, 4, read)
        return [[clamped(value, "s32") for value in column] for column in found] if saturates else found

    return function


def _signs(a: Column, b: Column, c: Column, f: Column) -> list[list[int]]:
    """Products of 1 and -1 by the signs of halves: sums are whole numbers, exact in any order."""

    def read(word: int, place: int, factor: int) -> int:
        return -1 if word >> 16 * place + 15 & 1 else 1

    zeros = [[0] * 32] * 4
    found = _multiplied([a, b, c, f], [b, c], zeros, 2, read)
    return [[numbers.of_integer("f32", value) for value in column] for column in found]


def _half(word: int, place: int) -> int:
    return word >> 16 * place & 0xFFFF


def _loaded(transposed: bool) -> Callable[..., list[list[int]]]:
    def function(*words: Column) -> list[list[int]]:
        found = []
        for matrix in range(4):
            column = []
            for lane in range(32):
                group, t = divmod(lane, 4)
                if transposed:
                    low, high = (words[group // 2][8 * matrix + 2 * t + n] for n in range(2))
                    column.append(_half(low, group % 2) | _half(high, group % 2) << 16)
                else:
                    column.append(words[t][8 * matrix + group])
            found.append(column)
        return found

    return function


def _stored(*words: Column) -> list[list[int]]:
    return [[words[lane // 8][lane % 8 * 4 + place] for lane in range(32)] for place in range(4)]


def _turned(a: Column) -> list[list[int]]:
    column = []
    for lane in range(32):
        group, t = divmod(lane, 4)
        low, high = (_half(a[(2 * t + n) * 4 + group // 2], group % 2) for n in range(2))
        column.append(low | high << 16)
    return [column]


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    eight = "i32 i32 i32 i32 i32 i32 i32 i32"
    for first in ("s8", "u8"):
        for second in ("s8", "u8"):
            for saturates in (False, True):
                yield form(
                    f"mma.sync.aligned.m16n8k16.row.col{'.satfinite' * saturates}.s32.{first}.{second}.s32 "
                    "{$d, $e, $g, $h}, {$a, $b}, {$c}, {$f, $a, $b, $c};",
                    eight,
                    _warps(_bytes(first, second, saturates)),
                    results=4,
                    together=True,
                )
    ones = " ".join(
        f"and.b32 x{place}, ${letter}, 0x80008000; or.b32 x{place}, x{place}, 0x3c003c00;"
        for place, letter in enumerate("abcf")
    )
    yield form(
        f"{{ .reg .b32 x0, x1, x2, x3; .reg .b32 z; mov.b32 z, 0; {ones} "
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{$d, $e, $g, $h}, {x0, x1, x2, x3}, {x1, x2}, {z, z, z, z}; }",
        "f32 f32 f32 f32 i32 i32 i32 i32",
        _warps(_signs),
        results=4,
        together=True,
    )
    for transposed in (False, True):
        yield form(
            "{ st.shared.v4.b32 [%cell], {$a, $b, $c, $f}; bar.warp.sync 0xffffffff; "
            f"ldmatrix.sync.aligned.m8n8.x4{'.trans' * transposed}.shared.b16 {{$d, $e, $g, $h}}, [%cell]; }}",
            eight,
            _warps(_loaded(transposed)),
            results=4,
            together=True,
        )
    yield form(
        "{ stmatrix.sync.aligned.m8n8.x4.shared.b16 [%cell], {$a, $b, $c, $f}; bar.warp.sync 0xffffffff; "
        "ld.shared.v4.b32 {$d, $e, $g, $h}, [%cell]; }",
        eight,
        _warps(_stored),
        results=4,
        together=True,
    )
    yield form("movmatrix.sync.aligned.m8n8.trans.b16 $d, $a;", "i32 i32", _warps(_turned), together=True)
