"""What events that are equal but for their numbers and times have in common.

Whoever makes such an event may say so, by the pattern of the earlier ones. Each who gets it keeps with the
pattern what was found out about those, and looks at what has changed since. An event tells all about itself
with or without its pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycuda_guard.events.model import Event


class Pattern:
    """Events that equal ``example``, which has no number: ``copy()`` makes one more.

    ``head`` are the bytes that their records in the file of ``recorder`` begin with, and ``check`` is the
    CRC-32 of those bytes. ``plan`` is what the rules know of such a launch, ``quiet``
    that they had nothing to say of the last one, and ``prepared`` is how its kernel was launched.
    """

    __slots__ = ("check", "copy", "example", "head", "plan", "prepared", "quiet", "recorder")

    def __init__(self, example: Event) -> None:
        self.example = example
        self.copy = example.__copy__  # type: ignore[attr-defined]
        self.head = b""
        self.check = 0
        self.recorder: Any = None
        self.plan: Any = None
        self.quiet: object = None
        self.prepared: Any = None
