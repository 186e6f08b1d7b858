"""What the rules know of the program so far: memory, kernels, devices, streams, unfinished work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.checks.state.accesses import Work
from pycuda_guard.checks.state.allocations import Memory
from pycuda_guard.checks.state.devices import Devices
from pycuda_guard.checks.state.modules import Modules
from pycuda_guard.checks.state.outputs import Outputs
from pycuda_guard.checks.state.owners import Owners
from pycuda_guard.checks.state.pending import Pending
from pycuda_guard.checks.state.pools import Pools
from pycuda_guard.checks.state.shared import is_shared
from pycuda_guard.checks.state.streams import Streams
from pycuda_guard.events.model import (
    Allocated,
    CallFailed,
    Contents,
    ContextChanged,
    ContextReplaced,
    Copy,
    DeviceOperand,
    Event,
    EventCreated,
    EventDestroyed,
    EventRecorded,
    EventsLost,
    EventTimed,
    Freed,
    FunctionLimits,
    HostOperand,
    HostTouched,
    LateStart,
    Launch,
    LaunchFinished,
    Memset,
    ModuleLoaded,
    OddOperand,
    PoolEmptied,
    StreamCreated,
    StreamDestroyed,
    StreamWaited,
    Synchronized,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.checks.state.modules import Kernel
    from pycuda_guard.events.model import Argument, KernelSignature, ModuleId, Operand

_RING = 4096
_MAX_ARGUED = 1024


class _Argued:
    """What is known of arguments, which the hooks share between equal launches and which are kept here.

    ``regions`` is the live memory that each points into, and ``stray`` whether one points elsewhere, as of
    a ``version`` of the memory. ``fitting`` are the kernels whose parameters they have been found to fit.
    """

    __slots__ = ("arguments", "fitting", "regions", "stray", "version")

    def __init__(self, arguments: tuple[Argument, ...]) -> None:
        self.arguments = arguments
        self.version = -1
        self.regions: list[Region | None] = []
        self.stray = False
        self.fitting: set[tuple[ModuleId, str]] = set()


class State:
    """The program so far, as the events tell it. Rules read it, and change nothing.

    ``appliers`` has, for each type of event, the method that takes such an event in, after the rules
    have seen it. ``lookers`` has those that look it up before, once for all rules:

    - of a copy or memset, ``destination`` and ``source`` are the live memory at its ends (None for
      host memory and for addresses in no live memory);
    - of a launch, ``kernel`` is what is known of the kernel, and ``regions`` the live memory that
      each argument points into;
    - ``stray`` tells that an address is in no live memory, and ``inside`` that every operand of a
      copy stays within the bounds of its memory. With either amiss, or with work that it conflicts with, an
      operation is ``odd``.
    """

    def __init__(self) -> None:
        self.memory = Memory()
        self.modules = Modules()
        self.devices = Devices()
        self.owners = Owners()
        self.pools = Pools()
        self.streams = Streams()
        self.pending = Pending(self.streams)
        self.work = Work(self.memory, self.modules)
        self.outputs = Outputs()
        self.late = False
        self._ring: list[Event | None] = [None] * _RING
        self.destination: Region | None = None
        self.source: Region | None = None
        self.kernel: Kernel | None = None
        self.regions: list[Region | None] = []
        self.stray = False
        self.inside = True
        self.odd = False
        self.argued = _Argued(())
        self._argued: dict[int, _Argued] = {}
        self._has_shared = False  # memory that the host can touch while a kernel uses it
        # the last copy to the device: what it was copied to, and what that held before
        self._before: tuple[int, Region, HostOperand | None, int, int] | None = None
        self.lookers: dict[type[Event], Callable[..., None]] = {
            Copy: self._look_at_copy,
            Memset: self._look_at_memset,
            Launch: self._look_at_launch,
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

    def _look_at_copy(self, event: Copy) -> None:
        self.stray, self.inside = False, True
        self.destination = self._look_at(event.destination)
        self.source = self._look_at(event.source)
        if self.work.active or event.asynchronous:
            self.work.look(event)
        self.odd = self.stray or not self.inside or bool(self.work.conflicts)

    def _look_at_memset(self, event: Memset) -> None:
        self.stray, self.inside = False, True
        self.destination = self._look_at(event.destination)
        if self.work.active:
            self.work.look(event)
        self.odd = self.stray or not self.inside or bool(self.work.conflicts)

    def _look_at(self, operand: Operand) -> Region | None:
        # This runs twice a copy: exact types are quicker to tell than isinstance() is.
        if type(operand) is OddOperand:
            return None
        extent = operand.extent  # type: ignore[union-attr]
        width, offset = extent.width, extent.offset
        end = offset + width if extent.rows == 1 and extent.slices == 1 else extent.end
        if width < 0 or offset < 0:
            self.inside = False
        if type(operand) is DeviceOperand:
            region = self.memory.find(operand.address)
            if region is None:
                self.stray, self.inside = True, False
            elif operand.address + end > region.end:
                self.inside = False
            return region
        if end > operand.nbytes:  # type: ignore[union-attr]
            self.inside = False
        return None

    def _look_at_launch(self, event: Launch) -> None:
        self.kernel = self.modules.kernels.get((event.module, event.function))
        arguments = event.arguments or ()
        argued = self._argued.get(id(arguments))
        if argued is None or argued.version != self.memory.version:
            argued = self._argue(arguments, argued)
        self.argued, self.regions, self.stray = argued, argued.regions, argued.stray
        shared = self._has_shared and not self.work.active
        if shared and any(region is not None and is_shared(region.kind) for region in self.regions):
            self.work.activate()
        if self.work.active:
            self.work.look(event)
        self.odd = self.stray or bool(self.work.conflicts)

    def _argue(self, arguments: tuple[Argument, ...], argued: _Argued | None) -> _Argued:
        """Look up what arguments point into, and remember it until memory comes or goes."""
        if argued is None:
            if len(self._argued) >= _MAX_ARGUED:
                self._argued.clear()
            argued = self._argued[id(arguments)] = _Argued(arguments)
        find = self.memory.find
        regions: list[Region | None] = []
        stray = False
        for argument in arguments:
            value = argument.value
            region = None
            if argument.size == 8 and type(value) is int:
                region = find(value)
                if region is None and value:
                    stray = True
            if argument.table is not None:
                stray = True
            regions.append(region)
        argued.regions, argued.stray, argued.version = regions, stray, self.memory.version
        return argued

    # --- after the rules: what an event changes ---

    def _announce(self, event: Event) -> None:
        self._ring[event.sequence % _RING] = event

    def _allocated(self, event: Allocated) -> None:
        self.memory.allocate(event)
        self.work.allocate(event)
        if event.pool:
            self.pools.allocate(event)
        self._has_shared |= is_shared(event.kind)

    def _freed(self, event: Freed) -> None:
        self._announce(event)
        region = self.memory.find(event.address)
        self.work.free(region)
        self.pools.free(region)
        self.memory.free(event)

    def _copy(self, event: Copy) -> None:
        self._ring[event.sequence % _RING] = event
        if self.work.active:
            self.work.enter(event)
        else:
            self.work.notes.append(event)
        region = self.destination
        if region is None:
            if type(event.destination) is HostOperand:
                self.work.settle()
            self.pending.copy(event)
            return
        self.outputs.fill(event, region)
        self._before = event.sequence, region, region.contents, region.copied, region.written
        if type(event.source) is HostOperand and event.destination.address == region.base:  # type: ignore[union-attr]
            region.contents, region.copied = event.source, event.sequence
        else:
            region.written = event.sequence

    def _memset(self, event: Memset) -> None:
        self._ring[event.sequence % _RING] = event
        if self.work.active:
            self.work.enter(event)
        else:
            self.work.notes.append(event)
        if self.destination is not None:
            self.destination.written = event.sequence
            self.outputs.fill(event, self.destination)

    def _launch(self, event: Launch) -> None:
        self._ring[event.sequence % _RING] = event
        self.pending.launch(event)
        if self.work.active:
            self.work.enter(event)
        else:
            self.work.notes.append(event)
        self.memory.launches += 1
        if event.arguments is None:
            self.memory.blind = event.sequence
            return
        writes: tuple[bool, ...] = ()
        if self.kernel is not None:
            writes = self.kernel.writes
            self.outputs.launch(event, self.kernel.signature, self.regions)
        for index, region in enumerate(self.regions):
            if region is not None and (index >= len(writes) or writes[index]):
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
        self.owners.add_module(event, self.memory.launches)

    def _contents(self, event: Contents) -> None:
        region = self.asked_about(event)
        if region is not None and type(self.announced(event.cause)) is Copy:
            self.outputs.read(event, region)

    def _late_start(self, event: LateStart | EventsLost) -> None:
        self.late = True
