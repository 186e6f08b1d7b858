"""What the processes of one run are called."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.events.codec import Start
    from pycuda_guard.events.reader import Recording


def names(recordings: Sequence[Recording]) -> list[str]:
    """Return names that tell processes apart: by rank, by number, or by machine and number.

    Of several recordings of one rank (its child processes), each has its number behind that of the rank.
    """
    starts = [recording.start for recording in recordings]
    ranks = Counter(start.rank for start in starts)
    hosts = {start.host for start in starts}
    return [_name(start, alone=ranks[start.rank] == 1, with_host=len(hosts) > 1) for start in starts]


def _name(start: Start, *, alone: bool, with_host: bool) -> str:
    if start.rank is not None:
        return f"rank {start.rank}" if alone else f"rank {start.rank}, {start.process}"
    return f"{start.host}:{start.process}" if with_host else str(start.process)


def numbers(recordings: Sequence[Recording]) -> list[int]:
    """Return the processes' numbers, or others where machines have given two of them the same one."""
    found = [recording.start.process for recording in recordings]
    return found if len(set(found)) == len(found) else list(range(1, len(found) + 1))
