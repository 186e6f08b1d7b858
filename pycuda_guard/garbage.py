"""Python's collector of cyclic garbage, while much is being built that is no garbage."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Have nothing collected in the meantime, if anything would be.

    The collector looks again and again at all that was made so far: of the time it takes to compile a long
    kernel, that was a third. What modules make as they are imported lives to the end, too.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
