"""Host accesses to memory that the device is using: seen at the touch, by page protection.

While an asynchronous copy or a kernel is unfinished, the pages of its host memory are protected: from
reads and writes where the device writes, from writes where it reads. The signal handler (see
native/hostfault.c) lifts the protection, so the program goes on, and the touch becomes an event. The
device does not go through the host's page tables: it is not disturbed.

Only pages that lie whole in what the device uses are protected, so nobody who does nothing wrong ever
meets a protected page, nor does a system call on their behalf, which would fail with EFAULT.
"""

from __future__ import annotations

import mmap
import sys
from typing import TYPE_CHECKING, Protocol

from pycuda_guard import callsite, platforms
from pycuda_guard.events.model import HostTouched, MemoryKind
from pycuda_guard.hooks.hostfault import HostFaultWatch, _hostfault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.callsite import Site
    from pycuda_guard.hooks.sink import Sink

#: runs of pages that can be protected at a time (HOLDS of native/hostfault.h)
MOST_RUNS = 4096

#: rows of a pitched copy that are protected
MOST_ROWS = 64

#: Protecting and freeing a few pages takes 3 to 30 µs on the machines that were measured. So the first
#: operations of each line are watched all; of the later ones one in so many, a number that shares no factor
#: with the usual sizes of rings.
FIRST_TURNS = 50
LATER_TURNS = 31

#: A MiB takes 5 to 50 µs more. Of a longer run of pages than the first, this much at both ends is watched.
LONGEST_RUN = 16 << 20
EDGE = 1 << 20

#: after so many touches of what an operation of one line uses, its further ones are not protected
MOST_TOUCHES = 100

_PAGE = mmap.PAGESIZE


class Bytes(Protocol):
    """``rows`` rows of ``width`` bytes from the address ``start``, ``pitch`` bytes apart."""

    @property
    def start(self) -> int:
        """Address of the first byte."""

    @property
    def width(self) -> int:
        """Bytes of a row."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def pitch(self) -> int:
        """Bytes from one row to the next."""


class Block(Protocol):
    """The allocation from ``base`` up to ``end``."""

    base: int
    end: int
    kind: MemoryKind


class Cause(Protocol):
    """The event of an operation."""

    site: Site | None


class Use(Protocol):
    """What an unfinished operation does with host memory: ``kind`` is ``read``, ``write`` or ``atomic``."""

    @property
    def kind(self) -> str:
        """``read``, ``write`` or ``atomic``."""

    @property
    def range(self) -> Bytes:
        """The bytes that it uses."""

    @property
    def region(self) -> Block:
        """The allocation that they are in."""

    @property
    def event(self) -> Cause:
        """The event of the operation."""


class _Line:
    """A line of the program whose operations use host memory: how often, and how often that was touched."""

    __slots__ = ("touches", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.touches = 0


class TouchWatch:
    """Protects host memory while the device uses it, and emits a :class:`HostTouched` when it is touched.

    ``owns_pages`` says that no two allocations of CUDA's share a page. ``is_available`` is false where the
    C extension is missing or the platform is not known to bear it; then nothing is watched.
    """

    is_available = HostFaultWatch.is_available and platforms.current_platform() == "Linux x86-64"

    def __init__(self, sink: Sink, *, owns_pages: bool) -> None:
        self._sink = sink
        self._owns_pages = owns_pages
        self._runs: dict[Use, list[tuple[int, int, int]]] = {}  # slot, first byte, number of bytes
        self._lines: dict[Site | None, _Line] = {}
        self._empty: list[int] = []
        self._next = 0
        self._ordinary: dict[Block, bool] = {}

    def hold(self, use: Use) -> None:
        """Protect what an operation uses that is about to be issued."""
        line = self._lines.get(use.event.site)
        if line is None:
            line = self._lines[use.event.site] = _Line()
        line.turns += 1
        if line.turns > FIRST_TURNS and line.turns % LATER_TURNS:
            return
        if line.touches >= MOST_TOUCHES or not self._is_ordinary(use.region):
            return
        runs = []
        for first, end in self._pages(use):
            slot = self._empty.pop() if self._empty else self._next
            if slot == MOST_RUNS:
                break
            self._next = max(self._next, slot + 1)
            runs.append((slot, first, end - first))
        if not runs:
            return
        if not self._runs:
            _hostfault.on_touch(self._touched)
        # every time, so that a handler installed in between does not stay in front
        _hostfault.arm()
        self._runs[use] = runs
        for slot, first, nbytes in runs:
            _hostfault.hold(slot, first, nbytes, use.kind != "read")
        _hostfault.renew()

    def drop(self, use: Use) -> None:
        """Let the host have back what an operation used that is over."""
        for slot, _, _ in self._runs.pop(use, ()):
            _hostfault.drop(slot)
            self._empty.append(slot)

    def _pages(self, use: Use) -> Iterator[tuple[int, int]]:
        """Yield first address and end of the runs of pages to protect."""
        touched = use.range
        for row in range(min(touched.rows, MOST_ROWS)):
            start = touched.start + row * touched.pitch
            end = start + touched.width
            if end == use.region.end and self._owns_pages and use.region.kind is not MemoryKind.REGISTERED:
                end += -end % _PAGE  # the rest of the last page is nobody's
            first, end = start + -start % _PAGE, end - end % _PAGE
            if end - first > LONGEST_RUN:
                yield first, first + EDGE
                yield end - EDGE, end
            elif first < end:
                yield first, end

    def _is_ordinary(self, region: Block) -> bool:
        """Tell whether memory may be read and written: what the program mapped itself need not be."""
        if region.kind is not MemoryKind.REGISTERED:
            return True
        known = self._ordinary.get(region)
        if known is None:
            if len(self._ordinary) > 256:
                self._ordinary.clear()
            known = self._ordinary[region] = _is_mapped("rw", region.base, region.end)
        return known

    def _touched(self, address: int, is_write: bool, thread: int) -> None:
        """Be called, on a thread of its own, while ``thread`` waits in the signal handler."""
        frame = sys._current_frames().get(thread)
        # The guard's own frame: PyCUDA or the driver is touching the memory, in a call that was reported.
        if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] == "pycuda_guard":
            return
        for use, runs in list(self._runs.items()):
            if any(first <= address < first + nbytes for _, first, nbytes in runs):
                self._lines[use.event.site].touches += 1
        self._sink.emit(HostTouched(callsite.here(frame=frame), thread, 0, address, is_write))


def _is_mapped(access: str, base: int, end: int) -> bool:
    """Tell whether all of [base, end) is mapped with this access, as ``/proc`` spells it."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            bounds, permissions = line.split(maxsplit=2)[:2]
            first, last = (int(bound, 16) for bound in bounds.split("-"))
            if first <= base < last:
                if not permissions.startswith(access):
                    return False
                base = last
            if base >= end:
                return True
    return False
