"""What the rules know of the program so far: memory, kernels, devices, streams, unfinished work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.checks.state.accesses import Work
from pycuda_guard.checks.state.allocations import SHARED, Memory
from pycuda_guard.checks.state.devices import Devices
from pycuda_guard.checks.state.modules import Modules
from pycuda_guard.checks.state.moves import Moves
from pycuda_guard.checks.state.outputs import Outputs
from pycuda_guard.checks.state.owners import Owners
from pycuda_guard.checks.state.pending import Pending
from pycuda_guard.checks.state.plans import Plans
from pycuda_guard.checks.state.pools import Pools
from pycuda_guard.checks.state.streams import Streams
from pycuda_guard.events.model import (
    Allocated,
    CallFailed,
    Contents,
    ContextChanged,
    ContextReplaced,
    Copy,
    Event,
    EventCreated,
    EventDestroyed,
    EventRecorded,
    EventsLost,
    EventTimed,
    Footprint,
    Freed,
    FunctionLimits,
    HostOperand,
    HostTouched,
    LateStart,
    Launch,
    LaunchFinished,
    Memset,
    ModuleLoaded,
    PoolEmptied,
    StreamCreated,
    StreamDestroyed,
    StreamWaited,
    Synchronized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.moves import Move
    from pycuda_guard.checks.state.plans import Plan
    from pycuda_guard.events.model import Argument, KernelSignature
    from pycuda_guard.events.patterns import Pattern

_RING = 4096


class State:
    """The program so far, as the events tell it. Rules read it, and change nothing.

    ``appliers`` has, for each type of event, the method that takes such an event in, after the rules
    have seen it. ``lookers`` has those that look it up before, once for all rules:

    - of a copy or memset, ``move`` is what is known of it and of those that equal it; ``destination`` and
      ``source`` are the live memory at its ends (None for host memory and for addresses in no live memory);
    - of a launch, ``plan`` is the same;
    - of a free, ``freed`` is the live memory that it is about;
    - ``stray`` tells that an address is in no live memory, and ``inside`` that every operand of a
      copy stays within the bounds of its memory. With either amiss, or with work that it conflicts with, an
      operation is ``odd``; all are while there is more to contexts than the one that is current. So is a
      free of what is no live memory.
    """

    def __init__(self) -> None:
        self.memory = Memory()
        self.modules = Modules()
        self.devices = Devices()
        self.owners = Owners()
        self.pools = Pools()
        self.streams = Streams()
        self.pending = Pending(self.streams)
        self.plans = Plans(self.memory, self.modules)
        self.moves = Moves(self.memory)
        self.work = Work(self.memory, self.modules, self.plans, self.moves)
        self.outputs = Outputs()
        self.late = False
        self._ring: list[Event | None] = [None] * _RING
        self.destination: Region | None = None
        self.source: Region | None = None
        self.plan: Plan
        self.move: Move
        self.freed: Region | None = None
        self.stray = False
        self.inside = True
        self.odd = False
        self._has_shared = False  # memory that the host can touch while a kernel uses it
        # the last copy to the device: what it was copied to, and what that held before
        self._before: tuple[int, Region, HostOperand | None, int, int] | None = None
        self.lookers: dict[type[Event], Callable[..., None]] = {
            Copy: self._look_at_copy,
            Memset: self._look_at_memset,
            Launch: self._look_at_launch,
            Freed: self._look_at_freed,
            Footprint: self.work.look_at_footprint,
        }
        self.appliers: dict[type[Event], Callable[..., None]] = {
            Allocated: self._allocated,
            Freed: self._freed,
            Copy: self._copy,
            Memset: self._memset,
            Launch: self._launch,
            LaunchFinished: self.pending.finish,
            PoolEmptied: self.pools.empty,
            ContextReplaced: self.owners.replace,
            CallFailed: self._call_failed,
            Synchronized: self._synchronized,
            StreamCreated: self._stream_created,
            StreamDestroyed: self._stream_destroyed,
            StreamWaited: self.work.wait,
            EventCreated: self._event_created,
            EventDestroyed: self._event_destroyed,
            EventRecorded: self._event_recorded,
            EventTimed: self._event_timed,
            ContextChanged: self._context_changed,
            ModuleLoaded: self._module_loaded,
            FunctionLimits: self.modules.limit,
            Contents: self._contents,
            HostTouched: self.work.shared.touch,
            LateStart: self._late_start,
            EventsLost: self._late_start,
        }

    def announced(self, sequence: int) -> Event | None:
        """Return the announced call with this sequence number, as long as it is remembered."""
        event = self._ring[sequence % _RING]
        return event if event is not None and event.sequence == sequence else None

    def asked_about(self, event: Contents) -> Region | None:
        """Return the memory that an answer is about, live or freed since; None if others have it now."""
        region = self.memory.find(event.base) or self.memory.find_freed(event.base)
        return None if region is None or 0 < event.cause < region.born else region

    def signature(self, launch: Launch) -> KernelSignature | None:
        """Return the signature of the launched kernel, where it is known."""
        kernel = self.modules.kernels.get((launch.module, launch.function))
        return kernel.signature if kernel is not None else None

    def region_of(self, argument: Argument) -> Region | None:
        """Return the live memory that an argument of a launch points into."""
        value = argument.value
        return self.memory.find(value) if type(value) is int else None

    # --- before the rules: what an event is about ---

    def _look_at_copy(self, event: Copy, pattern: Pattern | None = None) -> None:
        known: Move | None = None if pattern is None else pattern.plan
        if known is None or known.owner is not self.moves or known.version != self.memory.version:
            known = self.moves.of_copy(event, pattern)
        move = self.move = known
        if move.goes_on and not self.work.active:
            self.work.activate()
        self._look_at_move(event, move)

    def _look_at_memset(self, event: Memset, pattern: Pattern | None = None) -> None:
        move = self.move = self.moves.of_memset(event)
        self._look_at_move(event, move)

    def _look_at_move(self, event: Copy | Memset, move: Move) -> None:
        self.stray, self.inside = move.stray, move.inside
        self.destination, self.source = move.destination, move.source
        work = self.work
        if work.active:
            work.look(event, move)
        self.odd = not move.inside or bool(work.conflicts) or self.owners.are_unusual

    def _look_at_launch(self, event: Launch, pattern: Pattern | None = None) -> None:
        plan = self.plan = self.plans.of_launch(event, pattern)
        work = self.work
        self.stray = plan.stray
        if self._has_shared and not work.active and any(region.is_shared for _, region in plan.pointers):
            work.activate()
        if work.active:
            if plan.touches is None:
                self.plans.touches(plan)
            work.look(event, plan)
            if plan.is_vague:
                work.look_at_vague(event, [region for _, region in plan.pointers], plan.goes_anywhere)
        self.odd = plan.stray or bool(work.conflicts) or self.owners.are_unusual

    @property
    def is_quiet(self) -> bool:
        """Whether the launch that was taken in last changes nothing for its equals, where they follow it."""
        plan = self.plan
        if plan.is_vague or plan.missing or plan.example.arguments is None:
            return False
        return not self.work.active or self.work.is_alone(plan)

    def repeat(self, events: Sequence[Launch], last: Mapping[Pattern, int]) -> None:
        """Take in launches in a row, all of them quiet; ``last`` has the index of each pattern's last one."""
        for event in events:
            self._ring[event.sequence % _RING] = event
            self.pending.launch(event)
        self.memory.launches += len(events)
        self.work.repeat(events, {index: pattern.plan for pattern, index in last.items()})
        for pattern, index in last.items():
            for region in pattern.plan.written:
                region.written = events[index].sequence

    def _look_at_freed(self, event: Freed, pattern: Pattern | None = None) -> None:
        self.freed = self.memory.find(event.address)
        self.odd = self.freed is None

    # --- after the rules: what an event changes ---

    def _announce(self, event: Event) -> None:
        self._ring[event.sequence % _RING] = event

    def _allocated(self, event: Allocated) -> None:
        self.memory.allocate(event)
        self.work.allocate(event)
        if event.pool:
            self.pools.allocate(event)
        self._has_shared |= event.kind in SHARED

    def _freed(self, event: Freed) -> None:
        self._announce(event)
        self.work.free(event, self.freed)
        self.pools.free(self.freed)
        self.memory.free(event)

    def _copy(self, event: Copy) -> None:
        sequence = event.sequence
        self._ring[sequence % _RING] = event
        move = self.move
        if self.work.active:
            self.work.enter(event, move.waits)
        else:
            self.work.notes.append(event)
        region = move.destination
        if region is None:
            if type(event.destination) is HostOperand:
                self.work.settle()
            self.pending.copy(event)
            return
        if move.written is not None:
            self.outputs.fill(sequence, region, move.written)
        before = region.contents
        self._before = sequence, region, before, region.copied, region.written
        if move.fills_base:
            source: HostOperand = event.source  # type: ignore[assignment]
            if before is None or before.dtype != source.dtype:
                self.memory.version += 1
            region.contents, region.copied = source, sequence
        else:
            region.written = sequence

    def _memset(self, event: Memset) -> None:
        self._ring[event.sequence % _RING] = event
        move = self.move
        if self.work.active:
            self.work.enter(event, move.waits)
        else:
            self.work.notes.append(event)
        if move.destination is not None:
            move.destination.written = event.sequence
            if move.written is not None:
                self.outputs.fill(event.sequence, move.destination, move.written)

    def _launch(self, event: Launch) -> None:
        self._ring[event.sequence % _RING] = event
        self.pending.launch(event)
        plan = self.plan
        if self.work.active:
            self.work.enter(event, plan.waits)
        else:
            self.work.notes.append(event)
        self.memory.launches += 1
        if event.arguments is None:
            self.memory.blind = event.sequence
            return
        missing = self.plans.missing(plan) if plan.missing is None else plan.missing
        if missing:
            self.outputs.launch(event, missing, plan.regions)
        for region in plan.written:
            region.written = event.sequence

    def _call_failed(self, event: CallFailed) -> None:
        announced = self.announced(event.announced) if event.announced else None
        self.work.take_back(event.announced)
        if event.announced:
            self.outputs.take_back(event.announced)
        if type(announced) is Freed:
            self.memory.undo_free(announced)
        elif type(announced) is Copy and self._before is not None and self._before[0] == event.announced:
            _, region, contents, copied, written = self._before
            region.contents, region.copied, region.written = contents, copied, written
            self.memory.version += 1

    def _synchronized(self, event: Synchronized) -> None:
        self.pending.synchronize(event)
        self.work.synchronize(event)

    def _stream_created(self, event: StreamCreated) -> None:
        self.streams.create(event)
        self.owners.add_stream(event, self.memory.launches)
        self.work.activate()
        self.work.clocks.create(event)

    def _stream_destroyed(self, event: StreamDestroyed) -> None:
        self.streams.destroy(event)
        self.owners.streams.pop(event.stream, None)
        self.work.clocks.destroy(event.stream)

    def _event_created(self, event: EventCreated) -> None:
        self.streams.create_event(event)
        self.owners.add_event(event, self.memory.launches)
        self.work.clocks.create_event(event)

    def _event_destroyed(self, event: EventDestroyed) -> None:
        self.streams.destroy_event(event)
        self.owners.events.pop(event.event, None)
        self.work.clocks.destroy_event(event.event)

    def _event_timed(self, event: EventTimed) -> None:
        self._announce(event)
        self.work.time(event)

    def _event_recorded(self, event: EventRecorded) -> None:
        self._announce(event)
        self.streams.record(event)
        self.work.record(event)

    def _context_changed(self, event: ContextChanged) -> None:
        gone = self.owners.change(event, was_current=self.devices.current(event.thread) == event.subject)
        self.devices.change(event)
        if event.change == "detached":
            self.work.leave(event.subject)
            self.memory.forget_context(event.subject, gone=gone)

    def _module_loaded(self, event: ModuleLoaded) -> None:
        self.modules.load(event)
        self.memory.load(event)
        self.plans.forget()
        self.owners.add_module(event, self.memory.launches)

    def _contents(self, event: Contents) -> None:
        region = self.asked_about(event)
        if region is not None and type(self.announced(event.cause)) is Copy:
            self.outputs.read(event, region)

    def _late_start(self, event: LateStart | EventsLost) -> None:
        self.late = True
