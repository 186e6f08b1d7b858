"""The one table from the types of events to what they are in tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from pycuda_guard.events import model

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    #: what happened, how much of it in words, and in bytes
    Words: TypeAlias = tuple[str, str, int]


class Kind(Enum):
    """What a row is about; pictures have a colour for each."""

    LAUNCH = "launch"
    COPY = "copy"
    MEMSET = "memset"
    WAIT = "wait"  # the host waits, or learns that work is done
    ORDER = "order"  # events on streams
    MEMORY = "memory"
    SETUP = "setup"  # contexts, streams, modules
    FAILURE = "failure"
    GUARD = "guard"  # what was found out beside the calls, or could not be


@dataclass(frozen=True, slots=True)
class Look:
    """What the events of a type are. ``is_on_stream``: they queue on the track of a stream."""

    kind: Kind
    words: Callable[[Any], Words]
    is_on_stream: bool = False


def _launch(event: model.Launch) -> Words:
    shared = f" shared {event.shared} B" if event.shared else ""
    return event.function, f"grid {_extents(event.grid)} block {_extents(event.block)}{shared}", 0


def _copy(event: model.Copy) -> Words:
    for end in (event.destination, event.source):
        if not isinstance(end, model.OddOperand):
            nbytes = max(end.extent.width, 0) * end.extent.rows * end.extent.slices
            return event.call, f"{nbytes} B", nbytes
    return event.call, "", 0


def _memset(event: model.Memset) -> Words:
    rows = event.destination.extent.rows if isinstance(event.destination, model.DeviceOperand) else 1
    nbytes = event.count * event.item_size * rows
    return event.call, f"{nbytes} B", nbytes


def _allocated(event: model.Allocated) -> Words:
    return event.call, f"{event.nbytes} B", event.nbytes


def _freed(event: model.Freed) -> Words:
    return {"free": "free", "collected": "freed by collection"}.get(event.how, event.how), "", 0


def _synchronized(event: model.Synchronized) -> Words:
    verb = "is done" if event.polled else "synchronized"
    name = f"event {event.handle}" if event.scope == "event" else event.scope
    return f"{name} {verb}", "", 0


def _failed(event: model.CallFailed) -> Words:
    return f"{event.call} raised {event.error}: {event.status or event.message}", "", 0


def _finished(event: model.LaunchFinished) -> Words:
    return f"launch failed: {event.status}" if event.status else "launch finished", "", 0


def _context(event: model.ContextChanged) -> Words:
    return f"context {event.change}", event.device.name if event.device is not None else "", 0


def _replaced(event: model.ContextReplaced) -> Words:
    return f"current context changed by {event.library or 'somebody else'}", "", 0


def _loaded(event: model.ModuleLoaded) -> Words:
    names = ", ".join(kernel.name for kernel in event.kernels or ())
    return "module loaded" + (f": {names}" if names else ""), "", 0


def _limits(event: model.FunctionLimits) -> Words:
    threads = f"at most {event.max_threads_per_block} threads a block, {event.registers} registers a thread"
    return f"limits of {event.function}", threads, 0


def _report(event: model.KernelReport) -> Words:
    place = f" at line {event.access.line}" if event.access.line else ""
    return f"{event.access.function}: {event.reason}{place}", f"{event.count} times", 0


def _contents(event: model.Contents) -> Words:
    unwritten = event.unwritten or sum(end - start for start, end, writer in event.runs if not writer)
    return "who wrote what is read", f"{unwritten} of {event.nbytes} B by nobody", event.nbytes


def _footprint(event: model.Footprint) -> Words:
    sums = dict.fromkeys(("read", "write", "atomic"), 0)
    least = ""
    for each in event.touched:
        sums[each.kind] = sums.get(each.kind, 0) + sum(end - start for start, end in each.runs)
        least = least if each.exact else "at least "
    words = {"read": "read", "write": "written", "atomic": "updated"}
    texts = [f"{least}{sums[kind]} B {word}" for kind, word in words.items() if sums[kind]]
    return f"what launch {event.launch} touched", ", ".join(texts) or "nothing", 0


def _touched(event: model.HostTouched | model.HostFault) -> Words:
    verb = "writes to" if event.write else "reads"
    what = "memory in use by the device" if isinstance(event, model.HostTouched) else "what is no host memory"
    return f"the host {verb} {what}", "", 0


def _says(text: str) -> Callable[[Any], Words]:
    return lambda event: (text, "", 0)


def _extents(extents: tuple[int, ...]) -> str:
    return "×".join(str(extent) for extent in extents)


#: every type of event
LOOKS: dict[type[model.Event], Look] = {
    model.Launch: Look(Kind.LAUNCH, _launch, is_on_stream=True),
    model.Copy: Look(Kind.COPY, _copy, is_on_stream=True),
    model.Memset: Look(Kind.MEMSET, _memset, is_on_stream=True),
    model.EventRecorded: Look(
        Kind.ORDER, lambda event: (f"record event {event.event}", "", 0), is_on_stream=True
    ),
    model.StreamWaited: Look(
        Kind.ORDER, lambda event: (f"wait for event {event.event}", "", 0), is_on_stream=True
    ),
    model.EventCreated: Look(Kind.SETUP, lambda event: (f"event {event.event} created", "", 0)),
    model.EventDestroyed: Look(Kind.SETUP, lambda event: (f"event {event.event} destroyed", "", 0)),
    model.EventTimed: Look(
        Kind.ORDER, lambda event: (f"time between events {event.start} and {event.end}", "", 0)
    ),
    model.StreamCreated: Look(Kind.SETUP, _says("stream created")),
    model.StreamDestroyed: Look(Kind.SETUP, _says("stream destroyed")),
    model.Synchronized: Look(Kind.WAIT, _synchronized),
    model.LaunchFinished: Look(Kind.WAIT, _finished),
    model.Allocated: Look(Kind.MEMORY, _allocated),
    model.Freed: Look(Kind.MEMORY, _freed),
    model.PoolEmptied: Look(Kind.MEMORY, lambda event: (f"pool {event.pool} gives its blocks back", "", 0)),
    model.Exported: Look(Kind.MEMORY, lambda event: (f"{event.call} hands memory out", "", 0)),
    model.ContextChanged: Look(Kind.SETUP, _context),
    model.ContextReplaced: Look(Kind.SETUP, _replaced),
    model.ModuleLoaded: Look(Kind.SETUP, _loaded),
    model.FunctionLimits: Look(Kind.GUARD, _limits),
    model.CallFailed: Look(Kind.FAILURE, _failed),
    model.KernelReport: Look(Kind.FAILURE, _report),
    model.HostFault: Look(Kind.FAILURE, _touched),
    model.HostTouched: Look(Kind.FAILURE, _touched),
    model.Contents: Look(Kind.GUARD, _contents),
    model.Footprint: Look(Kind.GUARD, _footprint),
    model.Forked: Look(Kind.SETUP, lambda event: (f"forked from process {event.parent}", "", 0)),
    model.LateStart: Look(Kind.GUARD, lambda event: (f"guarded from here on: {event.what}", "", 0)),
    model.EventsLost: Look(Kind.GUARD, lambda event: (f"events before {event.first} are lost", "", 0)),
    model.GuardFailed: Look(
        Kind.GUARD, lambda event: (f"the guard failed in {event.where}: {event.error}", "", 0)
    ),
    model.RunEnded: Look(Kind.SETUP, _says("end of the run")),
}

#: the kinds of what queues on streams
QUEUED = frozenset(look.kind for look in LOOKS.values() if look.is_on_stream)
