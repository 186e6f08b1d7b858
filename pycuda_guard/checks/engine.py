"""Feeds the events of a run to the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pycuda_guard.checks.base import HANDLERS
from pycuda_guard.checks.collector import Collector
from pycuda_guard.checks.registry import RULE_CLASSES
from pycuda_guard.checks.rows import Row
from pycuda_guard.checks.state import State
from pycuda_guard.events.model import (
    CallFailed,
    Copy,
    CopyKind,
    Event,
    Forked,
    GuardFailed,
    Launch,
    RunEnded,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.checks.base import Rule
    from pycuda_guard.checks.collector import Entry, Part
    from pycuda_guard.checks.state.shared import Watcher
    from pycuda_guard.events.patterns import Pattern
    from pycuda_guard.findings import Finding


Handlers = tuple[Callable[..., None], ...]


class Engine:
    """Judges a timeline: every event goes to the rules first, then into the state they share.

    ``on_finding`` is called once for each new finding, as it is first reported. A rule that raises
    is reported (PG903, once for each rule); the other rules and the next events go on. Events must come
    one at a time: garbage collection in a rule may free device memory, whose hook tells of it at once.
    """

    def __init__(
        self,
        on_finding: Callable[[Finding], None] | None = None,
        rules: Iterable[type[Rule]] = RULE_CLASSES,
    ) -> None:
        self.state = State()
        self._collector = Collector(on_finding)
        self._failed: set[str] = set()
        instances = [rule(self.state, self._collector) for rule in rules]
        self._lookers = dict(self.state.lookers)
        self._row = Row(self.state)
        self._handlers: dict[type[Event], Handlers] = {}
        # of events that are not odd; those of copies are sorted by what is copied where
        self._ordinary: dict[type[Event] | CopyKind, Handlers] = {}
        # of launches, copies and memsets that equal earlier ones, of which nothing was said
        self._repeated: dict[type[Event] | CopyKind, Handlers] = {}
        self._again: Handlers = ()  # those of them that are rules' and of launches
        for kind, name in HANDLERS.items():
            taking = [rule for rule in instances if hasattr(rule, name)]
            apply = self.state.appliers.get(kind)
            after = () if apply is None else (apply,)
            self._handlers[kind] = (*[getattr(rule, name) for rule in taking], *after)
            if kind in self._lookers:
                always = [rule for rule in taking if kind not in rule.only_odd]
                for way in CopyKind if kind is Copy else (kind,):
                    looking = [rule for rule in always if kind is not Copy or way in rule.copies]
                    rest = [rule for rule in looking if way not in rule.only_new]
                    self._ordinary[way] = (*[getattr(rule, name) for rule in looking], *after)
                    self._repeated[way] = (*[getattr(rule, name) for rule in rest], *after)
                    if kind is Launch:
                        self._again = tuple([getattr(rule, name) for rule in rest])
                    if kind is Launch:
                        self._ordinary[way] += (self._settle,)
                    elif kind is Copy:
                        self._ordinary[way] += (self._settle_move,)
        self._handlers[CallFailed] += (self._call_failed,)
        self._handlers[RunEnded] += (self._end,)
        self._handlers[Forked] += (self._forked,)

    @property
    def findings(self) -> list[Finding]:
        """The findings so far; final once :class:`RunEnded` was fed."""
        return self._collector.findings

    def watch(self, watcher: Watcher | None) -> None:
        """Have ``watcher`` told what the device does with memory that is the host's, too."""
        self.state.work.shared.watcher = watcher

    @property
    def entries(self) -> list[Entry]:
        """The findings so far and what their grades depend on."""
        return self._collector.entries

    def open_part(self) -> Part:
        """Collect the findings from now on once more, by themselves."""
        return self._collector.open_part()

    def close_part(self, part: Part) -> None:
        """Add nothing to ``part`` any more."""
        self._collector.close_part(part)

    def feed(self, event: Event, pattern: Pattern | None = None) -> None:
        """Take in the next event. With a ``pattern`` it equals those that were fed with it."""
        kind = type(event)
        row = self._row
        if pattern is not None and type(event) is Launch and row.takes(event, pattern):
            return
        if row.events:
            self._catch_up()
        handlers = self._handlers.get(kind, ())
        is_settled = False
        look = self._lookers.get(kind)
        if look is not None:
            state = self.state
            try:
                look(event, pattern)
                if not state.odd:
                    if type(event) is Copy:
                        handlers = (self._repeated if state.move.is_settled else self._ordinary)[event.kind]
                    else:
                        is_settled = kind is Launch and state.plan.is_settled
                        handlers = (self._repeated if is_settled else self._ordinary)[kind]
            except Exception as error:
                self._handler_failed(look, error, event)
        for handler in handlers:
            try:
                handler(event)
            except Exception as error:
                self._handler_failed(handler, error, event)
        if is_settled or row.is_open:
            row.judged(event, pattern if is_settled else None)

    def _catch_up(self) -> None:
        """Take in the launches that wait. Of equal ones, the last leaves behind all that the others would."""
        events, last = self._row.take()
        try:
            self.state.repeat(events, last)
        except Exception as error:
            self._handler_failed(self.state.repeat, error, events[-1])
        for pattern, index in last.items():
            event = events[index]
            self.state.plan = pattern.plan
            for handler in self._again:
                try:
                    handler(event)
                except Exception as error:
                    self._handler_failed(handler, error, event)

    def _settle(self, event: Launch) -> None:
        """Note that no rule had anything to say of a launch, nor will those that look at its plan alone."""
        plan = self.state.plan
        # of arguments that are not known, nor is it known whether they are the same next time
        plan.is_settled = (
            event.arguments is not None and not plan.varies and self._collector.last is not event
        )

    def _settle_move(self, event: Copy) -> None:
        """Note the same of a copy."""
        move = self.state.move
        move.is_settled = not move.varies and self._collector.last is not event

    def _call_failed(self, event: CallFailed) -> None:
        if event.announced:
            self._collector.reject(event.announced, event.sequence)

    def _end(self, event: RunEnded) -> None:
        self._collector.grade(event.escaped)

    def _forked(self, event: Forked) -> None:
        """Where CUDA was initialized before the fork, keep to the rules that can say something about that."""
        if event.initialized:
            self._lookers.clear()
            for kind, handlers in self._handlers.items():
                self._handlers[kind] = tuple(handler for handler in handlers if self._holds(handler))

    def _holds(self, handler: Callable[..., None]) -> bool:
        owner = getattr(handler, "__self__", None)
        return owner is self or getattr(owner, "holds_after_fork", False)

    def _handler_failed(self, handler: Callable[..., None], error: Exception, event: Event) -> None:
        owner = getattr(handler, "__self__", handler)
        where = getattr(owner, "code", type(owner).__name__)
        if where in self._failed:
            return
        self._failed.add(where)
        text = f"{type(error).__name__}: {error}"
        self.feed(GuardFailed(event.site, event.thread, event.context, f"the check {where}", text))
