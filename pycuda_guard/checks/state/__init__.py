"""What the rules know of the program so far: memory, kernels, devices, streams, unfinished work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.checks.state.allocations import Memory
from pycuda_guard.checks.state.devices import Devices
from pycuda_guard.checks.state.modules import Modules
from pycuda_guard.checks.state.pending import Pending
from pycuda_guard.checks.state.streams import Streams
from pycuda_guard.events.model import (
    Allocated,
    Argument,
    ArgumentKind,
    CallFailed,
    ContextChanged,
    Copy,
    DeviceOperand,
    Event,
    EventCreated,
    EventRecorded,
    EventTimed,
    Freed,
    FunctionLimits,
    HostOperand,
    KernelSignature,
    LateStart,
    Launch,
    Memset,
    ModuleLoaded,
    StreamCreated,
    StreamDestroyed,
    Synchronized,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import Parameter

_RING = 4096


class State:
    """The program so far, as the events tell it. Rules read it; only its appliers change it.

    ``appliers`` has, for each type of event, the method that takes such an event in.
    """

    def __init__(self) -> None:
        self.memory = Memory()
        self.modules = Modules()
        self.devices = Devices()
        self.streams = Streams()
        self.pending = Pending(self.streams)
        self.late = False
        self.launches = 0
        self._ring: list[Event | None] = [None] * _RING
        self.appliers: dict[type[Event], Callable[..., None]] = {
            Allocated: self.memory.allocate,
            Freed: self._freed,
            Copy: self._copy,
            Memset: self._memset,
            Launch: self._launch,
            CallFailed: self._call_failed,
            Synchronized: self.pending.synchronize,
            StreamCreated: self.streams.create,
            StreamDestroyed: self.streams.destroy,
            EventCreated: self.streams.create_event,
            EventRecorded: self.streams.record,
            EventTimed: self._announce,
            ContextChanged: self._context_changed,
            ModuleLoaded: self.modules.load,
            FunctionLimits: self.modules.limit,
            LateStart: self._late_start,
        }

    def announced(self, sequence: int) -> Event | None:
        """Return the announced call with this sequence number, as long as it is remembered."""
        event = self._ring[sequence % _RING]
        return event if event is not None and event.sequence == sequence else None

    def signature(self, launch: Launch) -> KernelSignature | None:
        """Return the signature of the launched kernel, where it is known."""
        return self.modules.signatures.get((launch.module, launch.function))

    def _announce(self, event: Event) -> None:
        self._ring[event.sequence % _RING] = event

    def _freed(self, event: Freed) -> None:
        self._announce(event)
        self.memory.free(event)

    def _copy(self, event: Copy) -> None:
        self._ring[event.sequence % _RING] = event
        destination, source = event.destination, event.source
        if type(destination) is DeviceOperand:
            region = self.memory.find(destination.address)
            if region is not None:
                if type(source) is HostOperand and destination.address == region.base:
                    region.contents, region.copied = source, event.sequence
                else:
                    region.written = event.sequence
        elif type(destination) is HostOperand and not event.asynchronous:
            self.pending.copy(event)

    def _memset(self, event: Memset) -> None:
        self._ring[event.sequence % _RING] = event
        destination = event.destination
        if type(destination) is DeviceOperand:
            region = self.memory.find(destination.address)
            if region is not None:
                region.written = event.sequence

    def _launch(self, event: Launch) -> None:
        self._ring[event.sequence % _RING] = event
        self.pending.launch(event)
        self.launches += 1
        arguments = event.arguments
        if arguments is None:
            self.memory.blind = event.sequence
            return
        signature = self.modules.signatures.get((event.module, event.function))
        parameters: tuple[Parameter, ...] = signature.parameters if signature is not None else ()
        known = len(parameters) == len(arguments)
        for index, argument in enumerate(arguments):
            if argument.kind is ArgumentKind.POINTER or argument.size == 8:
                region = self.region_of(argument)
                if region is not None and not (known and reads_only(parameters[index])):
                    region.written = event.sequence

    def region_of(self, argument: Argument) -> Region | None:
        """Return the live memory that an argument of a launch points into."""
        value = argument.value
        return self.memory.find(value) if type(value) is int else None

    def _call_failed(self, event: CallFailed) -> None:
        announced = self.announced(event.announced) if event.announced else None
        if type(announced) is Freed:
            self.memory.undo_free(announced)

    def _context_changed(self, event: ContextChanged) -> None:
        self.devices.change(event)
        if event.change == "detached":
            self.memory.forget_context(event.subject)

    def _late_start(self, event: LateStart) -> None:
        self.late = True


def reads_only(parameter: Parameter) -> bool:
    """Tell whether the source declares that the kernel only reads through a pointer parameter."""
    pointee, star, _ = parameter.declared.partition("*")
    return bool(star) and "const" in pointee.split()
