"""What the guard keeps on the device for one context: a stream, the ring of reports, shadows, answers."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections import deque
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.shadow.arena import Arena
from pycuda_guard.shadow.driver import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycuda_guard.shadow.driver import Driver

#: runs of equal codes that one answer can hold
MAX_RUNS = 1024

#: an answer as codes.cu writes it: finished, runs, codes NEVER, complement of the first's index, one past
#: the last's; then index and code of each run's first code
_ANSWER = struct.Struct("<IIQQQ")
_ANSWER_BYTES = _ANSWER.size + 8 * MAX_RUNS
_ANSWERS_AT_A_TIME = 32
_RING_BYTES = abi.RING_HEADER + abi.RING_CAPACITY * abi.RECORD.size


@cache
def _code() -> bytes:
    return files("pycuda_guard.shadow").joinpath("codes.ptx").read_bytes() + b"\0"


class Answer:
    """A place for the answer to one scan, in memory that host and device share."""

    __slots__ = ("_host", "device", "scratch")

    def __init__(self, host: int, device: int, scratch: int) -> None:
        self._host = host
        self.device = device
        self.scratch = scratch  # in device memory, all zeros between scans

    def clear(self) -> None:
        """Make ready for a scan."""
        ctypes.c_uint32.from_address(self._host).value = 0

    @property
    def is_there(self) -> bool:
        """Whether the scan has finished."""
        return bool(ctypes.c_uint32.from_address(self._host).value)

    def read(self) -> tuple[list[tuple[int, int]] | None, int, int, int]:
        """Return the runs (index, code), None if too many; codes NEVER: count, first, one past the last."""
        content = ctypes.string_at(self._host, _ANSWER_BYTES)
        _, count, never, first, last = _ANSWER.unpack_from(content)
        runs = None
        if count <= MAX_RUNS:
            entries = struct.unpack_from(f"<{count}Q", content, _ANSWER.size)
            runs = sorted((entry >> 8, entry & 0xFF) for entry in entries)
        return runs, never, ~first & 0xFFFFFFFFFFFFFFFF, last


class Mark:
    """A point in a stream of the program; several may wait for one."""

    __slots__ = ("event",)

    def __init__(self, event: int) -> None:
        self.event = event  # 0 once the stream has got there


class Table:
    """The live allocations at one time, for kernels that look addresses up; good in streams of ``users``."""

    __slots__ = ("device", "entries", "host", "size", "users", "version")

    def __init__(self, host: int, device: int, size: int) -> None:
        self.host = host
        self.device = device
        self.size = size
        self.entries = 0
        self.version = (-1, -1)
        self.users: dict[int, None] = {}


class ContextState:
    """The guard's objects in one context, made while it is current. Raises DriverError if it can't be."""

    def __init__(self, driver: Driver, handle: int) -> None:
        self.driver = driver
        self.handle = handle
        self.stream = driver.create_stream()  # waits for no stream of the program, and none waits for it
        self.arena = Arena(driver)
        self.streams: set[int] = set()  # those of the program that were launched on
        self.maps_pageable_memory = driver.maps_pageable_memory()
        module = driver.load(_code())
        self.scan = driver.function(module, "pg_scan")
        self.carry = driver.function(module, "pg_carry")
        self.expand = driver.function(module, "pg_expand")
        self.sweep = driver.function(module, "pg_sweep")
        self._ring_host, self.ring = driver.allocate_mapped(_RING_BYTES)
        self._ring_id = driver.buffer_id(self.ring)
        ctypes.memset(self._ring_host, 0, _RING_BYTES)
        # asked for at every event; a view of memory answers in half the time that ctypes takes
        counter = (ctypes.c_uint32 * 1).from_address(self._ring_host)
        self._ring_count = memoryview(counter).cast("B").cast("I")
        self._read = 0  # reports read so far
        self._answers: list[Answer] = []
        self._events: list[int] = []  # that may be recorded again
        self.waiting: deque[tuple[list[Mark], Callable[[], None]]] = deque()  # what is put off
        self._ended: list[Mark] = []  # at the ends of streams that are gone
        self._tables: list[Table] = []  # that nobody uses
        self._table: Table | None = None
        self.layout = 0  # goes up when a shadow comes, goes or moves
        self.launched = False  # something of ours has been launched

    @property
    def is_alive(self) -> bool:
        """Whether the context still exists. Nothing says when PyCUDA destroys one that nobody refers to."""
        try:
            return self.driver.buffer_id(self.ring) == self._ring_id
        except DriverError as error:
            return error.is_of_kernel

    # -- reports --------------------------------------------------------------------------------

    @property
    def has_reports(self) -> bool:
        """Whether kernels have reported something that was not read yet."""
        return self._ring_count[0] != self._read

    def reports(self) -> list[bytes]:
        """Return the records that kernels have completed since the last call, oldest first."""
        total = self._ring_count[0]
        behind = (total - self._read) & 0xFFFFFFFF
        if not behind:
            return []
        if behind > abi.RING_CAPACITY:
            self._read = (total - abi.RING_CAPACITY) & 0xFFFFFFFF
        found = []
        size = abi.RECORD.size
        while self._read != total:
            slot = self._ring_host + abi.RING_HEADER + self._read % abi.RING_CAPACITY * size
            expected = (self._read + 1) & 0xFFFFFFFF
            number = ctypes.c_uint32.from_address(slot).value
            if number != expected:
                if (number - expected) & 0xFFFFFFFF >= 1 << 31 or not number:
                    break  # it is being written
                self._read = expected  # overwritten by a later one
                continue
            found.append(ctypes.string_at(slot, size))
            self._read = expected
        return found

    # -- answers --------------------------------------------------------------------------------

    def take_answer(self) -> Answer | None:
        """Return a place for an answer; None where there is no memory for it."""
        if not self._answers:
            nbytes = _ANSWERS_AT_A_TIME * _ANSWER_BYTES
            try:
                scratch = self.driver.allocate(nbytes)
            except DriverError:
                return None
            host, device = self.driver.allocate_mapped(nbytes)
            self.driver.fill(scratch, 0, nbytes, self.stream)
            self.driver.synchronize_stream(self.stream)
            for offset in range(0, nbytes, _ANSWER_BYTES):
                self._answers.append(Answer(host + offset, device + offset, scratch + offset))
        answer = self._answers.pop()
        answer.clear()
        return answer

    def give_answer(self, answer: Answer) -> None:
        """Take back a place whose answer was read."""
        self._answers.append(answer)

    # -- memory that kernels may still use ------------------------------------------------------

    def end_stream(self, stream: int) -> None:
        """Note that a stream of the program is about to be destroyed."""
        self.streams.discard(stream)
        self._ended = [mark for mark in self._ended if not self._has_come(mark)]
        self._ended.append(self._mark(stream))

    def when_unused(self, users: Iterable[int], then: Callable[[], None]) -> None:
        """Call ``then`` as soon as what was launched in these streams is done. Waits for nothing."""
        marks = [self._mark(stream) for stream in users if stream in self.streams]
        self.waiting.append((marks + self._ended, then))
        self.look_after()

    def look_after(self) -> None:
        """Do what was put off until kernels were done, the oldest first."""
        while self.waiting:
            marks, then = self.waiting[0]
            while marks:
                if not self._has_come(marks[-1]):
                    return
                marks.pop()
            self.waiting.popleft()
            then()

    def _mark(self, stream: int) -> Mark:
        event = self._events.pop() if self._events else self.driver.create_event()
        self.driver.record(event, stream)
        return Mark(event)

    def _has_come(self, mark: Mark) -> bool:
        if mark.event and self.driver.is_done(mark.event):
            self._events.append(mark.event)
            mark.event = 0
        return not mark.event

    # -- the table of allocations ---------------------------------------------------------------

    def table(self, version: tuple[int, int], content: Callable[[], bytes], stream: int) -> tuple[int, int]:
        """Return address and entries of the table of this version, good for kernels in ``stream``.

        A table is never changed: kernels that use an older one may still run.
        """
        table = self._table
        if table is None or table.version != version:
            packed = content()
            if table is not None:
                self._table = None
                self.when_unused(table.users, functools.partial(self._tables.append, table))
            table = self._new_table(len(packed))
            ctypes.memmove(table.host, packed, len(packed))
            table.entries = len(packed) // abi.RANGE.size
            table.version = version
            table.users = {}
            self._table = table
        if stream not in table.users and table.entries:
            # a stream that has not seen the upload in another one makes its own: the same bytes once more
            self.driver.upload(table.device, table.host, table.entries * abi.RANGE.size, stream)
            table.users[stream] = None
        return table.device, table.entries

    def _new_table(self, nbytes: int) -> Table:
        for index, table in enumerate(self._tables):
            if table.size >= nbytes:
                return self._tables.pop(index)
        size = max(4096, 1 << (nbytes - 1).bit_length()) if nbytes else 4096
        host, _ = self.driver.allocate_mapped(size)
        return Table(host, self.driver.allocate(size), size)
