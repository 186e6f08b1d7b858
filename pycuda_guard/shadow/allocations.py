"""What memory there is, and what the host knows of its contents."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING

from pycuda_guard.events.model import MemoryKind
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.shadow.intervals import Intervals

if TYPE_CHECKING:
    from collections.abc import Iterator

#: memory that nobody but kernels, copies and memsets of this program writes
_OWN = frozenset({MemoryKind.DEVICE, MemoryKind.POOL})


class Allocation:
    """A live allocation.

    ``known`` is the bytes that copies and memsets wrote (offsets), as long as there is no shadow and
    they are not all; ``whole`` says that every byte was written, as far as is known. ``shadow`` is the
    device address of its codes, one for each ``1 << shift`` bytes, or 0. ``launches`` is which launch
    each epoch code stands for, ``users`` the streams whose kernels may still use the shadow.
    """

    __slots__ = (
        "address", "context", "end", "epoch", "is_shared", "is_tracked", "is_variable", "known", "launches",
        "run_at_end", "shadow", "shift", "size", "unanswered", "unscanned", "users", "version", "whole",
    )  # fmt: skip

    def __init__(self, address: int, size: int, kind: MemoryKind, context: int) -> None:
        self.address = address
        self.size = size
        self.end = address + size
        self.context = context
        # the host writes managed memory without a call, and pinned memory is the host's own
        self.is_tracked = kind in _OWN or kind is MemoryKind.MANAGED
        self.is_variable = kind is MemoryKind.GLOBAL
        self.whole = kind not in _OWN
        self.known: Intervals | None = None if self.whole else Intervals()
        self.is_shared = False  # a launch that was not watched may have written it
        self.shadow = 0
        self.shift = abi.UNTRACKED
        self.epoch = abi.FIRST_EPOCH - 1
        self.launches: dict[int, int] = {}
        self.users: dict[int, None] = {}
        self.unscanned = False  # kernels wrote it since a scan was last asked whether it is whole
        self.unanswered = False  # kernels wrote it since Contents were last asked for
        self.run_at_end = False  # likewise, and some of these kernels are the user's
        self.version = 0  # of what is whole: goes up where bytes that nobody wrote are copied in

    @property
    def units(self) -> int:
        """Number of codes of the shadow."""
        return (self.size + (1 << self.shift) - 1) >> self.shift

    def note_written(self, start: int, end: int) -> None:
        """Note that the host, a copy or a memset writes these bytes (offsets; clipped to the allocation)."""
        if self.whole:
            return
        start, end = max(0, start), min(self.size, end)
        if start == 0 and end == self.size:
            self.fill_up()
        elif self.known is not None:
            self.known.add(start, end)
            if self.known.covers(0, self.size):
                self.fill_up()

    def fill_up(self) -> None:
        """Note that all bytes count as written from now on."""
        self.whole = True
        self.known = None

    def reopen(self) -> None:
        """Note that bytes that nobody wrote may have been copied here."""
        if self.whole and not self.shadow:
            self.known = Intervals((0, self.size))
        self.whole = False
        self.version += 1
        self.unscanned = True

    def lose_shadow(self) -> None:
        """Watch this allocation's contents no more; its shadow is somebody else's business."""
        self.shadow, self.shift = 0, abi.UNTRACKED
        self.give_up()

    def give_up(self) -> None:
        """Watch this allocation's contents no more."""
        self.fill_up()
        self.is_tracked = False
        self.unanswered = self.run_at_end = self.unscanned = False

    def take_epoch(self, launch: int) -> int:
        """Return the code of a launch that stores here, or 0 where the codes are used up."""
        if self.epoch >= abi.LAST_EPOCH:
            return 0
        self.epoch += 1
        self.launches[self.epoch] = launch
        return self.epoch

    def forget_epochs(self) -> None:
        """Begin with the first epoch again; the shadow must be swept."""
        self.epoch = abi.FIRST_EPOCH - 1
        self.launches.clear()


class AllocationMap:
    """The live allocations, by address. They never overlap: what is new there replaces what was."""

    def __init__(self) -> None:
        self._by_address: dict[int, Allocation] = {}
        self._addresses: list[int] = []
        self.version = 0  # goes up with each change

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Allocation]:
        """Iterate by address."""
        return iter([self._by_address[address] for address in self._addresses])

    def add(self, allocation: Allocation) -> list[Allocation]:
        """Add an allocation and return those that it replaces."""
        replaced = []
        index = bisect_right(self._addresses, allocation.address)
        if index and self._by_address[self._addresses[index - 1]].end > allocation.address:
            index -= 1
        while index < len(self._addresses) and self._addresses[index] < allocation.end:
            replaced.append(self._by_address.pop(self._addresses.pop(index)))
        # one of no bytes at the same address
        if allocation.address in self._by_address:
            replaced.append(self.remove(allocation.address))  # type: ignore[arg-type]
        insort(self._addresses, allocation.address)
        self._by_address[allocation.address] = allocation
        self.version += 1
        return replaced

    def remove(self, address: int) -> Allocation | None:
        """Remove and return the allocation that starts at ``address``, if there is one."""
        allocation = self._by_address.pop(address, None)
        if allocation is not None:
            del self._addresses[bisect_right(self._addresses, address) - 1]
            self.version += 1
        return allocation

    def at(self, address: int) -> Allocation | None:
        """Return the allocation that an address is in, or one past the end of."""
        found = self._by_address.get(address)
        if found is not None:
            return found
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        found = self._by_address[self._addresses[index]]
        return found if address <= found.end else None

    def clear(self) -> None:
        """Forget everything."""
        self._by_address.clear()
        self._addresses.clear()
        self.version += 1
