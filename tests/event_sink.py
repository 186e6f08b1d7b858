"""Where hooks put their events in tests that look at them."""

from __future__ import annotations


class EventSink:
    """Keeps the events, and the failures of the guard, of which a test lets none pass."""

    def __init__(self):
        self.events = []
        self.errors = []

    def emit(self, event, pattern=None):
        self.events.append(event)
        event.sequence = len(self.events)
        return event.sequence

    def guard_error(self, where, error):
        self.errors.append((where, error))

    def of(self, kind):
        """Return the events of one class."""
        return [event for event in self.events if type(event) is kind]
