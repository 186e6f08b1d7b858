"""Tests of how a record is put into a block: by C and, where that is missing, by hand."""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING

import pytest

from pycuda_guard.events.codec import encode
from pycuda_guard.events.recorder_blocks import put, put_again, put_again_by_hand, put_by_hand

if TYPE_CHECKING:
    from collections.abc import Callable

    Put = Callable[[memoryview, int, bytes], int]

_lane = pytest.importorskip("pycuda_guard.events._lane")

BODIES = [random.Random(size).randbytes(size) for size in (0, 1, 2, 3, 4, 5, 7, 8, 250, 4096)]


def test_c_is_what_is_used() -> None:
    assert put is _lane.put
    assert put_again is _lane.put_again


@pytest.mark.parametrize("way", [_lane.put, put_by_hand])
@pytest.mark.parametrize("body", BODIES, ids=len)
def test_a_record_is_size_check_and_body(way: Put, body: bytes) -> None:
    content = bytearray(b"\xaa" * (len(body) + 24))
    end = way(memoryview(content), 7, body)
    assert end == 7 + 8 + len(body)
    assert content[7:11] == (8 + len(body)).to_bytes(4, "little")
    assert content[11:15] == zlib.crc32(body).to_bytes(4, "little")
    assert content[15:end] == body
    assert set(content[:7] + content[end:]) == {0xAA}


@pytest.mark.parametrize("way", [_lane.put, put_by_hand])
@pytest.mark.parametrize("position", [13, 14, 20, 21, 28, 29])
def test_what_does_not_fit_is_not_stored(way: Put, position: int) -> None:
    content = bytearray(b"\xaa" * 28)
    fits = position == 13
    assert way(memoryview(content), position, b"1234567") == (28 if fits else 0)
    assert (set(content) == {0xAA}) is not fits


@pytest.mark.parametrize(
    "arguments",
    [(), (b"", 0, b""), (memoryview(b"12345678"), 0, b""), (bytearray(8), "0", b""), (bytearray(8), 0, "")],
)
def test_c_refuses_what_is_no_block_or_body(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, BufferError)):
        _lane.put(*arguments)


@pytest.mark.parametrize("position", [-1, -(2**62), 2**62])
def test_c_keeps_within_the_block(position: int) -> None:
    content = bytearray(16)
    assert _lane.put(memoryview(content), position, b"") == 0
    assert content == bytes(16)


NUMBERS = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63, 2**64 - 1]


@pytest.mark.parametrize("head", BODIES, ids=len)
def test_a_record_with_other_numbers_is_as_if_made_anew(head: bytes) -> None:
    for number in NUMBERS:
        time = 1_790_000_000_000_000_000 + number % 1000
        body = head + encode((number, time))[1:]
        contents = [bytearray(b"\xaa" * (len(body) + 24)) for _ in range(3)]
        ends = [put(memoryview(contents[0]), 7, body)]
        for way, content in zip((_lane.put_again, put_again_by_hand), contents[1:], strict=True):
            ends.append(way(memoryview(content), 7, head, zlib.crc32(head), number, time))
        assert ends == [15 + len(body)] * 3
        assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize("way", [_lane.put_again, put_again_by_hand])
@pytest.mark.parametrize("position", [11, 12, 20, 28, 29])
def test_numbers_that_do_not_fit_are_not_stored(way: Callable[..., int], position: int) -> None:
    content = bytearray(b"\xaa" * 28)
    fits = position == 11
    assert way(memoryview(content), position, b"12345", 0, 7, 300 << 4) == (28 if fits else 0)
    assert (set(content) == {0xAA}) is not fits


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (bytearray(64), 0, b"", 0, 1),
        (bytearray(64), 0, "", 0, 1, 2),
        (bytearray(64), 0, b"", 0, "1", 2),
        (b"", 0, b"", 0, 1, 2),
    ],
)
def test_c_refuses_what_are_no_numbers_for_a_block(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, BufferError)):
        _lane.put_again(*arguments)


@pytest.mark.parametrize("numbers", [(0, -1, 0), (0, 0, -1), (0, 2**64, 0), (-1, 0, 0)])
def test_c_refuses_numbers_that_no_record_has(numbers: tuple[int, ...]) -> None:
    with pytest.raises(OverflowError):
        _lane.put_again(bytearray(64), 0, b"", *numbers)
