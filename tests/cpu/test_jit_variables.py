"""Initial values of module variables."""

from __future__ import annotations

import json
import struct

import pytest

from pycuda_guard.cpu.initial_values import VariableError, image_of
from pycuda_guard.cpu.variables import Image
from pycuda_guard.kernels.ptx.ir import Immediate, Space, SymbolValue, Variable


def number(value: int, kind: str = "int") -> Immediate:
    return Immediate(kind, value)


def float_bits(value: float) -> Immediate:
    return Immediate("f32", struct.unpack("<I", struct.pack("<f", value))[0])


def variable(ptx_type: str, initializer=None, dims=(), **more) -> Variable:
    return Variable("v", Space.GLOBAL, ptx_type, initializer=initializer, dims=dims, **more)


def numbers(*values: int):
    return tuple(map(number, values))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (variable("u32", number(5)), struct.pack("<I", 5)),
        (variable("s16", number(-2)), struct.pack("<h", -2)),
        (variable("u64", number(2**64 - 1)), bytes([255]) * 8),
        (variable("f32", float_bits(1.5)), struct.pack("<f", 1.5)),
        (variable("f32", number(3)), struct.pack("<f", 3)),
        (variable("f64", float_bits(1.5)), struct.pack("<d", 1.5)),
        (variable("b32", float_bits(1.5)), struct.pack("<f", 1.5)),
        (variable("f32", Immediate("f64", 0x3FF8 << 48)), struct.pack("<f", 1.5)),
        (variable("b8", numbers(104, 105), (4,)), b"hi\0\0"),
        (variable("b8", numbers(104, 105), (None,)), b"hi"),
        (variable("u8", (numbers(1), numbers(2, 3)), (2, 3)), bytes([1, 0, 0, 2, 3, 0])),
        (variable("u8", numbers(1, 2, 3, 4), (2, 2)), bytes([1, 2, 3, 4])),
        (variable("u8", (numbers(1, 2), numbers(3)), (2,), vector=2), bytes([1, 2, 3, 0])),
        (variable("u16", numbers(1, 2, 3, 4), vector=4), struct.pack("<4H", 1, 2, 3, 4)),
    ],
)
def test_bytes(declared, expected):
    image = image_of(declared, ())
    assert image.resolved({}.__getitem__) == expected
    assert image.nbytes == len(expected)


@pytest.mark.parametrize("declared", [variable("u32", dims=(10,)), variable("u32", number(0), (10,))])
def test_zeros_are_not_stored(declared):
    assert image_of(declared, ()) == Image("v", 40)


def test_addresses_are_filled_in_later():
    initializer = (
        number(7),
        SymbolValue("a"),
        SymbolValue("a", 16, generic=True),
        SymbolValue("f"),
    )
    image = image_of(variable("u64", initializer, (5,)), {"a", "f"})
    resolved = image.resolved({"a": 0x7000_0000_1000, "f": 99}.__getitem__)
    assert struct.unpack("<5Q", resolved) == (7, 0x7000_0000_1000, 0x7000_0000_1010, 99, 0)


def test_masked_addresses_are_single_bytes():
    initializer = tuple(SymbolValue("a", mask=0xFF << shift) for shift in range(0, 64, 8))
    image = image_of(variable("b8", initializer, (8,)), {"a"})
    assert image.resolved({"a": 0x1122_3344_5566_7788}.__getitem__) == struct.pack(
        "<Q", 0x1122_3344_5566_7788
    )


def test_a_record_holds_all_but_the_bytes():
    image = image_of(variable("u64", (number(7), SymbolValue("a", 8, mask=0xFF00)), (3,)), {"a"})
    record = json.loads(json.dumps(image.record()))
    assert record["stored"] == 24
    assert Image.from_record(record, image.data) == image


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (variable("u8", numbers(1, 2, 3), (2,)), "more initial values than elements"),
        (variable("u8", (numbers(1, 2, 3), numbers(4)), (2, 2)), "more initial values than elements"),
        (variable("u64", SymbolValue("missing")), "address of missing"),
        (variable("u64", linkage=("extern",)), "defined nowhere"),
    ],
)
def test_wrong_declarations(declared, message):
    with pytest.raises(VariableError, match=message):
        image_of(declared, {"a"})
