"""Contexts: the limits of their devices, and which of them each thread has on its stack."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pycuda_guard.events.model import ContextChanged, ContextId, DeviceLimits


class Devices:
    """Device limits by context, and PyCUDA's context stack of each thread."""

    def __init__(self) -> None:
        self.limits: dict[ContextId, DeviceLimits] = {}
        #: for each thread, the events that put a context on its stack, bottom first
        self.stacks: defaultdict[int, list[ContextChanged]] = defaultdict(list)
        # threads and contexts whose automatic entry was popped: pushed again, it is popped at exit as well
        self._taken_off: set[tuple[int, ContextId]] = set()

    def current(self, thread: int) -> ContextId:
        """Return the context on top of a thread's stack, 0 where none is known."""
        stack = self.stacks.get(thread)
        return stack[-1].subject if stack else 0

    def change(self, event: ContextChanged) -> None:
        """Follow a change of a context stack."""
        if event.device is not None:
            self.limits[event.subject] = event.device
        stack = self.stacks[event.thread]
        if event.change in ("created", "pushed", "attached"):
            place = (event.thread, event.subject)
            if place in self._taken_off:
                self._taken_off.remove(place)
                event = msgspec.structs.replace(event, automatic=True)
            stack.append(event)
        elif event.change == "popped" and stack:
            entry = stack.pop()
            if entry.automatic:
                self._taken_off.add((event.thread, entry.subject))
        elif event.change == "detached":
            stack[:] = [entry for entry in stack if entry.subject != event.subject]
