"""What launches have left out of the arrays that they mean to write, and who wrote that instead."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.checks.state import ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.coverage import Meant
    from pycuda_guard.checks.state.footprints import Range
    from pycuda_guard.checks.state.ranges import Ranges
    from pycuda_guard.events.model import Contents, Launch

_MAX_A_REGION = 16
_MAX_REGIONS = 2000
_MAX_FILLS = 16

#: writers in :class:`Contents`
NOBODY, HOST = 0, -1


@dataclass(slots=True, eq=False)
class Gap:
    """A part of an array that a launch means to write, while none of its threads does.

    ``missing`` are the addresses, ``low`` and ``high`` bound all that it means to write, of which there are
    ``total`` bytes. ``spared``: the host read the array since then, but nothing that is missing. ``since`` is
    the first launch in a row, of this line, that has left out just that.
    """

    launch: Launch
    parameter: int
    region: Region
    missing: Ranges
    low: int
    high: int
    meant: Meant
    since: int
    spared: bool = False

    @property
    def total(self) -> int:
        """Bytes that the launch means to write."""
        return self.meant.total


class Outputs:
    """The gaps of all arrays, the newest last, and the host's own writes to them."""

    def __init__(self) -> None:
        self._gaps: dict[Region, list[Gap]] = {}
        self._fills: dict[Region, deque[tuple[int, Range]]] = {}

    def gaps(self, region: Region, before: int = 0) -> list[Gap]:
        """Return the gaps in an array, the newest first: those of launches before an event, 0 for all."""
        return [gap for gap in reversed(self._gaps.get(region, ())) if not 0 < before < gap.launch.sequence]

    def left_out(self, region: Region, before: int) -> list[Gap]:
        """Return the gaps that there were before an event already, the newest first."""
        return [gap for gap in reversed(self._gaps.get(region, ())) if gap.since < before]

    def launch(self, event: Launch, lacking: Iterable[Meant], regions: Sequence[Region | None]) -> None:
        """Enter a launch that leaves out some of what it means to write through ``lacking``."""
        for meant in lacking:
            region = regions[meant.parameter]
            value = (event.arguments or ())[meant.parameter].value
            if region is None or type(value) is not int:
                continue
            low, high = value + meant.low, value + meant.high
            # a bound beyond the array does not say what is meant to be written of it
            if region.base <= low and high <= region.end:
                missing = ranges.moved(meant.missing, value)
                self._add(Gap(event, meant.parameter, region, missing, low, high, meant, event.sequence))

    def fill(self, sequence: int, region: Region, touched: Range) -> None:
        """Enter what a copy or a memset writes to an array."""
        fills = self._fills.get(region)
        if fills is None:
            if len(self._fills) >= _MAX_REGIONS:
                del self._fills[next(iter(self._fills))]
            fills = self._fills[region] = deque(maxlen=_MAX_FILLS)
        fills.append((sequence, touched))

    def take_back(self, sequence: int) -> None:
        """Forget an operation that failed."""
        for gaps in self._gaps.values():
            gaps[:] = [gap for gap in gaps if gap.launch.sequence != sequence]
        for fills in self._fills.values():
            if fills and fills[-1][0] == sequence:
                fills.pop()

    def read(self, event: Contents, region: Region) -> None:
        """Enter that the host reads a part of an array."""
        asked = ((event.address, event.address + event.nbytes),)
        for gap in self.gaps(region, event.cause):
            if not ranges.common(gap.missing, asked):
                gap.spared = True

    def filled_at_once(self, gap: Gap, start: int, end: int, before: int) -> bool:
        """Tell whether the host wrote [start, end) before the launch, with all that it means to write.

        Of several times, the last one before the event ``before`` counts, 0 being the end of the run.
        """
        fills = [
            (sequence, touched)
            for sequence, touched in self._fills.get(gap.region, ())
            if touched.start < end and start < touched.end and not 0 < before < sequence
        ]
        if not fills:
            return False
        sequence, touched = fills[-1]
        return sequence < gap.launch.sequence and touched.start <= gap.low and gap.high <= touched.end

    def _add(self, gap: Gap) -> None:
        gaps = self._gaps.get(gap.region)
        if gaps is None:
            if len(self._gaps) >= _MAX_REGIONS:
                del self._gaps[next(iter(self._gaps))]
            gaps = self._gaps[gap.region] = []
        mine = (gap.launch.site, gap.launch.function, gap.parameter)
        for old in [old for old in gaps if mine == (old.launch.site, old.launch.function, old.parameter)]:
            if gap.missing == old.missing:
                gap.spared |= old.spared
                gap.since = old.since
            gaps.remove(old)
        gaps.append(gap)
        del gaps[:-_MAX_A_REGION]
