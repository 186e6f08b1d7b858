"""Moves, loads, stores and atomic operations, one thread at a time."""

from __future__ import annotations

import numpy as np
import pytest
from instruction_rows import EDGES, Row, Table, decode, encode, exact

from pycuda_guard.cpu import jit

SPACES = {
    "shared": ("shared", "%cell"),
    "generic": ("", "%generic"),
    "local": ("local", "own"),
}


def place(space: str) -> tuple[str, str, str]:
    """Return the preparation, the modifier and the address of 16 bytes in a space."""
    prepare = ""
    if space == "generic":
        prepare = "cvt.u64.u32 %generic, %cell; cvta.shared.u64 %generic, %generic; "
    modifier, address = SPACES[space]
    return prepare, f".{modifier}" if modifier else "", address


def signed(value: int, width: int) -> int:
    value &= (1 << width) - 1
    return value - (1 << width) if value >> width - 1 else value


def signed_part(width: int):
    return lambda a: signed(a >> width, width)


def unsigned(value: int, width: int) -> int:
    return value & ((1 << width) - 1)


def byte(value: int, index: int) -> int:
    return value >> 8 * index & 255


def through(space: str, store: str, load: str, types: str, expected, results: int = 1) -> Row:
    prepare, modifier, address = place(space)
    return Row(
        f"{prepare}st{modifier}{store.format(address)} ld{modifier}{load.format(address)}",
        types,
        expected,
        results=results,
    )


MOVES = [
    Row("mov.b32 %d, %a;", "b32 b32", lambda a: a),
    Row("mov.f64 %d, %a;", "b64 b64", lambda a: a),
    Row("mov.pred %p, %a; selp.u32 %d, 1, 0, %p;", "u32 pred", int),
    Row("mov.f32 %d, 0f7FC12345;", "b32 pred", lambda a: 0x7FC12345),
    Row("mov.f64 %d, 0dFFF8000000001234;", "b64 pred", lambda a: 0xFFF8000000001234),
    Row("mov.u64 %d, -3;", "s64 pred", lambda a: -3),
    Row("mov.b64 %d, {%a, %b};", "b64 b32 b32", lambda a, b: b << 32 | a),
    Row("mov.b64 {%d, %q}, %a;", "b32 b32 b64", lambda a: (a & 0xFFFFFFFF, a >> 32), results=2),
    Row("mov.b64 {_, %d}, %a;", "b32 b64", lambda a: a >> 32),
    Row("mov.b32 %d, {%a, %b};", "b32 b16 b16", lambda a, b: b << 16 | a),
    Row("mov.b32 {%d, %q}, %a;", "b16 b16 b32", lambda a: (a & 0xFFFF, a >> 16), results=2),
    Row("mov.b64 {%h, %i, %j, %k}, %a; mov.b64 %d, {%k, %j, %i, %h};", "b64 b64",
        lambda a: sum((a >> 16 * k & 0xFFFF) << 16 * (3 - k) for k in range(4))),
]  # fmt: skip

LOADS = [
    *(
        through(space, ".b32 [{}], %a;", ".b32 %d, [{}];", "b32 b32", lambda a: a)
        for space in SPACES
    ),
    *(
        through(space, ".v2.b64 [{}], {{%a, %b}};", ".v2.b64 {{%q, %d}}, [{}];", "b64 b64 b64 b64",
                lambda a, b: (b, a), results=2)
        for space in SPACES
    ),
    through("shared", ".v4.u16 [{}], {{%a, %b, %a, %b}};", ".v2.u32 {{%d, %q}}, [{}];", "b32 b32 b16 b16",
            lambda a, b: (b << 16 | a, b << 16 | a), results=2),
    through("shared", ".b64 [{}], %a;", ".v4.u8 {{_, %h, %i, _}}, [{}]; mov.b32 %d, {{%h, %i}};", "b32 b64",
            lambda a: byte(a, 2) << 16 | byte(a, 1)),
    *(
        through(space, ".b64 [{}], %a;", f".s{n} %d, [{{}}+{n // 8}];", "s64 b64", signed_part(n))
        for space in SPACES
        for n in (8, 16, 32)
    ),
    *(
        through("shared", ".b64 [{}], %a;", f".u{n} %d, [{{}}];", "u64 b64", lambda a, n=n: unsigned(a, n))
        for n in (8, 16, 32)
    ),
    through("shared", ".b64 [{}], %a;", ".b8 %d, [{}+7];", "u16 b64", lambda a: a >> 56),
    through("shared", ".volatile.b32 [{}], %a;", ".volatile.b32 %d, [{}];", "b32 b32", lambda a: a),
    through("shared", ".relaxed.cta.b32 [{}], %a;", ".relaxed.cta.b32 %d, [{}];", "b32 b32", lambda a: a),
    through("generic", ".release.gpu.b64 [{}], %a;", ".acquire.sys.b64 %d, [{}];", "b64 b64", lambda a: a),
    through("shared", ".f32 [{}], 0f40490FDB;", ".f32 %d, [{}];", "b32 pred", lambda a: 0x40490FDB),
    through("shared", ".u8 [{}], %a;", ".u8 %d, [{}];", "u32 b32", lambda a: a & 255),
    Row("st.shared.b32 [cells+4], %a; add.u32 %x, %cell, 0; isspacep.shared %d, %wide;", "pred b32",
        lambda a: False, values={0: [0]}),
    Row("cvt.u64.u32 %wide, %cell; cvta.shared.u64 %generic, %wide; cvta.to.shared.u64 %generic, %generic; "
        "sub.u64 %d, %generic, %wide;", "u64 pred", lambda a: 0),
    Row("cvt.u64.u32 %wide, %cell; cvta.shared.u64 %generic, %wide; isspacep.shared %d, %generic; "
        "isspacep.global %q, %generic;", "pred pred pred", lambda a: (True, False), results=2),
    Row("mov.u64 %wide, own; cvta.local.u64 %generic, %wide; isspacep.local %d, %generic; "
        "isspacep.shared %q, %generic;", "pred pred pred", lambda a: (True, False), results=2),
    Row("isspacep.global %d, %address; isspacep.local %q, %address;", "pred pred pred",
        lambda a: (True, False), results=2),
]  # fmt: skip


def atomic(
    kind: str, operation: str, new, operands: str = "%b", space: str = "shared", **more: object
) -> Row:
    """Return a row of an atomic operation: its results are the old and the new value."""
    width = kind.lstrip("busf").removesuffix("x2") if "x2" not in kind else "32"
    prepare, modifier, address = place(space)
    stored = f"b{width}"
    count = operands.count("%")
    types = " ".join([kind] * (3 + count))
    return Row(
        f"{prepare}st{modifier}.{stored} [{address}], %a; "
        f"atom{modifier}.{operation}.{kind} %d, [{address}], {operands}; "
        f"ld{modifier}.{stored} %q, [{address}];",
        types,
        lambda a, *rest: (encode(kind, a) if kind[0] in "fb" else a, new(a, *rest)),
        results=2,
        **more,
    )


def pairs(kind: str):
    """The sum of packed numbers."""
    add = exact(lambda a, b: a + b, kind)

    def expected(a: int, b: int) -> int:
        lanes = [[decode(kind, word >> shift & 0xFFFF) for word in (a, b)] for shift in (0, 16)]
        return sum(encode(kind, add(*lane)) << 16 * index for index, lane in enumerate(lanes))

    return expected


ONLY_NUMBERS = {
    kind: [bits for bits in EDGES[kind] if not np.isnan(decode(kind, bits))]
    for kind in EDGES
    if kind in ("f32", "f64", "f16", "bf16")
}


def numbers(kind: str) -> dict[int, list[int]]:
    return dict.fromkeys((0, 1), ONLY_NUMBERS[kind])


INTEGERS = ("u32", "s32", "u64", "s64")
PACKED = [0x3C003C00, 0xBF800400, 0x42001234]
ATOMICS = [
    *(atomic(kind, "add", lambda a, b: a + b) for kind in ("u32", "s32", "u64")),
    *(atomic(kind, "min", min, space=space) for kind in INTEGERS for space in ("shared", "generic")),
    *(atomic(kind, "max", max) for kind in INTEGERS),
    *(atomic(f"b{n}", "and", lambda a, b: a & b) for n in (32, 64)),
    *(atomic(f"b{n}", "or", lambda a, b: a | b) for n in (32, 64)),
    *(atomic(f"b{n}", "xor", lambda a, b: a ^ b) for n in (32, 64)),
    *(
        atomic(f"b{n}", "exch", lambda a, b: b, space=space)
        for n in (32, 64)
        for space in ("shared", "generic")
    ),
    *(
        atomic(f"b{n}", f"{order}cas", lambda a, b, c: c if a == b else a, "%b, %c")
        for n in (16, 32, 64)
        for order in ("", "acq_rel.gpu.", "release.cta.")
    ),
    atomic("u32", "inc", lambda a, b: 0 if a >= b else a + 1),
    atomic("u32", "dec", lambda a, b: b if a == 0 or a > b else a - 1),
    *(atomic(kind, "add", exact(lambda a, b: a + b, kind), values=numbers(kind)) for kind in ("f32", "f64")),
    *(
        atomic(kind, "add.noftz", exact(lambda a, b: a + b, kind), values=numbers(kind))
        for kind in ("f16", "bf16")
    ),
    *(
        atomic(
            f"{kind}x2",
            "add.noftz",
            pairs(kind),
            values={0: PACKED, 1: PACKED},
        )
        for kind in ("f16", "bf16")
    ),
    Row(
        "st.shared.u32 [%cell], %a; red.shared.relaxed.gpu.add.u32 [%cell], %b; membar.gl; "
        "fence.acq_rel.gpu; fence.sc.cta; ld.shared.u32 %d, [%cell];",
        "u32 u32 u32",
        lambda a, b: a + b,
    ),
]
ROWS = MOVES + LOADS + ATOMICS
TABLE = Table(ROWS)


@pytest.fixture(scope="module")
def loaded(device):
    return jit.load_module(TABLE.ptx(), device.memory)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda index: str(ROWS[index]))
def test_memory(device, loaded, index):
    TABLE.check(device, loaded, index)
