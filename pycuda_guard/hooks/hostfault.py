"""Host accesses to device memory: the event just before the process dies of SIGSEGV.

Such an access is no call, so nothing can be wrapped; the signal is all there is. See
native/hostfault.c for what happens in its handler.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pycuda_guard import callsite
from pycuda_guard.events.model import Allocated, Event, Freed, HostFault, MemoryKind

if TYPE_CHECKING:
    from pycuda_guard.hooks.sink import Sink

try:
    from pycuda_guard.hooks import _hostfault as _hostfault
except ImportError:  # no C compiler when the package was installed, or no SIGSEGV to handle
    _hostfault = None  # type: ignore[assignment]

#: memory at addresses that mean nothing to the host
DEVICE_KINDS = frozenset({MemoryKind.DEVICE, MemoryKind.POOL, MemoryKind.IPC})

#: slots of the table that the signal handler reads
CAPACITY = 1 << 20


class HostFaultWatch:
    """Knows where device memory is, and emits a :class:`HostFault` when the host touches it.

    ``is_available`` is false where the C extension is missing; then nothing is watched.
    ``is_dying`` is true from the moment at which the event is on its way.
    """

    is_available = _hostfault is not None
    #: the events that :meth:`see` needs
    events: frozenset[type[Event]] = frozenset({Allocated, Freed}) if is_available else frozenset()

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._slots: dict[int, int] = {}
        self._empty: list[int] = []
        self._next = 0
        self.is_dying = False

    def see(self, event: Event) -> None:
        """Follow device memory as it comes and goes."""
        if isinstance(event, Allocated):
            if event.kind in DEVICE_KINDS and event.nbytes:
                slot = self._slots.get(event.address)
                if slot is None:
                    slot = self._take_slot()
                if slot < CAPACITY:
                    self._slots[event.address] = slot
                    _hostfault.watch(slot, event.address, event.nbytes)
                # at every allocation, so that a handler installed in between does not stay in front
                _hostfault.on_fault(self._fault)
                _hostfault.arm()
        elif isinstance(event, Freed) and event.address in self._slots:
            slot = self._slots.pop(event.address)
            self._empty.append(slot)
            _hostfault.watch(slot, 0, 0)

    def stop(self) -> None:
        """Give SIGSEGV back, and what :mod:`.touch` protects."""
        if self.is_available:
            _hostfault.disarm()

    def _take_slot(self) -> int:
        if self._empty:
            return self._empty.pop()
        self._next += 1
        return self._next - 1

    def _fault(self, address: int, is_write: bool, thread: int) -> None:
        """Be called, on a thread of its own, while ``thread`` waits in the signal handler."""
        frame = sys._current_frames().get(thread)
        site = None if frame is None else callsite.here(frame=frame)
        self.is_dying = True
        self._sink.emit(HostFault(site, thread, 0, address, is_write))
