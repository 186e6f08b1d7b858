"""Damaged and hostile files: a clear error, and everything before the damage."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from made_up.recordings import copies, record

from pycuda_guard.events import codec, model as m
from pycuda_guard.events.format import BLOCK, HEAD, MAGIC, RECORD, Head, Kind, RecordingError
from pycuda_guard.events.reader import Recording, read

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = copies(1200)

fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Whole(bytes):
    """The bytes of a file, shown in short where a test fails."""

    def __repr__(self) -> str:
        """Return the number of bytes."""
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return a recording of four blocks of events."""
    path = tmp_path_factory.mktemp("whole") / "run.pgr"
    assert record(path, EVENTS) == []
    return Whole(path.read_bytes())


def read_bytes(tmp_path: Path, data: bytes) -> tuple[Recording, list[m.Event]]:
    path = tmp_path / "damaged.pgr"
    path.write_bytes(data)
    recording = read(str(path))
    return recording, list(recording.events())


def is_beginning(events: list[m.Event]) -> bool:
    return events == EVENTS[: len(events)]


@given(st.integers(BLOCK + HEAD, 4 * BLOCK))
@fuzz
def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path, whole: Whole, size: int) -> None:
    size = min(size, len(whole))
    recording, events = read_bytes(tmp_path, whole[:size])
    assert is_beginning(events)
    assert sum(len(codec.encode(event)) + RECORD.size for event in events) > size - BLOCK - 4 * HEAD - 400
    for problem in recording.problems:
        assert "byte" in problem


@given(st.data())
@fuzz
def test_a_flipped_bit_is_found(tmp_path: Path, whole: Whole, data: st.DataObject) -> None:
    start = data.draw(st.sampled_from([0, BLOCK, 2 * BLOCK]))
    position = data.draw(st.integers(start, min(start + BLOCK, len(whole)) - 1))
    changed = bytearray(whole)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    recording, events = read_bytes(tmp_path, bytes(changed))
    if recording.problems:
        assert "byte" in recording.problems[0]
    else:
        assert events == EVENTS  # it was in bytes that mean nothing
    if recording.lost:
        assert BLOCK <= position < BLOCK + HEAD  # what follows the first block is there
        assert events[1:] == EVENTS[recording.lost :]
    else:
        assert is_beginning(events)
        assert len(events) >= (position - BLOCK) // BLOCK * 300


@pytest.mark.parametrize("position", [BLOCK + HEAD + 4, BLOCK + HEAD + 200, BLOCK + 5000, 2 * BLOCK + 30_000])
def test_damage_is_named_by_its_offset(tmp_path: Path, whole: Whole, position: int) -> None:
    changed = bytearray(whole)
    changed[position] ^= 0x10
    recording, events = read_bytes(tmp_path, bytes(changed))
    assert recording.is_damaged
    (problem,) = recording.problems
    offset = int(problem.split("byte ")[1].split()[0])
    assert offset <= position < offset + 400
    assert is_beginning(events)
    assert whole[offset + RECORD.size :].startswith(codec.encode(EVENTS[len(events)]))


@given(st.integers(0, 300), st.integers(1, 200))
@fuzz
def test_a_torn_last_record_is_no_damage(tmp_path: Path, whole: Whole, count: int, kept: int) -> None:
    """A process killed while it stores leaves any part of the record, the rest of the block zero."""
    path = tmp_path / "run.pgr"
    record(path, EVENTS[:count], is_closed=False)
    data = bytearray(path.read_bytes())
    body = codec.encode(EVENTS[count])
    written = RECORD.pack(len(body) + RECORD.size, zlib.crc32(body)) + body
    size = sum(len(codec.encode(event)) + RECORD.size for event in EVENTS[:count])
    if size % (BLOCK - HEAD) + len(written) > BLOCK - HEAD:
        return
    position = (1 + size // (BLOCK - HEAD)) * BLOCK + HEAD + size % (BLOCK - HEAD)
    kept = min(kept, len(written) - 1)
    data[position : position + kept] = written[:kept]
    recording, events = read_bytes(tmp_path, bytes(data))
    assert events == EVENTS[:count]
    assert not recording.is_damaged
    assert recording.problems == [f"the last record, at byte {position}, is incomplete"]


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5))
@fuzz
def test_bodies_of_garbage_with_a_right_check(tmp_path: Path, bodies: list[bytes]) -> None:
    path = tmp_path / "hostile.pgr"
    path.write_bytes(hostile(bodies))
    recording = read(str(path))
    assert all(isinstance(event, m.Event) for event in recording.events())
    assert recording.is_damaged


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
        b"\xdb\xff\xff\xff\xff",  # such a text
        b"\x91" * 60_000,  # nested deeper than any stack
        b"\x9a\xa6Launch\xc0\x01\x01\xa1x\x01\xa1f\xdd\xff\xff\xff\xff\x01\x01",
        b"\x82\xa4type\xa6Launch\xa1x\x01",
    ],
)
def test_hostile_bodies(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "hostile.pgr"
    path.write_bytes(hostile([body]))
    recording = read(str(path))
    assert list(recording.events()) == []
    assert f"byte {BLOCK + HEAD}" in recording.problems[-1]


def test_a_source_text_that_unpacks_without_end(tmp_path: Path) -> None:
    bomb = codec.SourceText("bomb.py", zlib.compress(bytes(codec.MAX_SOURCE + 1)))
    path = tmp_path / "hostile.pgr"
    path.write_bytes(hostile([], tables=[codec.encode(bomb)]))
    recording = read(str(path))
    assert recording.sources == {}
    assert "too large" in recording.problems[0]


def test_numbers_must_rise(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pgr"
    path.write_bytes(hostile([codec.encode(EVENTS[4]), codec.encode(EVENTS[4])]))
    recording = read(str(path))
    assert len(list(recording.events())) == 2  # that events were lost, and the event
    assert "the number 5 after 5" in recording.problems[-1]


def hostile(bodies: list[bytes], tables: list[bytes] | None = None) -> bytes:
    """Return a file that is right in form, with these records in it."""
    blocks = []
    for kind, lane in ((Kind.TABLES, tables or []), (Kind.EVENTS, bodies)):
        block = Head(kind, 1, HEAD, codec.layout()).pack().ljust(HEAD, b"\0")
        for body in lane:
            block += RECORD.pack(len(body) + RECORD.size, zlib.crc32(body)) + body
        blocks.append(block[:BLOCK].ljust(BLOCK, b"\0"))
    return b"".join(blocks)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (b"#!/usr/bin/env python\n" * 10_000, "at byte 0"),
        (MAGIC, "at byte 0, its first bytes are damaged"),
        (bytes(3 * BLOCK), "at byte 0"),
        (Head(Kind.TABLES, 1, HEAD, 0, version=99).pack(), "at byte 8, format version 99"),
        (Head(Kind.TABLES, 1, HEAD, 12345).pack(), "another version of pycuda_guard"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "other.pgr"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=text):
        read(str(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read(str(tmp_path / "missing.pgr"))
    with pytest.raises(RecordingError, match="is a folder"):
        read(str(tmp_path))
    with pytest.raises(RecordingError, match="not a regular file"):
        read("/dev/null")


@given(st.binary(max_size=3 * BLOCK))
@fuzz
def test_garbage_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage.pgr"
    path.write_bytes(data)
    with pytest.raises(RecordingError):
        read(str(path))


@given(st.lists(st.tuples(st.integers(0, 4 * BLOCK - 1), st.binary(min_size=1, max_size=64)), max_size=8))
@fuzz
def test_damage_in_many_places(tmp_path: Path, whole: Whole, damage: list[tuple[int, bytes]]) -> None:
    changed = bytearray(whole)
    for position, new in damage:
        position %= len(whole)
        changed[position : position + len(new)] = new
    try:
        _, events = read_bytes(tmp_path, bytes(changed))
    except RecordingError:
        return
    kept = [event for event in events if not isinstance(event, m.EventsLost)]
    assert all(event == EVENTS[event.sequence - 1] for event in kept)


def test_a_missing_block_ends_the_timeline(tmp_path: Path, whole: Whole) -> None:
    changed = bytearray(whole)
    changed[2 * BLOCK : 2 * BLOCK + HEAD] = struct.pack("<Q", 0) * 8
    recording, events = read_bytes(tmp_path, bytes(changed))
    assert recording.is_damaged and "is missing" in recording.problems[0]
    assert events and is_beginning(events)
