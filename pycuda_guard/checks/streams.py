"""What the rules about order share: which operations they judge, and how they name streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import DEFAULT_STREAM, Copy, Footprint, Launch, Memset
from pycuda_guard.findings import Severity
from pycuda_guard.names import is_target, target_name, unpacked_names

if TYPE_CHECKING:
    from pycuda_guard.checks.state.clocks import Track
    from pycuda_guard.checks.state.conflicts import Access, Conflict, Operation
    from pycuda_guard.events.model import HostTouched


class ConflictRule(Rule):
    """A rule that judges operations of which the state knows conflicts with unfinished ones."""

    only_odd = frozenset({Copy, Memset, Launch})

    def judge(self, event: Operation, conflicts: list[Conflict]) -> None:
        """Look at the conflicts of an operation that is about to be issued, or was issued before."""
        raise NotImplementedError

    def on_footprint(self, event: Footprint) -> None:
        """Judge the operations that conflict, as it turns out, with a launch."""
        for operation, conflicts in self.state.work.late:
            self.judge(operation, conflicts)

    def on_copy(self, event: Copy) -> None:
        """Judge a copy that conflicts with something."""
        if self.state.work.conflicts:
            self.judge(event, self.state.work.conflicts)

    def on_memset(self, event: Memset) -> None:
        """Judge a memset that conflicts with something."""
        if self.state.work.conflicts:
            self.judge(event, self.state.work.conflicts)

    def on_launch(self, event: Launch) -> None:
        """Judge a launch that conflicts with something."""
        if self.state.work.conflicts:
            self.judge(event, self.state.work.conflicts)


class TouchRule(Rule):
    """A rule about the host's own accesses to memory that unfinished work uses."""

    source: ClassVar[str] = "touch"
    severity: ClassVar[Severity] = Severity.ERROR
    writes: ClassVar[bool]  #: which accesses the rule is about

    def on_host_touched(self, event: HostTouched) -> None:
        """Look for the operation that the host came between."""
        if event.write is not self.writes:
            return
        use = self.state.work.shared.find(event.address, event.write)
        if use is None or self.again(event):
            return
        memory, stream = messages.region_name(use.region), name(use.track)
        does, before = ("writes", "writing") if self.writes else ("reads", "reading")
        wait = "cuda.Context" if use.track.handle == DEFAULT_STREAM else variable(use.track) or "stream"
        what = operation(use.event)
        self.report(
            event,
            f"the host {does} {memory}, byte {event.address - use.region.base} of {use.region.nbytes}, while "
            f"{what} on {stream} may still {verb(use, False)} it",
            f"call {wait}.synchronize() before {before} it",
            related=messages.related(f"{what} {verb(use)} {memory} here", use.event.site)
            + messages.allocated(use.region),
        )


_MAKING = frozenset({"Stream"})


def variable(track: Track) -> str:
    """Return the variable that a stream was assigned to, or nothing."""
    return _unpacked(track) or (_assigned(track) if is_target(track.site, "Stream") else "")


def name(track: Track, beside: Track | None = None) -> str:
    """Return what the program calls a stream that is told of after the one ``beside`` it.

    Streams that one line made have their variable in common, or the list that they are in.
    """
    if track.handle == DEFAULT_STREAM:
        return "the default stream"
    known, text = variable(track), _assigned(track)
    kind = "stream" if track.is_blocking else "NON_BLOCKING stream"
    told = None if beside is None or beside is track or beside.handle == DEFAULT_STREAM else beside
    alike = told is not None and _assigned(told) == text
    if known and not alike:
        return f"stream `{known}`" if track.is_blocking else f"the {kind} `{known}`"
    which = f" `{known}`" if known else f" of `{text}`" if text else ""
    return f"{'another' if alike else 'a'} {kind}{which}"


def _assigned(track: Track) -> str:
    """Return the variable that a stream, or what holds it, was assigned to."""
    text = _unpacked(track) or target_name(track.site)
    return text if text.replace(".", "").isidentifier() else ""


def _unpacked(track: Track) -> str:
    """Return the variable that a stream was unpacked to from several, or nothing."""
    names = unpacked_names(track.site, _MAKING)
    text = names[track.rank % len(names)] if names else ""
    return text if text.replace(".", "").isidentifier() else ""


def operation(event: Operation) -> str:
    """Return what an operation is: the call's name, or that of the kernel."""
    return f"kernel `{event.function}`" if isinstance(event, Launch) else event.call


def verb(access: Access, third_person: bool = True) -> str:
    """Return what an access does to memory."""
    words = {"read": "read", "write": "write", "atomic": "update"}
    return words[access.kind] + ("s" if third_person else "")


def order(earlier: Access, later: Access) -> str:
    """Return how to order two accesses: the host waits, or the later stream does."""
    first, second = variable(earlier.track), variable(later.track)
    if first == second and earlier.track is not later.track:
        first = second = ""
    default = earlier.track.handle == DEFAULT_STREAM
    wait = "cuda.Context.synchronize()" if default else f"{first or 'stream'}.synchronize()"
    for access, stream in ((later, first), (earlier, second)):
        event = access.event
        if access.track.handle == DEFAULT_STREAM and isinstance(event, Launch) and not event.library:
            return f"{_launched_on(event, stream or 'stream')}, or call {wait} in between"
    if later.track.handle == DEFAULT_STREAM:
        return f"call {wait} in between"
    record = "event.record()" if default else f"event.record({first or 'stream'})"
    return (
        f"call {record} after the first and {second or 'other'}.wait_for_event(event) before the second, "
        f"or {wait} in between"
    )


def _launched_on(event: Launch, stream: str) -> str:
    """Return how to launch a kernel on a stream instead of the default one."""
    if event.call.startswith("prepared"):
        return f"launch `{event.function}` by prepared_async_call(grid, block, {stream}, …)"
    return f"launch `{event.function}` with stream={stream}"
