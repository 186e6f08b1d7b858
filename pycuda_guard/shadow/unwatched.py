"""What the runtime did not look at, though the options ask for it."""

from __future__ import annotations

from typing import NamedTuple


class Unwatched(NamedTuple):
    """Kernels by name, in the order of their launches, and who else uses the device.

    ``races``: not all races in these could be looked for. ``crowded``: these ran as they are, because with
    checks not all of their blocks were resident. ``refused``: their blocks have more threads than there are
    registers for with checks. ``writer``: a library that may write device memory unseen, so that none of it
    counts as never written; empty if there is none.
    """

    races: tuple[str, ...] = ()
    crowded: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    writer: str = ""
