"""printf of kernels prints what CUDA's does."""

from __future__ import annotations

import struct

import pytest

from pycuda_guard.cpu.abi import FaultKind

PRINT = """
  %format = call i64 @parameter(ptr %block, i64 0)
  %arguments = call i64 @parameter(ptr %block, i64 1)
  %result = call i64 @parameter(ptr %block, i64 2)
  %pointer = call ptr @translate(ptr %block, i64 %result)
  %count = call i32 @pg_vprintf(i64 %format, i64 %arguments)
  store i32 %count, ptr %pointer
  ret void
"""


@pytest.fixture(scope="module")
def kernel(device):
    return device.kernel(PRINT)


def call(device, kernel, pattern: int, arguments: int) -> tuple[object, int]:
    result = device.bytes(bytes(4))
    fault = device.launch(kernel, pattern, arguments, result)
    return fault, struct.unpack("<i", device.memory.read(result, 4))[0]


@pytest.mark.parametrize(
    ("pattern", "layout", "values", "expected"),
    [
        ("plain\n", "", (), "plain\n"),
        ("", "", (), ""),
        ("%d %i %u", "<iiI", (-1, 2, 2**32 - 1), "-1 2 4294967295"),
        ("%x %X %o %#x", "<IIII", (255, 255, 8, 255), "ff FF 10 0xff"),
        ("%ld|%llu|%zx", "<qQQ", (-(2**40), 2**63, 2**40), f"{-(2**40)}|{2**63}|{2**40:x}"),
        ("%d %lld", "<i4xq", (1, 2**40), f"1 {2**40}"),
        ("%hd %hhu", "<iI", (-70000, 300), f"{(-70000 + 2**15) % 2**16 - 2**15} 44"),
        ("%f %.2e %g %a", "<dddd", (1.5, 12345.678, 0.1, 1.0), "1.500000 1.23e+04 0.1 0x1p+0"),
        ("%5d|%-5d|%05d|%+d", "<iiii", (1, 2, 3, 4), "    1|2    |00003|+4"),
        ("%*d|%.*f|%-*d|", "<iiixxxxdii", (5, 1, 2, 3.14159, 4, 7), "    1|3.14|7   |"),
        ("%*d|", "<ii", (-4, 7), "7   |"),
        ("%c%c", "<ii", (65, 66), "AB"),
        ("100%% %d", "<i", (3,), "100% 3"),
        ("%p", "<Q", (0xABC,), "0xabc"),
        ("%f %f", "<dd", (float("inf"), float("nan")), "inf nan"),
        ("%k %d", "<i", (5,), "%k 5"),
        ("end %", "", (), "end %"),
        ("%3000d", "<i", (1,), f"{1:3000}"),
        ("x" * 5000, "", (), "x" * 5000),
    ],
)
def test_formats(device, kernel, capfd, pattern, layout, values, expected):
    arguments = device.bytes(struct.pack(layout, *values) or b"\0")
    fault, count = call(device, kernel, device.string(pattern), arguments)
    assert fault is None
    assert capfd.readouterr().out == expected
    assert count == len(values)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("<%s>", "text", "<text>"),
        ("<%8s>", "text", "<    text>"),
        ("<%-8s>", "text", "<text    >"),
        ("<%.2s>", "text", "<te>"),
        ("<%.0s>", "text", "<>"),
        ("%s", "y" * 3000, "y" * 3000),
        ("<%s>", None, "<(null)>"),
    ],
)
def test_strings(device, kernel, capfd, pattern, text, expected):
    address = 0 if text is None else device.string(text)
    arguments = device.bytes(struct.pack("<Q", address))
    assert call(device, kernel, device.string(pattern), arguments) == (None, 1)
    assert capfd.readouterr().out == expected


def test_a_string_is_not_read_beyond_its_precision(device, kernel, capfd):
    address = device.memory.allocate(4 << 20)
    last = address + (4 << 20) - 3
    device.memory.write(last, b"abc")
    arguments = device.bytes(struct.pack("<Q", last))
    assert call(device, kernel, device.string("%.3s"), arguments) == (None, 1)
    assert capfd.readouterr().out == "abc"
    fault, _ = call(device, kernel, device.string("%s"), arguments)
    assert fault.kind is FaultKind.ILLEGAL_ADDRESS


def test_nothing_is_written_through_percent_n(device, kernel, capfd):
    target = device.bytes(bytes(8))
    arguments = device.bytes(struct.pack("<Q", target))
    assert call(device, kernel, device.string("ab%n"), arguments) == (None, 1)
    assert capfd.readouterr().out == "ab"
    assert device.memory.read(target, 8) == bytes(8)


def test_a_null_format_is_minus_one(device, kernel):
    assert call(device, kernel, 0, 0) == (None, -1)


@pytest.mark.parametrize("wild", [8, 0x7F00_0000_0000])
def test_wild_pointers_are_illegal_addresses(device, kernel, capfd, wild):
    text = device.string("%s")
    for pattern, arguments in ((wild, 0), (text, wild), (text, device.bytes(struct.pack("<Q", wild)))):
        fault, _ = call(device, kernel, pattern, arguments)
        assert (fault.kind, fault.address) == (FaultKind.ILLEGAL_ADDRESS, wild)
    assert capfd.readouterr().out == ""
