"""Where the hooks deliver what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pycuda_guard.events.model import Event
    from pycuda_guard.events.patterns import Pattern


class Sink(Protocol):
    """Takes events in the order in which they happen; the session is one.

    Both methods are called from any thread, and may be called again on the same thread before
    they return: a garbage collection can start anywhere, and frees memory. Neither may raise for
    a reason of the user's program.
    """

    def emit(self, event: Event, pattern: Pattern | None = None) -> int:
        """Give ``event`` its sequence number, pass it on, and return that number.

        With a ``pattern`` it equals all events that were emitted with that pattern before.
        """

    def guard_error(self, where: str, error: BaseException) -> None:
        """Note that the guard itself failed in ``where``; the user's call goes on."""
