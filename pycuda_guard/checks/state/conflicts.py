"""Accesses of device operations, and pairs of them that nothing orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.events.model import Copy, Launch, Memset

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.clocks import Track
    from pycuda_guard.checks.state.footprints import Range

Operation = Copy | Memset | Launch

NOBODY: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class Access:
    """Bytes of ``region`` that an operation, the ``number``-th of its stream, reads or writes.

    ``kind`` is ``read``, ``write`` or ``atomic``. ``staged`` is true where the driver may have done it
    when the call returned. ``accused`` holds the streams for which a conflict was told.
    """

    region: Region
    range: Range
    kind: str
    event: Operation
    track: Track
    number: int
    staged: bool = False
    accused: frozenset[int] = NOBODY

    def stands_for(self, old: Access) -> bool:
        """Tell whether whoever waits for this access has waited for ``old``, which touches no other bytes."""
        return (
            self.track is old.track
            and self.kind == old.kind
            and self.range == old.range
            and self.region is old.region
            and self.staged == old.staged
        )


@dataclass(slots=True, frozen=True)
class Conflict:
    """Two accesses to the same bytes that nothing orders, at least one of which changes them.

    The memory may have had another owner at the time of the earlier one: their regions differ. ``common``
    are the first bytes of the later one's region that both touch, and one past them, where a kernel told
    what it had touched.
    """

    earlier: Access
    later: Access
    common: tuple[int, int] | None = None
