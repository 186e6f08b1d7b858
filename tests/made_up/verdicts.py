"""What the engine says of made-up events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from made_up.process import Failed

from pycuda_guard.checks.engine import Engine
from pycuda_guard.events import model as m

if TYPE_CHECKING:
    from collections.abc import Collection

    from pycuda_guard.findings import Finding


def run(*events: m.Event | Failed) -> Engine:
    """Feed the events in order, numbered from 1, to a new engine."""
    engine = Engine()
    announced = 0
    for sequence, item in enumerate(events, 1):
        event = item.event(item.fields.get("nth", announced)) if isinstance(item, Failed) else item
        event.sequence = sequence
        announced = announced if isinstance(event, m.CallFailed | m.FunctionLimits) else sequence
        engine.feed(event)
    return engine


def findings(*events: m.Event | Failed, among: Collection[str] = ()) -> list[Finding]:
    """Return what the engine finds in these events; with ``among`` that of these codes alone."""
    return [found for found in run(*events).findings if not among or found.code in among]


def codes(*events: m.Event | Failed, among: Collection[str] = ()) -> list[tuple[str, int]]:
    """Return codes and lines of what the engine finds, in order; with ``among`` of these codes alone."""
    found = findings(*events, among=among)
    return [(one.code, one.location.line if one.location is not None else 0) for one in found]
