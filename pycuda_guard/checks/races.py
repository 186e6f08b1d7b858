"""What the rules about races inside kernels share: two accesses, and how to tell of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.kernels import KernelRule, Scene, caller, place_of
from pycuda_guard.findings import Related, Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import KernelReport

_VERBS = {"read": "reads", "write": "writes", "atomic": "updates"}
_DONE = {
    "read": "read",
    "write": "written",
    "atomic": "updated atomically",
    "barrier": "others wait",
    "warp": "others wait",
}


class RaceRule(KernelRule):
    """A rule about two threads. Each pair of lines of a kernel is told once, whichever came second.

    What PyCUDA's own kernels do is nobody's fault who reads this: a note, once a run.
    """

    source: ClassVar[str] = "races"

    def is_new(self, event: KernelReport) -> bool:
        """Tell whether this pair of lines was not reported yet."""
        return event.other is not None and self.is_new_place(event)

    def is_new_place(self, event: KernelReport) -> bool:
        """Tell whether this line was not reported yet, with the line of the other thread, if there is one."""
        if self.explained(event.launch) and event.launch not in self._collector.in_kernel:
            return False
        if event.library:
            return self._collector.tell(self.code, "library")
        places = [(each.file, each.line) for each in (event.access, event.other) if each is not None]
        return self._collector.tell(self.code, event.access.function, *sorted(places))

    def tell_pair(self, scene: Scene, text: str, help: str, related: tuple[Related, ...] = ()) -> None:
        """Report two threads, in PyCUDA's own kernels as a note."""
        event = scene.event
        self.report(
            event,
            text,
            help,
            kernel=place_of(event),
            related=(*other_place(event), *caller(event), *related),
            severity=Severity.NOTE if event.library else None,
        )


def who(event: KernelReport) -> tuple[str, str]:
    """Name both threads; the block once where it is the same."""
    if event.block_index == event.other_block:
        return f"thread {event.thread_index} of block {event.block_index}", f"thread {event.other_thread}"
    return (
        f"thread {event.thread_index} of block {event.block_index}",
        f"thread {event.other_thread} of block {event.other_block}",
    )


def conflict(event: KernelReport) -> str:
    """Return who does what: ``thread (1, 0, 0) of block (0, 0, 0) writes it, thread (2, 0, 0) reads it``."""
    assert event.other is not None
    first, second = who(event)
    verb = _VERBS[event.other.kind]
    if (event.block_index, event.thread_index) == (event.other_block, event.other_thread):
        # of several threads that do it, the first is known: others do it, too
        second, verb = "others", event.other.kind if event.other.kind != "atomic" else "update"
    return f"{first} {_VERBS[event.access.kind]} it, {second} {verb} it"


def other_place(event: KernelReport) -> tuple[Related, ...]:
    """Return the line of the other access, where it is the user's."""
    other = event.other
    if other is None or event.library or not other.line:
        return ()
    if (other.file, other.line) == (event.access.file, event.access.line):
        return ()
    return (Related(f"{_DONE[other.kind]} here", other.file, other.line),)


def is_one_line(event: KernelReport) -> bool:
    """Tell whether both accesses are on one line."""
    other = event.other
    return other is not None and (other.file, other.line) == (event.access.file, event.access.line)


def where_missing(event: KernelReport) -> str:
    """Return where a barrier is missing: ``between lines 4 and 6``, or where a loop's body ends."""
    other = event.other
    if other is None or not other.line or event.library or event.access.file != other.file:
        return "between the two accesses"
    low, high = sorted((event.access.line, other.line))
    if event.round == "next":
        return f"at the end of the loop's body, after line {high}: its next round comes to line {low} again"
    if is_one_line(event):
        return f"before a thread comes to line {high} again"
    return f"between lines {low} and {high}"
