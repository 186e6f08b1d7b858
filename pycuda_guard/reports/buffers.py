"""What memory is alive, and what the program calls it."""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.events import model
from pycuda_guard.events.model import ArgumentKind, ArrayOperand, DeviceOperand, HostOperand
from pycuda_guard.names import argument_names, target_name

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import Event, Operand

#: call sites whose source text is remembered
_MAX_SITES = 10_000


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that is alive: its name, or empty, and the line that made it."""

    name: str
    address: int
    nbytes: int
    kind: model.MemoryKind
    site: Site | None


class Buffers:
    """The allocations of one process, and the names of host buffers in calls."""

    def __init__(self) -> None:
        self._alive: dict[int, Buffer] = {}
        self._addresses: list[int] = []
        self._names: dict[tuple[Site | None, str], list[str]] = {}
        #: what the last event made or freed, if it did
        self.made: Buffer | None = None
        self.freed: Buffer | None = None

    def see(self, event: Event) -> None:
        """Take in that memory came to life or was freed."""
        self.made = self.freed = None
        if isinstance(event, model.Allocated):
            name = event.name or target_name(event.site)
            self.made = Buffer(name, event.address, event.nbytes, event.kind, event.site)
            self.freed = self._alive.get(event.address)  # its release was not seen
            if self.freed is None:
                insort(self._addresses, event.address)
            self._alive[event.address] = self.made
        elif isinstance(event, model.Freed) and event.address in self._alive:
            self.freed = self._alive.pop(event.address)
            del self._addresses[bisect_right(self._addresses, event.address) - 1]

    def find(self, address: int) -> Buffer | None:
        """Return the memory that an address is in, if it is known."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        buffer = self._alive[self._addresses[index]]
        return buffer if address < buffer.address + max(buffer.nbytes, 1) else None

    def named(self, event: Event) -> tuple[str, ...]:
        """Return what the program calls the memory that an event names, in the order of its arguments."""
        if isinstance(event, model.Allocated | model.Freed):
            one = self.made or self.freed
            return (_name(one),) if one is not None else (f"0x{event.address:x}",)
        if isinstance(event, model.Copy):
            texts = self._texts(event.site, event.call)
            ends = (event.destination, event.source)
            if len(texts) < 2:
                texts = ["", ""]
            return tuple(
                filter(None, (self._operand(end, text) for end, text in zip(ends, texts, strict=False)))
            )
        if isinstance(event, model.Memset):
            return tuple(filter(None, (self._operand(event.destination, ""),)))
        if isinstance(event, model.Launch):
            return self._arguments(event)
        if isinstance(event, model.Exported | model.Contents | model.HostTouched | model.HostFault):
            return (self._device(event.address, ""),)
        return ()

    def _arguments(self, event: model.Launch) -> tuple[str, ...]:
        """Return the names of the memory that a launch has pointers to."""
        arguments = event.arguments or ()
        texts = self._texts(event.site, event.call)
        if len(texts) != len(arguments):
            texts = [""] * len(arguments)
        return tuple(
            self._device(argument.value, text)
            for argument, text in zip(arguments, texts, strict=True)
            if argument.kind is ArgumentKind.POINTER and isinstance(argument.value, int)
        )

    def _operand(self, operand: Operand, text: str) -> str:
        if isinstance(operand, DeviceOperand):
            return self._device(operand.address, text)
        if isinstance(operand, HostOperand):
            found = self.find(operand.address)
            return (found.name if found is not None else "") or text
        return self._device(operand.handle, text) if isinstance(operand, ArrayOperand) else text

    def _device(self, address: int, text: str) -> str:
        found = self.find(address)
        return (found.name if found is not None else "") or text or f"0x{address:x}"

    def _texts(self, site: Site | None, call: str) -> list[str]:
        """Return the source text of the arguments of a call."""
        known = self._names.get((site, call))
        if known is None:
            if len(self._names) >= _MAX_SITES:
                self._names.clear()
            known = self._names[site, call] = argument_names(site, call)
        return known


def _name(buffer: Buffer) -> str:
    return buffer.name or f"0x{buffer.address:x}"
