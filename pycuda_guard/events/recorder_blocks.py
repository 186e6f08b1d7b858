"""The file under a recorder: blocks that are preallocated and mapped into memory.

What is stored into a mapped page is in the file, whatever happens to the process in the next
instruction. The space is allocated before it is mapped, because a store into a hole of a full
disk is no error but a signal.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections import deque
from typing import TYPE_CHECKING
from zlib import crc32

from pycuda_guard.events.codec import encode
from pycuda_guard.events.format import BLOCK, HEAD, PAYLOAD, RECORD, Head, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

#: blocks allocated at a time
EXTENT = 16

#: event blocks with which a bounded recording makes do
FEWEST = 4

#: MADV_POPULATE_WRITE of Linux 5.14, which Python does not name
_POPULATE_WRITE = 23

_ZEROS = bytes(BLOCK)
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def record_of(body: bytes) -> bytes:
    """Return the record of a body."""
    return RECORD.pack(RECORD.size + len(body), crc32(body)) + body


def numbers_of(sequence: int, time: int) -> bytes:
    """Return how the body of every event ends."""
    return encode((sequence, time))[1:]


def put_by_hand(block: memoryview, position: int, body: bytes) -> int:
    """Do what ``put`` of native/lane.c does, where there is no C compiler for it."""
    record = record_of(body)
    end = position + len(record)
    if end > len(block):
        return 0
    block[position:end] = record
    return end


def put_again_by_hand(
    block: memoryview, position: int, head: bytes, check: int, sequence: int, time: int
) -> int:
    """Do what ``put_again`` of native/lane.c does, where there is no C compiler for it."""
    return put_by_hand(block, position, head + numbers_of(sequence, time))


try:
    from pycuda_guard.events._lane import put as put, put_again as put_again
except ImportError:  # no C compiler when the package was installed
    put, put_again = put_by_hand, put_again_by_hand


def _make_writable(mapping: object, start: int) -> None:
    """Have the kernel make all pages of a block writable: at a fault for each, that takes longer."""
    if sys.platform == "linux" and isinstance(mapping, mmap.mmap):
        with contextlib.suppress(OSError):  # not every kernel can
            mapping.madvise(_POPULATE_WRITE, start, BLOCK)


class BlockFile:
    """A file of blocks, new at ``path``: whatever was there is unlinked, never overwritten.

    With ``limit`` there are that many event blocks; then the oldest is used again. The same happens
    when the disk is full: ``complain`` is told, once. Raises OSError where the file can't be made.
    """

    def __init__(
        self, path: str, layout: int, limit: int | None, complain: Callable[[OSError], None]
    ) -> None:
        self._layout = layout
        self._limit = limit
        self._complain = complain
        self._fresh = 0  # the next block that was never used
        self._allocated = 0
        self._events: deque[int] = deque()  # event blocks, the oldest first
        self._mapped = memoryview(b"")  # the blocks that were allocated last
        self._first_mapped = 0
        if os.path.lexists(path):
            os.unlink(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o666)
        try:
            self._allocate(EXTENT)
        except OSError:
            os.close(self._file)
            os.unlink(path)
            raise

    @property
    def capacity(self) -> int | None:
        """The most bytes of events that are kept, or None while there is no limit."""
        return None if self._limit is None else self._limit * PAYLOAD

    def take(self, kind: Kind, serial: int, first: int) -> memoryview:
        """Return a mapped block that begins with a new head, for the next part of a lane.

        Raises OSError when the disk is full and there is no older block to use again.
        """
        block = self._take_event_block() if kind is Kind.EVENTS else self._take_table_block()
        start = (block - self._first_mapped) * BLOCK
        if 0 <= start < len(self._mapped):
            window = self._mapped[start : start + BLOCK]
        else:
            window, start = memoryview(mmap.mmap(self._file, BLOCK, offset=block * BLOCK)), 0
        _make_writable(window.obj, start)
        head = Head(kind, serial, first, self._layout).pack()
        window[: len(head)] = head
        return window

    def close(self, end: int) -> None:
        """Close the file; ``end`` is the offset in its last event block where the events end."""
        self._mapped.release()  # not every system cuts a mapped file short
        try:
            if self._fresh and self._events and self._events[-1] == self._fresh - 1:
                os.ftruncate(self._file, (self._fresh - 1) * BLOCK + end)
            else:
                os.ftruncate(self._file, self._fresh * BLOCK)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is: in a forked child it is another process's."""
        self._mapped.release()
        os.close(self._file)

    def _take_event_block(self) -> int:
        if self._limit is None or len(self._events) < self._limit:
            try:
                block = self._take_fresh()
            except OSError as error:
                if len(self._events) < FEWEST:
                    raise
                self._limit = len(self._events)
                self._complain(error)
                block = self._take_oldest()
        else:
            block = self._take_oldest()
        self._events.append(block)
        return block

    def _take_table_block(self) -> int:
        try:
            return self._take_fresh()
        except OSError as error:
            if len(self._events) <= FEWEST:
                raise
            if self._limit is None:
                self._complain(error)
            self._limit = len(self._events) - 1
            return self._take_oldest()

    def _take_fresh(self) -> int:
        if self._fresh == self._allocated:
            try:
                self._allocate(EXTENT)
            except OSError:
                self._allocate(1)
        self._fresh += 1
        return self._fresh - 1

    def _take_oldest(self) -> int:
        """Empty the oldest event block, its head first: a head stands for a block that can be read."""
        block = self._events.popleft()
        with mmap.mmap(self._file, BLOCK, offset=block * BLOCK) as window:
            window[:HEAD] = _ZEROS[:HEAD]
            window[:] = _ZEROS
        return block

    def _allocate(self, blocks: int) -> None:
        start, nbytes = self._allocated * BLOCK, blocks * BLOCK
        try:
            os.posix_fallocate(self._file, start, nbytes)
        except (AttributeError, OSError) as error:  # not every system, nor every file system has it
            if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
                raise
            os.lseek(self._file, start, os.SEEK_SET)
            written = 0
            while written < nbytes:
                written += os.write(self._file, bytes(nbytes - written))
        self._mapped = memoryview(mmap.mmap(self._file, nbytes, offset=start))
        self._first_mapped = self._allocated
        self._allocated += blocks


class Lane:
    """One stream of records in a file of blocks. Not thread-safe."""

    __slots__ = ("_blocks", "_kind", "_serial", "position", "window")

    def __init__(self, blocks: BlockFile, kind: Kind) -> None:
        self._blocks = blocks
        self._kind = kind
        self._serial = 1
        self.window = blocks.take(kind, 1, HEAD)
        self.position = HEAD  # in the current block

    def append(self, body: bytes) -> None:
        """Append a record. When this returns, the record is in the file.

        Raises OSError when the disk is full, and ValueError for a record that is larger than all
        that a bounded recording keeps.
        """
        end = put(self.window, self.position, body)
        if end:
            self.position = end
        else:
            self._append_across(record_of(body))

    def _append_across(self, record: bytes) -> None:
        """Append a record that goes on in the next blocks; those are there before a byte is stored."""
        capacity = self._blocks.capacity
        if capacity is not None and len(record) > capacity - 2 * PAYLOAD:
            raise ValueError(f"a record of {len(record)} bytes is more than the recording may keep")
        window, position = self.window, self.position
        split = BLOCK - position
        parts = [(window, position, record[:split])]
        for start in range(split, len(record), PAYLOAD):
            self._serial += 1
            rest = len(record) - start
            window = self._blocks.take(self._kind, self._serial, min(HEAD + rest, BLOCK))
            parts.append((window, HEAD, record[start : start + PAYLOAD]))
        for window, position, part in parts:
            window[position : position + len(part)] = part
        self.window = window
        self.position = position + len(part)
        for filled, _, _ in parts[:-1]:
            filled.release()

    def close(self) -> None:
        """Unmap the current block."""
        self.window.release()
