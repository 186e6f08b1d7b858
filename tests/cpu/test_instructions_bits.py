"""Logic, shifts and bit fields against the definitions of the ISA manual, bit by bit."""

from __future__ import annotations

import pytest
from instruction_rows import Row, Table

from pycuda_guard.cpu import jit

COUNTS = [*range(70), 127, 128, 255, 256, 300, 65536, 1 << 31, 0xFFFFFFFF]
SOME_COUNTS = [0, 1, 5, 8, 31, 32, 33, 63, 64, 65, 128, 255, 256, 261]
WORDS = [0, 1, 0x80000000, 0xFFFFFFFF, 0x12345678, 0x89ABCDEF]
LONG_WORDS = [0, 1, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 0x0123456789ABCDEF, 0xFEDCBA9876543210]
MASKS = [0, 1, 0x80000000, 0xFFFFFFFF, 0x00F0A501, 0x80000001]


def mask(width: int) -> int:
    return (1 << width) - 1


def shifted_left(width: int):
    return lambda a, b: a << b if b < width else 0


def constant_shift(width: int, count: int):
    return lambda a: shifted_left(width)(a, count)


def shifted_right(width: int):
    return lambda a, b: a >> min(b, width)


def funnel(left: bool, wrap: bool):
    def expected(a: int, b: int, c: int) -> int:
        n = c & 31 if wrap else min(c, 32)
        pair = b << 32 | a
        return pair << n >> 32 if left else pair >> n

    return expected


def field_place(value: int, width: int) -> int:
    """As an H200 takes it; the manual says 255 of both widths."""
    return value & 255 if width == 32 else value


def extracted(width: int, signed: bool):
    def expected(a: int, b: int, c: int) -> int:
        position, length, top = field_place(b, width), field_place(c, width), width - 1
        a &= mask(width)
        sign = a >> min(position + length - 1, top) & 1 if signed and length else 0
        return sum(
            ((a >> position + i & 1) if i < length and position + i <= top else sign) << i
            for i in range(width)
        )

    return expected


def inserted(width: int):
    def expected(a: int, b: int, c: int, e: int) -> int:
        position, length = field_place(c, width), field_place(e, width)
        result = b
        for i in range(length):
            if position + i < width:
                result = result & ~(1 << position + i) | (a >> i & 1) << position + i
        return result

    return expected


def found(width: int, signed: bool, shift_amount: bool):
    def expected(a: int) -> int:
        a = ~a if signed and a < 0 else a
        if a == 0:
            return -1
        position = a.bit_length() - 1
        return width - 1 - position if shift_amount else position

    return expected


def nth_set(a: int, b: int, c: int) -> int:
    if c == 0:
        return b if a >> b & 1 else -1
    step, left = (1, c - 1) if c > 0 else (-1, -c - 1)
    position = b
    while 0 <= position < 32:
        if a >> position & 1:
            if left == 0:
                return position
            left -= 1
        position += step
    return -1


def permuted(a: int, b: int, c: int) -> int:
    pair = b << 32 | a
    result = 0
    for index in range(4):
        selector = c >> 4 * index & 15
        byte = pair >> 8 * (selector & 7) & 255
        byte = (255 if byte >> 7 else 0) if selector & 8 else byte
        result |= byte << 8 * index
    return result


#: which bytes of {b, a} a mode takes, from the highest of the result down, for c = 0 … 3
MODES = {
    "f4e": ("3210", "4321", "5432", "6543"),
    "b4e": ("5670", "6701", "7012", "0123"),
    "rc8": ("0000", "1111", "2222", "3333"),
    "ecl": ("3210", "3211", "3222", "3333"),
    "ecr": ("0000", "1110", "2210", "3210"),
    "rc16": ("1010", "3232", "1010", "3232"),
}


def permuted_by(mode: str):
    return lambda a, b, c: permuted(a, b, int(MODES[mode][c & 3], 16))


def logic3(table: int):
    return lambda a, b, c: sum(
        (table >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1) & 1) << i for i in range(32)
    )


def bit_mask(wrap: bool):
    def expected(a: int, b: int) -> int:
        if wrap:
            a, b = a & 31, b & 31
        return (mask(min(b, 32)) << a) & mask(32) if a < 32 else 0

    return expected


def extended(signed: bool, wrap: bool):
    def expected(a: int, b: int) -> int:
        b = b & 31 if wrap else b
        if b >= 32:
            return a
        kept = a & mask(b)
        return kept - (1 << b) if signed and b and kept >> b - 1 else kept

    return expected


ROWS = [
    *(
        Row(f"{name}.{kind} %d, %a, %b;", f"{kind} {kind} {kind}", function)
        for kind in ("b16", "b32", "b64", "pred")
        for name, function in (
            ("and", lambda a, b: a & b),
            ("or", lambda a, b: a | b),
            ("xor", lambda a, b: a ^ b),
        )
    ),
    *(Row(f"not.b{n} %d, %a;", f"b{n} b{n}", lambda a: ~a) for n in (16, 32, 64)),
    Row("not.pred %d, %a;", "pred pred", lambda a: not a),
    *(Row(f"cnot.b{n} %d, %a;", f"b{n} b{n}", lambda a: a == 0) for n in (16, 32, 64)),
    *(
        Row(f"shl.b{n} %d, %a, %b;", f"b{n} b{n} u32", shifted_left(n), values={1: COUNTS})
        for n in (16, 32, 64)
    ),
    *(
        Row(f"shr.{k}{n} %d, %a, %b;", f"{k}{n} {k}{n} u32", shifted_right(n), values={1: COUNTS})
        for n in (16, 32, 64)
        for k in "us"
    ),
    *(
        Row(f"shl.b{n} %d, %a, {count};", f"b{n} b{n}", constant_shift(n, count))
        for n, count in ((32, 31), (32, 32), (64, 63), (64, 64), (16, 200))
    ),
    *(
        Row(
            f"shf.{side}.{mode}.b32 %d, %a, %b, %c;",
            "b32 b32 b32 u32",
            funnel(side == "l", mode == "wrap"),
            values={2: COUNTS},
        )
        for side in "lr"
        for mode in ("clamp", "wrap")
    ),
    *(Row(f"popc.b{n} %d, %a;", f"u32 b{n}", int.bit_count) for n in (32, 64)),
    *(Row(f"clz.b{n} %d, %a;", f"u32 b{n}", lambda a, n=n: n - a.bit_length()) for n in (32, 64)),
    *(Row(f"brev.b{n} %d, %a;", f"b{n} b{n}", lambda a, n=n: int(f"{a:0{n}b}"[::-1], 2)) for n in (32, 64)),
    *(
        Row(
            f"bfind.{'shiftamt.' if amount else ''}{k}{n} %d, %a;",
            f"u32 {k}{n}",
            found(n, k == "s", amount),
        )
        for n in (32, 64)
        for k in "us"
        for amount in (False, True)
    ),
    Row(
        "fns.b32 %d, %a, %b, %c;",
        "b32 b32 u32 s32",
        nth_set,
        values={0: MASKS, 1: [0, 1, 5, 16, 30, 31], 2: [-9, -3, -2, -1, 0, 1, 2, 3, 8]},
    ),
    *(
        Row(
            f"bfe.{k}{n} %d, %a, %b, %c;",
            f"{k}{n} {k}{n} u32 u32",
            extracted(n, k == "s"),
            values={0: WORDS if n == 32 else LONG_WORDS, 1: SOME_COUNTS, 2: SOME_COUNTS},
        )
        for n in (32, 64)
        for k in "us"
    ),
    *(
        Row(
            f"bfi.b{n} %d, %a, %b, %c, %e;",
            f"b{n} b{n} b{n} u32 u32",
            inserted(n),
            values={0: words, 1: words, 2: SOME_COUNTS, 3: SOME_COUNTS},
        )
        for n, words in ((32, WORDS), (64, LONG_WORDS))
    ),
    *(
        Row(
            f"bmsk.{mode}.b32 %d, %a, %b;",
            "b32 u32 u32",
            bit_mask(mode == "wrap"),
            values={0: SOME_COUNTS, 1: SOME_COUNTS},
        )
        for mode in ("clamp", "wrap")
    ),
    *(
        Row(
            f"szext.{mode}.{k}32 %d, %a, %b;",
            "b32 b32 u32",
            extended(k == "s", mode == "wrap"),
            values={1: SOME_COUNTS},
        )
        for mode in ("clamp", "wrap")
        for k in "us"
    ),
    Row(
        "prmt.b32 %d, %a, %b, %c;",
        "b32 b32 b32 b32",
        permuted,
        values={2: [0x3210, 0x7654, 0x0123, 0xFEDC, 0x5A81, 0xBA98, 0x12343210]},
    ),
    *(
        Row(
            f"prmt.b32.{mode} %d, %a, %b, %c;",
            "b32 b32 b32 b32",
            permuted_by(mode),
            values={2: [0, 1, 2, 3, 6]},
        )
        for mode in MODES
    ),
    *(
        Row(
            f"lop3.b32 %d, %a, %b, %c, {table:#x};",
            "b32 b32 b32 b32",
            logic3(table),
            values=dict.fromkeys(range(3), WORDS),
        )
        for table in (0x00, 0xFF, 0x80, 0xFE, 0x96, 0xE8, 0xCA, 0x1B)
    ),
    Row(
        "lop3.or.b32 %d|%q, %a, %b, %c, 0x80, %e;",
        "b32 pred b32 b32 b32 pred",
        lambda a, b, c, e: (a & b & c, bool(a & b & c) or e),
        results=2,
        values=dict.fromkeys(range(3), WORDS),
    ),
]


TABLE = Table(ROWS)


@pytest.fixture(scope="module")
def loaded(device):
    return jit.load_module(TABLE.ptx(), device.memory)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda index: str(ROWS[index]))
def test_bits(device, loaded, index):
    TABLE.check(device, loaded, index)
