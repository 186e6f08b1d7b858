"""What the hooks know of launches and copies that are made again."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from pycuda_guard.events.patterns import Pattern

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import Event, Launch, ModuleId


#: launches, and copies, that each thread remembers
MOST = 1024


def remember(
    table: dict[tuple[Site | None, int, int], Pattern | None], key: tuple[Site | None, int, int], event: Event
) -> None:
    """Keep what an event that comes for the second time has in common with those that may follow."""
    if len(table) >= MOST:
        table.clear()
    table[key] = Pattern(copy(event)) if key in table else None


class Launched(Pattern):
    """Launches of one thread that equal ``example``, with arguments that are ``packed`` the same.

    ``known`` is what the tap knows of the function: an object that no other function shares.
    """

    __slots__ = ("block", "call", "context", "grid", "known", "packed", "shared", "stream")

    def __init__(self, example: Launch, packed: bytes, known: tuple[ModuleId, str, bool]) -> None:
        super().__init__(example)
        self.packed = packed
        self.known = known
        self.call = example.call
        self.grid = example.grid
        self.block = example.block
        self.shared = example.shared
        self.stream = example.stream
        self.context = example.context
