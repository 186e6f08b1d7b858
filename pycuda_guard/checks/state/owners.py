"""Which context each stream, event and module belongs to, and what became of the contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.model import Copy, EventRecorded, EventTimed, Memset

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import (
        ContextChanged,
        ContextId,
        ContextReplaced,
        Event,
        EventCreated,
        EventId,
        ModuleId,
        ModuleLoaded,
        StreamCreated,
        StreamId,
    )


class Owned(NamedTuple):
    """Something that belongs to ``context``; it was made at ``site``, after ``launches`` launches."""

    context: ContextId
    site: Site | None
    launches: int


class Owners:
    """The contexts, as far as they were seen from their making, and what belongs to them.

    ``makers`` are the threads that made them: PyCUDA cleans up after a context that isn't current only
    there. ``gone`` are the events that ended contexts for good, ``detached`` also those that may live
    on for others. ``replaced`` tells for each thread which context somebody else made current.
    """

    def __init__(self) -> None:
        self.streams: dict[StreamId, Owned] = {}
        self.events: dict[EventId, Owned] = {}
        self.modules: dict[ModuleId, Owned] = {}
        self.makers: dict[ContextId, int] = {}
        self.peers: set[tuple[ContextId, ContextId]] = set()
        self.gone: dict[ContextId, ContextChanged] = {}
        self.detached: set[ContextId] = set()
        self.replaced: dict[int, ContextReplaced] = {}
        self.was_replaced = False
        #: whether there is more than the one context: several, one that is gone, or somebody else's
        self.are_unusual = False
        self._users: dict[ContextId, int] = {}
        self._primary: set[ContextId] = set()

    @property
    def are_several(self) -> bool:
        """Whether there has been more than one context."""
        return len(self.makers) > 1

    def current(self, event: Event) -> ContextId:
        """Return the context that is current in truth at an event."""
        replaced = self.replaced.get(event.thread)
        return event.context if replaced is None else replaced.actual

    def named(self, event: Event) -> list[tuple[str, Owned | None]]:
        """Return what a call names that the driver takes from one context alone."""
        if isinstance(event, Copy | Memset):
            return [("the stream", self.streams.get(event.stream))]
        if isinstance(event, EventRecorded):
            return [
                ("the event", self.events.get(event.event)),
                ("the stream", self.streams.get(event.stream)),
            ]
        if isinstance(event, EventTimed):
            return [("the event", self.events.get(number)) for number in (event.start, event.end)]
        return []

    def change(self, event: ContextChanged, *, was_current: bool) -> bool:
        """Follow a change of contexts; tell whether it ended ``event.subject`` for good."""
        ended = self._change(event, was_current)
        self._compare()
        return ended

    def _change(self, event: ContextChanged, was_current: bool) -> bool:
        context = event.subject
        if event.change in ("created", "retained"):
            if event.change == "created" or context not in self._users:
                self._users[context] = 0
                self.makers[context] = event.thread
                self.gone.pop(context, None)
                self.detached.discard(context)
            self._users[context] += 1
            if event.change == "retained":
                self._primary.add(context)
            else:
                self._primary.discard(context)
        elif event.change == "attached" and context in self._users:
            self._users[context] += 1
        elif event.change == "peer enabled":
            self.peers.add((event.context, context))
        elif event.change == "peer disabled":
            self.peers.discard((event.context, context))
        elif event.change == "detached":
            return self._detach(event, was_current)
        return False

    def _detach(self, event: ContextChanged, was_current: bool) -> bool:
        context = event.subject
        users = self._users.get(context, 0) - 1
        self._users[context] = max(users, 0)
        if users != 0:
            return False
        del self._users[context]
        self.detached.add(context)
        # A primary context may have other users in the process. PyCUDA ends no context from a thread
        # in which it is not current and which has not made it.
        if context in self._primary or not (was_current or event.thread == self.makers[context]):
            return False
        self.gone[context] = event
        return True

    def replace(self, event: ContextReplaced) -> None:
        """Take in which context is current in truth."""
        if event.actual == event.context:
            self.replaced.pop(event.thread, None)
        else:
            self.replaced[event.thread] = event
            self.was_replaced = True
        self._compare()

    def _compare(self) -> None:
        self.are_unusual = self.are_several or bool(self.gone) or bool(self.replaced)

    def add_stream(self, event: StreamCreated, launches: int) -> None:
        """Enter a stream."""
        self.streams[event.stream] = Owned(self.current(event), event.site, launches)

    def add_event(self, event: EventCreated, launches: int) -> None:
        """Enter an event."""
        self.events[event.event] = Owned(self.current(event), event.site, launches)

    def add_module(self, event: ModuleLoaded, launches: int) -> None:
        """Enter a module."""
        self.modules[event.module] = Owned(self.current(event), event.site, launches)
