"""Integer arithmetic against Python's integers."""

from __future__ import annotations

import pytest
from instruction_rows import Row, Table

from pycuda_guard.cpu import jit


def bits(kind: str) -> int:
    return int(kind[1:])


def divided(a: int, b: int) -> int:
    if b == 0:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    return -1 if b == 0 else a - b * divided(a, b)


def clamped(value: int, kind: str = "s32") -> int:
    top = 1 << (bits(kind) - 1)
    return max(-top, min(top - 1, value)) if kind[0] == "s" else max(0, min(2 * top - 1, value))


def high_product(width: int):
    return lambda a, b: a * b >> width


def low24(value: int, signed: bool) -> int:
    value &= 0xFFFFFF
    return value - (1 << 24) if signed and value >> 23 else value


def lanes(word: int, count: int, width: int, signed: bool) -> list[int]:
    found = [word >> (width * index) & ((1 << width) - 1) for index in range(count)]
    return [value - (1 << width) if signed and value >> (width - 1) else value for value in found]


def packed(operation, width: int = 16, signed: bool = False):
    def expected(a: int, b: int) -> int:
        pairs = zip(lanes(a, 2, width, signed), lanes(b, 2, width, signed), strict=True)
        return sum((operation(x, y) & 0xFFFF) << 16 * index for index, (x, y) in enumerate(pairs))

    return expected


def dot4(a_signed: bool, b_signed: bool):
    return lambda a, b, c: (
        c + sum(x * y for x, y in zip(lanes(a, 4, 8, a_signed), lanes(b, 4, 8, b_signed), strict=True))
    )


def dot2(a_signed: bool, b_signed: bool, high: bool):
    return lambda a, b, c: (
        c
        + sum(
            x * y
            for x, y in zip(lanes(a, 2, 16, a_signed), lanes(b, 4, 8, b_signed)[2 * high :][:2], strict=True)
        )
    )


FEW = [0, 1, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x12345678]
FEW_64 = [0, 1, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 0x123456789ABCDEF0]
WORDS = [0, 1, 0x7FFF8000, 0xFFFF0001, 0x80FF7F01, 0x12345678]
INTEGERS = ("u16", "s16", "u32", "s32", "u64", "s64")
HIGH = {kind: high_product(bits(kind)) for kind in INTEGERS}
SIGNED = ("s16", "s32", "s64")


def binary(kind: str, operation: str, function) -> Row:
    return Row(f"{operation}.{kind} %d, %a, %b;", f"{kind} {kind} {kind}", function)


ROWS = [
    *(binary(kind, "add", lambda a, b: a + b) for kind in INTEGERS),
    *(binary(kind, "sub", lambda a, b: a - b) for kind in INTEGERS),
    *(binary(kind, "mul.lo", lambda a, b: a * b) for kind in INTEGERS),
    *(binary(kind, "mul.hi", HIGH[kind]) for kind in INTEGERS),
    *(binary(kind, "div", divided) for kind in INTEGERS),
    *(binary(kind, "rem", remainder) for kind in INTEGERS),
    *(binary(kind, "min", min) for kind in INTEGERS),
    *(binary(kind, "max", max) for kind in INTEGERS),
    *(Row(f"abs.{kind} %d, %a;", f"{kind} {kind}", abs) for kind in SIGNED),
    *(Row(f"neg.{kind} %d, %a;", f"{kind} {kind}", lambda a: -a) for kind in SIGNED),
    *(
        Row(f"mul.wide.{k}{n} %d, %a, %b;", f"{k}{2 * n} {k}{n} {k}{n}", lambda a, b: a * b)
        for k in "us"
        for n in (16, 32)
    ),
    *(
        Row(
            f"mad.wide.{k}{n} %d, %a, %b, %c;",
            f"{k}{2 * n} {k}{n} {k}{n} {k}{2 * n}",
            lambda a, b, c: a * b + c,
        )
        for k in "us"
        for n in (16, 32)
    ),
    *(
        Row(f"mad.lo.{kind} %d, %a, %b, %c;", f"{kind} {kind} {kind} {kind}", lambda a, b, c: a * b + c)
        for kind in INTEGERS
    ),
    *(
        Row(
            f"mad.hi.{kind} %d, %a, %b, %c;",
            f"{kind} {kind} {kind} {kind}",
            lambda a, b, c, product=HIGH[kind]: product(a, b) + c,
        )
        for kind in INTEGERS
    ),
    Row("mad.hi.sat.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", lambda a, b, c: clamped((a * b >> 32) + c)),
    Row("add.sat.s32 %d, %a, %b;", "s32 s32 s32", lambda a, b: clamped(a + b)),
    Row("sub.sat.s32 %d, %a, %b;", "s32 s32 s32", lambda a, b: clamped(a - b)),
    Row("min.relu.s32 %d, %a, %b;", "s32 s32 s32", lambda a, b: max(0, min(a, b))),
    *(
        Row(
            f"mul24.lo.{k}32 %d, %a, %b;",
            f"{k}32 b32 b32",
            lambda a, b, s=k == "s": low24(a, s) * low24(b, s),
        )
        for k in "us"
    ),
    *(
        Row(
            f"mul24.hi.{k}32 %d, %a, %b;",
            f"{k}32 b32 b32",
            lambda a, b, s=k == "s": low24(a, s) * low24(b, s) >> 16,
        )
        for k in "us"
    ),
    Row(
        "mad24.lo.s32 %d, %a, %b, %c;",
        "s32 b32 b32 s32",
        lambda a, b, c: low24(a, True) * low24(b, True) + c,
    ),
    Row(
        "mad24.hi.sat.s32 %d, %a, %b, %c;",
        "s32 b32 b32 s32",
        lambda a, b, c: clamped((low24(a, True) * low24(b, True) >> 16) + c),
    ),
    *(Row(f"sad.{k} %d, %a, %b, %c;", f"{k} {k} {k} {k}", lambda a, b, c: c + abs(a - b)) for k in INTEGERS),
    *(
        Row(f"dp4a.{x}32.{y}32 %d, %a, %b, %c;", "b32 b32 b32 b32", dot4(x == "s", y == "s"))
        for x in "us"
        for y in "us"
    ),
    *(
        Row(
            f"dp2a.{part}.{x}32.{y}32 %d, %a, %b, %c;",
            "b32 b32 b32 b32",
            dot2(x == "s", y == "s", part == "hi"),
        )
        for part in ("lo", "hi")
        for x, y in ("us", "su")
    ),
    Row("add.u16x2 %d, %a, %b;", "b32 b32 b32", packed(lambda x, y: x + y), values={0: WORDS, 1: WORDS}),
    Row("min.s16x2 %d, %a, %b;", "b32 b32 b32", packed(min, signed=True), values={0: WORDS, 1: WORDS}),
    Row(
        "max.s16x2.relu %d, %a, %b;",
        "b32 b32 b32",
        packed(lambda x, y: max(x, y, 0), signed=True),
        values={0: WORDS, 1: WORDS},
    ),
    # carry chains: the first destination holds the low word, %q the high one
    Row(
        "add.cc.u32 %d, %a, %c;  addc.u32 %q, %b, %e;",
        "u32 u32 u32 u32 u32 u32",
        lambda a, b, c, e: (a + c, (a + (b << 32) + c + (e << 32)) >> 32),
        results=2,
        values=dict.fromkeys(range(4), FEW),
    ),
    Row(
        "sub.cc.u32 %d, %a, %c;  subc.u32 %q, %b, %e;",
        "u32 u32 u32 u32 u32 u32",
        lambda a, b, c, e: (a - c, (a + (b << 32) - c - (e << 32)) >> 32),
        results=2,
        values=dict.fromkeys(range(4), FEW),
    ),
    Row(
        "add.cc.u64 %d, %a, %c;  addc.cc.u64 %q, %b, %e;",
        "u64 u64 u64 u64 u64 u64",
        lambda a, b, c, e: (a + c, (a + (b << 64) + c + (e << 64)) >> 64),
        results=2,
        values=dict.fromkeys(range(4), FEW_64),
    ),
    Row(
        "add.cc.u32 %x, %a, %b;  addc.cc.u32 %d, %c, %b;  addc.u32 %q, 0, 0;",
        "u32 u32 u32 u32 u32",
        lambda a, b, c: (c + b + (a + b >> 32), (c + b + (a + b >> 32)) >> 32),
        results=2,
    ),
    Row(
        "sub.cc.u32 %x, %a, %b;  subc.cc.u32 %d, %c, %b;  subc.u32 %q, 0, 0;",
        "u32 u32 u32 u32 u32",
        lambda a, b, c: (c - b - (a < b), -(c < b + (a < b))),
        results=2,
    ),
    Row(
        "mad.lo.cc.u32 %d, %a, %b, %c;  madc.hi.u32 %q, %a, %b, %c;",
        "u32 u32 u32 u32 u32",
        lambda a, b, c: (a * b + c, (a * b >> 32) + c + ((a * b & 0xFFFFFFFF) + c >> 32)),
        results=2,
    ),
    Row(
        "mad.lo.cc.u64 %d, %a, %b, %c;  madc.hi.u64 %q, %a, %b, 0;",
        "u64 u64 u64 u64 u64",
        lambda a, b, c: (a * b + c, a * b + c >> 64),
        results=2,
    ),
]


TABLE = Table(ROWS)


@pytest.fixture(scope="module")
def loaded(device):
    return jit.load_module(TABLE.ptx(), device.memory)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda index: str(ROWS[index]))
def test_integer(device, loaded, index):
    TABLE.check(device, loaded, index)
