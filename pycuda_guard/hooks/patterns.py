"""What the hooks know of launches that are made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.patterns import Pattern

if TYPE_CHECKING:
    from pycuda_guard.events.model import Launch, ModuleId


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
