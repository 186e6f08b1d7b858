"""Something is used or cleaned up whose context is gone or belongs to another thread.

What it does
------------
Follows which contexts end, and which thread made them. Reports copies, launches and frees with memory,
kernels and streams of a context that was detached; objects whose last reference goes in a thread that can't
clean them up; and, at the end of the run, pool blocks that outlive their context.

Why is this bad
---------------
The memory of a context that is gone may be somebody else's by then. What PyCUDA can't clean up from another
thread it leaks, with "in out-of-thread context could not be cleaned up". A block that goes back to an empty
pool when no context is current makes it abort the process at exit, which looks like a crash and hides the
program's own exception.

Example
-------
    import numpy as np
    import pycuda.driver as cuda

    cuda.init()
    context = cuda.Device(0).make_context()
    x_gpu = cuda.mem_alloc(400)
    context.detach()
    other = cuda.Device(0).make_context()
    try:
        cuda.memcpy_htod(x_gpu, np.zeros(100, np.float32))
    finally:
        other.pop()

Use instead
-----------
    import numpy as np
    import pycuda.driver as cuda

    cuda.init()
    context = cuda.Device(0).make_context()
    x_gpu = cuda.mem_alloc(400)
    cuda.memcpy_htod(x_gpu, np.zeros(100, np.float32))
    x_gpu.free()
    context.detach()

Known limits
------------
Primary contexts may live on for other libraries; what happens after their end is reported only if it fails.
Garbage that is collected after the end of its context is right: there is nothing left to free.

References
----------
PyCUDA documentation, FAQ: How does PyCUDA handle threading?; inducer/pycuda, issues 74 and 163.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard import callsite
from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.base import Rule
from pycuda_guard.checks.pointers import moves
from pycuda_guard.events.model import ArgumentKind, Copy, DeviceOperand, Freed, Launch, MemoryKind, Memset
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import (
        CallFailed,
        ContextId,
        Event,
        EventDestroyed,
        Operand,
        RunEnded,
        StreamDestroyed,
    )
    from pycuda_guard.findings import Related

#: kinds that PyCUDA can free only where it can make their context current
_BOUND = frozenset({MemoryKind.DEVICE, MemoryKind.MANAGED, MemoryKind.PINNED})

#: what the driver says of a stream or an event that is gone with its context
_REFUSED = frozenset({statuses.STALE_HANDLE, statuses.INVALID_CONTEXT})

_HELP = "do that before context.detach()"


class DeadContext(Rule):
    """PG604."""

    code: ClassVar[str] = "PG604"
    name: ClassVar[str] = "dead-context"
    severity: ClassVar[Severity] = Severity.ERROR
    only_odd = frozenset({Copy, Memset, Launch})

    def on_copy(self, event: Copy) -> None:
        """Look at the memory at both ends."""
        if self.state.stray and self.state.memory.orphans:
            self._check(event, (event.destination, event.source))

    def on_memset(self, event: Memset) -> None:
        """Look at the memory of a memset."""
        if self.state.stray and self.state.memory.orphans:
            self._check(event, (event.destination,))

    def on_launch(self, event: Launch) -> None:
        """Look at the kernel, the stream and the pointers of a launch."""
        owners = self.state.owners
        if not owners.gone:
            return
        module, stream = owners.modules.get(event.module), owners.streams.get(event.stream)
        if module is not None and module.context in owners.gone:
            made = messages.related("its module is loaded here", module.site)
            self._used(event, f"kernel `{event.function}` is launched", module.context, made)
        elif stream is not None and stream.context in owners.gone:
            made = messages.related("the stream is made here", stream.site)
            text = f"kernel `{event.function}` is launched on a stream"
            self._used(event, text, stream.context, made)
        elif self.state.stray:
            for index, argument in enumerate(event.arguments or ()):
                if argument.kind is ArgumentKind.POINTER and type(argument.value) is int:
                    region = self._orphan(argument.value)
                    if region is not None:
                        described = messages.described_argument(event, index, argument)
                        text = f"{described} of kernel `{event.function}` is memory"
                        self._used(event, text, region.context, messages.story(region))

    def on_call_failed(self, event: CallFailed) -> None:
        """Look for a stream or event that was used after the end of its context."""
        gone = self.state.owners.gone
        if gone and event.announced and not self.explained(event.announced):
            self._check_named(event)
        if event.context or not gone or not event.call.startswith(("Stream.", "Event.")):
            return
        if self.explained(event.announced) or self.state.devices.current(event.thread):
            return
        owned = [*self.state.owners.streams.values(), *self.state.owners.events.values()]
        if not all(one.context in gone for one in owned) or "context" not in event.message:
            return
        self.explain(event.sequence)
        thing = "a stream" if event.call.startswith("Stream.") else "an event"
        self._used(event, f"{event.call} uses {thing}", next(reversed(gone)), ())

    def _check_named(self, event: CallFailed) -> None:
        """Look for what a call named, while another context is current."""
        announced = self.state.announced(event.announced)
        if announced is None or statuses.words(event) not in _REFUSED:
            return
        for what, owned in self.state.owners.named(announced):
            if owned is not None and owned.context in self.state.owners.gone:
                made = messages.related(f"{what} is made here", owned.site)
                self.explain(event.sequence)
                self._used(announced, f"{event.call} uses {what}", owned.context, made)
                return

    def on_freed(self, event: Freed) -> None:
        """Look whether memory can still be freed, and by this thread."""
        region = self.state.freed
        if region is not None:
            if self._is_anothers(event, region.context) and (
                region.kind in _BOUND and not self.state.work.is_pooled(region)
            ):
                name = messages.region_name(region)
                self._check_thread(event, name, region.context, region.site, freed=event.how == "free")
        elif event.how == "free" and self.state.memory.orphans:
            region = self._orphan(event.address)
            if region is not None:
                name = messages.region_name(region)
                self._used(event, f"{name} is freed", region.context, messages.story(region))

    def on_stream_destroyed(self, event: StreamDestroyed) -> None:
        """Look whether this thread can destroy the stream."""
        stream = self.state.owners.streams.get(event.stream)
        if stream is not None:
            self._check_thread(event, "a stream", stream.context, stream.site)

    def on_event_destroyed(self, event: EventDestroyed) -> None:
        """Look whether this thread can destroy the event."""
        known = self.state.owners.events.get(event.event)
        if known is not None:
            self._check_thread(event, "an event", known.context, known.site)

    def on_run_ended(self, event: RunEnded) -> None:
        """Look for pool blocks that go back to their pool after the last context was popped."""
        if event.process != "exits" or self.state.late:
            return
        stacks = self.state.devices.stacks.values()
        if any(not entry.automatic for stack in stacks for entry in stack):
            return  # PyCUDA aborts for that reason first
        for region in self.state.memory.live:
            if region.kind is not MemoryKind.POOL or not self.state.pools.needs_context(region.pool):
                continue
            if self.again(event, site=region.site):
                continue
            self.report(
                event,
                f"{messages.region_name(region)} outlives its context: it goes back to an empty pool when no "
                "context is current, and PyCUDA aborts the process at exit",
                "del it (and whatever holds it) before the program ends, or call its free()",
                site=region.site,
            )

    def _check(self, event: Copy | Memset, operands: tuple[Operand, ...]) -> None:
        for position, operand in enumerate(operands):
            if not isinstance(operand, DeviceOperand) or not moves(operand.extent):
                continue
            region = self._orphan(operand.address)
            if region is not None:
                name = messages.copy_names(event)[position] or messages.region_name(region)
                self._used(event, f"{event.call} uses {name}", region.context, messages.story(region))
                return

    def _orphan(self, address: int) -> Region | None:
        """Return the memory of a context that is gone, where nothing else lies there now."""
        memory = self.state.memory
        return None if memory.find(address) else memory.orphans.find(address)

    def _used(self, event: Event, what: str, context: ContextId, story: tuple[Related, ...]) -> None:
        self.explain(event.sequence)
        if self.again(event):
            return
        gone = self.state.owners.gone.get(context)
        ended = messages.related("the context ends here", gone.site) if gone is not None else ()
        self.report(event, f"{what} after its context is gone", _HELP, related=story + ended)

    def _is_anothers(self, event: Event, context: ContextId) -> bool:
        """Tell whether a context is that of another thread, and not current on this one."""
        maker = self.state.owners.makers.get(context)
        return maker is not None and event.thread != maker and event.context != context and context != 0

    def _check_thread(
        self, event: Event, name: str, context: ContextId, made: Site | None, *, freed: bool = False
    ) -> None:
        """Report what PyCUDA can't clean up: its context isn't current, and another thread's."""
        owners = self.state.owners
        if not self._is_anothers(event, context):
            return
        place = event.site
        if place is None or (made is not None and callsite.is_stand_in(place)):
            place = made  # the last reference went with the thread's own function
        if context in owners.detached or self.again(event, site=place):
            return
        how = "is freed" if freed else "loses its last reference"
        self.report(
            event,
            f"{name} {how} in a thread that did not make its context and in which that is not current: "
            "PyCUDA can't clean it up and leaks it",
            "push the context in this thread first, or free it in the thread that made the context",
            site=place,
            related=messages.related(f"{name} is made here", made),
        )
