"""Unfinished accesses of the device to memory that the host can touch in the meantime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pycuda_guard.checks.state import footprints
from pycuda_guard.events.model import Launch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.clocks import Clocks
    from pycuda_guard.checks.state.conflicts import Access
    from pycuda_guard.checks.state.modules import Modules
    from pycuda_guard.events.model import Address, Allocated, HostTouched

_MOST = 1024  # accesses that are remembered; older ones are not watched any longer


class Watcher(Protocol):
    """Who wants to know what the device does with memory that is the host's, too."""

    def hold(self, use: Access) -> None:
        """Take notice of an access that is about to begin."""

    def drop(self, use: Access) -> None:
        """Take notice that an access is over, or does not matter any more."""


class Shared:
    """The accesses that the host must not come between. ``watcher`` is told of each."""

    def __init__(self, clocks: Clocks, modules: Modules) -> None:
        self.watcher: Watcher | None = None
        self._clocks = clocks
        self._modules = modules
        self.uses: list[Access] = []  #: accesses that may not be over

    def find(self, address: Address, is_write: bool) -> Access | None:
        """Return the access that the host comes between by reading or writing a byte, if any."""
        is_over = self._clocks.is_over
        found = [
            use
            for use in self.uses
            if footprints.holds(use.range, address) and not is_over(use.track, use.number)
        ]
        writing = next((use for use in found if use.kind == "write"), None)
        return writing or (found[-1] if found and is_write else None)

    def begin(self, access: Access) -> None:
        """Take in an access to shared memory, if it is certain to go on while the host does."""
        event = access.event
        if not access.range.width:
            return  # nobody knows which bytes
        if isinstance(event, Launch):
            kernel = self._modules.kernels.get((event.module, event.function))
            # The host may watch atomic counters, and what a kernel publishes under way.
            if access.kind == "atomic" or kernel is None or kernel.signature.signals:
                return
        elif not event.asynchronous:
            return
        replaced = [old for old in self.uses if access.stands_for(old)]
        self.uses.append(access)
        if self.watcher is not None:
            self.watcher.hold(access)
        if replaced or len(self.uses) > _MOST:
            self._drop(replaced or [self.uses[0]])

    def settle(self) -> None:
        """Let go what the host has waited for."""
        if self.uses:
            is_over = self._clocks.is_over
            self._drop([use for use in self.uses if is_over(use.track, use.number)])

    def take_back(self, access: Access) -> None:
        """Let go an access whose call failed."""
        if access in self.uses:
            self._drop([access])

    def free(self, region: Region) -> None:
        """Let go memory that is freed: whoever has it next is not to blame."""
        self._drop([use for use in self.uses if use.region is region])

    def allocate(self, event: Allocated) -> None:
        """Let go memory that has a new owner, though no free was seen."""
        new = footprints.Range(event.address, event.nbytes)
        self._drop([use for use in self.uses if footprints.overlap(use.range, new)])

    def touch(self, event: HostTouched) -> None:
        """Let go what the host has touched: told once, for all that it does before it waits."""
        self._drop([use for use in self.uses if footprints.holds(use.range, event.address)])

    def _drop(self, uses: Iterable[Access]) -> None:
        for use in uses:
            self.uses.remove(use)
            if self.watcher is not None:
                self.watcher.drop(use)
