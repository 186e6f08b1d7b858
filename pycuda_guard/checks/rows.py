"""Launches in a row that equal earlier ones, of which no rule had anything to say: taken in all at once.

Between launches of one stream nothing happens that could make a rule say something of one of them, if it was
judged since anything else has happened. So they wait until something else does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.model import Event, Launch

if TYPE_CHECKING:
    from pycuda_guard.checks.state import State
    from pycuda_guard.events.patterns import Pattern

#: launches that wait at most
_MOST = 256


class Row:
    """The launches that wait. All are of one stream."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._now = object()  # another one whenever something else happens
        self._stream: tuple[int, int] | None = None  # that of the launches judged since then
        #: whether launches were judged since then
        self.is_open = False
        #: the launches that wait
        self.events: list[Launch] = []
        self._patterns: list[Pattern] = []

    def takes(self, event: Launch, pattern: Pattern) -> bool:
        """Have a launch wait, if it can; False where it has to be judged now."""
        if pattern.quiet is not self._now or len(self.events) >= _MOST:
            return False
        self.events.append(event)
        self._patterns.append(pattern)
        return True

    def take(self) -> tuple[list[Launch], dict[Pattern, int]]:
        """Return those that wait, which they do no more, and which is the last of each pattern, in order."""
        last: dict[Pattern, int] = {}
        for index, pattern in enumerate(self._patterns):
            last.pop(pattern, None)
            last[pattern] = index
        events, self.events, self._patterns = self.events, [], []
        return events, last

    def judged(self, event: Event, pattern: Pattern | None) -> None:
        """Note that an event was judged.

        It is a launch, of which no rule had anything to say, where it has a ``pattern``.
        """
        if pattern is None or not isinstance(event, Launch) or not self._state.is_quiet:
            self.end()
            return
        stream = (event.context, event.stream)
        if (self._stream or stream) != stream:
            self.end()
        else:
            self._stream, self.is_open = stream, True
            pattern.quiet = self._now

    def end(self) -> None:
        """Note that something else has happened."""
        self._now, self._stream, self.is_open = object(), None, False
