"""Device memory pools: how many blocks each holds for later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import Allocated, PoolEmptied


class Pools:
    """Held blocks by the number of the pool; pools made before the guard have none."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}
        self._stopped: set[int] = set()

    def allocate(self, event: Allocated) -> None:
        """Take in a block that a pool handed out."""
        if event.pool:
            self._held[event.pool] = event.held

    def free(self, region: Region | None) -> None:
        """Take in that a block goes back to its pool."""
        if region is not None and region.pool and region.pool not in self._stopped:
            self._held[region.pool] = self._held.get(region.pool, 0) + 1

    def empty(self, event: PoolEmptied) -> None:
        """Take in that a pool gave its held blocks back."""
        self._held[event.pool] = 0
        if event.stops:
            self._stopped.add(event.pool)

    @property
    def held_blocks(self) -> int:
        """The blocks that all pools together hold for later."""
        return sum(self._held.values())

    def needs_context(self, pool: int) -> bool:
        """Tell whether the next block that comes back needs a current context: a pool that begins to hold."""
        return pool in self._held and not self._held[pool] and pool not in self._stopped
