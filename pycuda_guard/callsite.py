"""Which line of the user's program is calling.

(owner: hooks room)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """A line of the user's program. Sites are interned: one object for one place."""

    file: str
    line: int
    function: str
