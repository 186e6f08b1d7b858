"""Reads recordings, also those of a killed process, and those that are damaged up to the damage."""

from __future__ import annotations

import io
import mmap
import os
import stat
import zlib
from typing import TYPE_CHECKING

from pycuda_guard import texts
from pycuda_guard.events import codec
from pycuda_guard.events.format import BLOCK, HEAD, MAGIC, RECORD, VERSION, Head, Kind, RecordingError
from pycuda_guard.events.model import EventsLost, RunEnded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from pycuda_guard.events.model import Event

    Bytes: TypeAlias = bytes | mmap.mmap

#: bytes that are looked through for a whole record after one that is not, to tell a record that was
#: being written from one that was damaged later
_SEARCHED = 1 << 20

#: bytes whose check is computed in that search before the record counts as damaged
_CHECKED = 1 << 26

#: zeros that a record can end with
_ZERO_TAIL = 16


class Recording:
    """The timeline of one process, as far as it can be read. Made by :func:`read`.

    While :meth:`events` runs, ``problems`` fills with what can't be read and where (byte offset);
    ``is_damaged`` tells whether any of it was written and then lost. ``has_ended`` is true once the
    end of the run was read, and ``lost`` is the number of events before the first.
    """

    def __init__(self, path: str, tables: _Lane, events: _Lane, problems: Sequence[str]) -> None:
        self.path = path
        self.start = codec.Start()
        self.sources: dict[str, str] = {}
        self.blind: tuple[str, ...] = ()
        self.problems = list(problems)
        self.is_damaged = bool(problems)
        self.has_ended = False
        self.lost = 0
        self._events = events
        self._read_tables(tables)

    def events(self) -> Iterator[Event]:
        """Yield the events in the order in which they happened, up to the end or to the damage.

        Where events before the first are lost, a :class:`EventsLost` that says so comes first. Each
        call begins anew.
        """
        before = 0
        for offset, body in self._records(self._events):
            try:
                event = codec.decode_event(body)
            except ValueError as error:
                self._damage(f"the record at byte {offset} is no event: {error}")
                return
            if event.sequence <= before:
                self._damage(f"the event at byte {offset} has the number {event.sequence} after {before}")
                return
            if not before and event.sequence > 1:
                self.lost = event.sequence - 1
                yield EventsLost(None, 0, 0, event.sequence)
            before = event.sequence
            self.has_ended = self.has_ended or type(event) is RunEnded
            yield event

    @property
    def share(self) -> float:
        """How much of the events has been read, from 0 to 1, while :meth:`events` runs."""
        return self._events.share

    def provide_sources(self) -> None:
        """Have the recorded texts stand for the files of these names, so that messages quote them."""
        for file, text in self.sources.items():
            # only line feeds part lines, as when the file itself is read
            texts.provide(file, list(io.StringIO(text, newline="\n")))

    def _read_tables(self, lane: _Lane) -> None:
        for offset, body in self._records(lane):
            try:
                table = codec.decode_table(body)
                if isinstance(table, codec.SourceText):
                    self.sources[table.file] = table.unpack()
                elif isinstance(table, codec.BlindSpots):
                    self.blind = table.spots
                else:
                    self.start = table
            except ValueError as error:
                self._damage(f"the table at byte {offset} can't be read: {error}")

    def _records(self, lane: _Lane) -> Iterator[tuple[int, bytes]]:
        yield from lane.records()
        if lane.problem:
            self._note(lane.problem)
            self.is_damaged = self.is_damaged or lane.is_damaged

    def _damage(self, problem: str) -> None:
        self._note(problem)
        self.is_damaged = True

    def _note(self, problem: str) -> None:
        # the events may be read again
        if problem not in self.problems:
            self.problems.append(problem)


def read(path: str) -> Recording:
    """Open the recording at ``path``.

    Raises :class:`RecordingError` where nothing of it can be read: no such file, not a recording,
    written by another version.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise RecordingError(f"{path} is {what}, not a recording")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data: Bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise RecordingError(f"can't open {path}: {error.strerror}") from error
    heads, damaged = _heads(data)
    if not heads:
        if not size:
            raise RecordingError(f"{path} is empty, not a recording")
        what = (
            "its first bytes are damaged" if data[:4] == MAGIC[:4] else "its first bytes are not those of one"
        )
        raise RecordingError(f"{path} is not a recording of pycuda_guard: at byte 0, {what}")
    _check_version(path, heads[0][1])
    lanes = {}
    problems = []
    if damaged:
        places = ", ".join(str(offset) for offset in damaged[:5]) + (", …" if len(damaged) > 5 else "")
        problems.append(f"the block at byte {places} is damaged")
    for kind in Kind:
        blocks = sorted((head.serial, offset, head.first) for offset, head in heads if head.kind == kind)
        lanes[kind] = _Lane(data, blocks)
    recording = Recording(path, lanes[Kind.TABLES], lanes[Kind.EVENTS], problems)
    if heads[0][1].layout != codec.layout():
        written = recording.start.version
        raise RecordingError(
            f"{path} was written by another version of pycuda_guard ({written}), with other events",
            "read it with that version",
        )
    return recording


def _heads(data: Bytes) -> tuple[list[tuple[int, Head]], list[int]]:
    """Return the heads of all blocks with their offsets, and the offsets of damaged ones."""
    heads, damaged = [], []
    for offset in range(0, len(data), BLOCK):
        raw = data[offset : offset + HEAD]
        head = Head.unpack(raw)
        if head is not None:
            heads.append((offset, head))
        elif any(raw):
            damaged.append(offset)
    return heads, damaged


def _check_version(path: str, head: Head) -> None:
    if head.version != VERSION:
        raise RecordingError(
            f"{path}: at byte 8, format version {head.version}; this pycuda_guard reads version {VERSION}",
            "read it with the version of pycuda_guard that wrote it",
        )


class _Lane:
    """The records of one lane, from its blocks (serial number, offset in the file, first record)."""

    def __init__(self, data: Bytes, blocks: list[tuple[int, int, int]]) -> None:
        self._data = data
        self.problem = ""
        self.is_damaged = False
        # of blocks in a row without a gap; the last row would need records that nothing links
        self._pieces: list[tuple[int, int]] = []  # start and end in the file
        self._gap = 0  # where the first block after a gap is
        serial = blocks[0][0] if blocks else 1
        for number, offset, first in blocks:
            if number != serial:
                self._gap = offset
                break
            serial += 1
            if self._pieces or number == 1:
                start = offset + HEAD
            elif first < BLOCK:
                start = offset + max(first, HEAD)
            else:
                continue  # the middle of a record whose start is lost
            self._pieces.append((start, min(offset + BLOCK, len(data))))
        self._index = 0
        self._position = self._pieces[0][0] if self._pieces else 0

    @property
    def share(self) -> float:
        """How far the records have been read, from 0 to 1, in blocks."""
        return self._index / len(self._pieces) if self._pieces else 1.0

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Yield the offset in the file and the body of every record up to the end or the damage."""
        self._index = 0
        self._position = self._pieces[0][0] if self._pieces else 0
        while True:
            place = self._index, self._position
            offset = self._offset()
            head = self._take(RECORD.size)
            size, check = (0, 0) if head is None else RECORD.unpack(head)
            body = self._take(size - RECORD.size) if size > RECORD.size else None
            if body is None or zlib.crc32(body) != check:
                self._judge_end(place, offset)
                return
            yield offset, body

    def _judge_end(self, place: tuple[int, int], offset: int) -> None:
        """Say why there is no record at ``place``, if not because the lane ends there."""
        rest = self._rest(place)
        if self._gap:
            self._damage(f"the block before byte {self._gap} is missing")
        elif _holds_record(rest):
            self._damage(f"the record at byte {offset} is damaged")
        elif any(rest):
            self.problem = f"the last record, at byte {offset}, is incomplete"

    def _damage(self, problem: str) -> None:
        self.problem = f"{problem}; nothing after it is read"
        self.is_damaged = True

    def _offset(self) -> int:
        """Return where in the file the next byte of the lane is."""
        if self._index >= len(self._pieces):
            return self._pieces[-1][1] if self._pieces else 0
        if self._position < self._pieces[self._index][1] or self._index + 1 == len(self._pieces):
            return self._position
        return self._pieces[self._index + 1][0]

    def _take(self, nbytes: int) -> bytes | None:
        """Return the next bytes of the lane, or None where there are not as many."""
        parts = []
        while True:
            if self._index >= len(self._pieces):
                return None
            end = self._pieces[self._index][1]
            part = self._data[self._position : min(self._position + nbytes, end)]
            parts.append(part)
            nbytes -= len(part)
            self._position += len(part)
            if not nbytes:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            self._index += 1
            if self._index < len(self._pieces):
                self._position = self._pieces[self._index][0]

    def _rest(self, place: tuple[int, int]) -> bytes:
        """Return what follows ``place``, up to the last byte that is not zero, within reason."""
        position: int | None
        index, position = place
        rest = bytearray()
        for start, end in self._pieces[index:]:
            rest += self._data[start if position is None else position : end]
            position = None
            if len(rest) >= _SEARCHED:
                break
        used = len(rest.rstrip(b"\0"))
        return bytes(rest[: used + _ZERO_TAIL])


def _holds_record(rest: bytes) -> bool:
    """Tell whether a whole record begins somewhere after the first byte of ``rest``."""
    view = memoryview(rest)
    budget = _CHECKED
    for start in range(1, len(rest) - RECORD.size):
        size, check = RECORD.unpack_from(rest, start)
        if not RECORD.size < size <= len(rest) - start:
            continue
        budget -= size
        if budget < 0 or zlib.crc32(view[start + RECORD.size : start + size]) == check:
            return True
    return False
