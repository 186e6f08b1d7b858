"""When queued work runs: as late as it may, at once, or at random times that a seed replays."""

from __future__ import annotations

import random
import re

from pycuda_guard.errors import StartError

#: the number of a piece of work, its place in the order of the host's calls; and how much is queued in its
#: stream, itself included
Candidate = tuple[int, int]

LATE, EAGER, RANDOM = "late", "eager", "random"
#: what schedules are called
PATTERN = re.compile(r"late|eager|random:[0-9]{1,18}")


class Schedule:
    """Decides when work runs that nothing holds back, and which of several pieces runs first.

    ``is_eager``: work runs in the call that queues it.
    """

    is_eager = False

    def wants_more(self) -> bool:
        """Whether one more piece of work runs now, though nobody waits for it."""
        return False

    def choose(self, candidates: list[Candidate]) -> int:
        """Return the index of what runs next."""
        raise NotImplementedError


class Late(Schedule):
    """Nothing runs before somebody waits for it; then the youngest that may runs first.

    So whatever a program forgets to wait for has not happened, and where it forgets to order two streams, the
    work that it queued last comes first. What it queued back to back is torn apart where other streams have
    several pieces of work to put between: that shows memory which two streams use in turn.
    """

    def __init__(self) -> None:
        self._last = 0

    def choose(self, candidates: list[Candidate]) -> int:
        """Return the index of the youngest, or of the youngest of those others that have more behind them."""
        youngest = max(candidates)
        others = [other for other in candidates if other is not youngest and other[1] > 1]
        if others and youngest[0] == self._last + 1:
            youngest = max(others)
        self._last = youngest[0]
        return candidates.index(youngest)


class Eager(Schedule):
    """Work runs at once, in the order of the host's calls."""

    is_eager = True

    def choose(self, candidates: list[Candidate]) -> int:
        """Return the index of the oldest."""
        return candidates.index(min(candidates))


class Random(Schedule):
    """At each call that queues work, none, one or some pieces run, any of those that may."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def wants_more(self) -> bool:
        """Toss a coin."""
        return self._random.random() < 0.5

    def choose(self, candidates: list[Candidate]) -> int:
        """Return the index of any; of the same one for the same candidates in another order."""
        return candidates.index(self._random.choice(sorted(candidates)))


def parse(text: str) -> Schedule:
    """Return the schedule of a name: ``late``, ``eager`` or ``random:SEED``. Raises StartError."""
    if not PATTERN.fullmatch(text):
        raise StartError(
            f"there is no schedule {text!r}", "schedules are late, eager and random:SEED, such as random:7"
        )
    name, _, seed = text.partition(":")
    if name == RANDOM:
        return Random(int(seed))
    return Late() if name == LATE else Eager()
