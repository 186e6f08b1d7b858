"""What every rule is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.events import model
from pycuda_guard.findings import Finding, Severity

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.checks.collector import Collector
    from pycuda_guard.checks.state import State
    from pycuda_guard.findings import KernelLocation, Related

#: The method of a rule that gets each type of event. A rule has only those that it needs.
HANDLERS: dict[type[model.Event], str] = {
    model.Allocated: "on_allocated",
    model.Freed: "on_freed",
    model.PoolEmptied: "on_pool_emptied",
    model.Exported: "on_exported",
    model.Copy: "on_copy",
    model.Memset: "on_memset",
    model.Launch: "on_launch",
    model.LaunchFinished: "on_launch_finished",
    model.CallFailed: "on_call_failed",
    model.Synchronized: "on_synchronized",
    model.StreamCreated: "on_stream_created",
    model.StreamDestroyed: "on_stream_destroyed",
    model.EventCreated: "on_event_created",
    model.EventDestroyed: "on_event_destroyed",
    model.EventRecorded: "on_event_recorded",
    model.StreamWaited: "on_stream_waited",
    model.EventTimed: "on_event_timed",
    model.ContextChanged: "on_context_changed",
    model.ContextReplaced: "on_context_replaced",
    model.ModuleLoaded: "on_module_loaded",
    model.FunctionLimits: "on_function_limits",
    model.KernelReport: "on_kernel_report",
    model.Contents: "on_contents",
    model.Footprint: "on_footprint",
    model.Forked: "on_forked",
    model.HostFault: "on_host_fault",
    model.HostTouched: "on_host_touched",
    model.LateStart: "on_late_start",
    model.EventsLost: "on_events_lost",
    model.GuardFailed: "on_guard_failed",
    model.RunEnded: "on_run_ended",
}


class Rule:
    """One thing to look for. Subclasses say what it is called and handle the events it needs.

    The events arrive before :attr:`state` takes them in: at a copy, a rule sees memory as it was
    when the copy was asked for. ``source`` is where the evidence comes from: ``api`` (the
    intercepted calls), ``touch`` (the host's own accesses to memory), ``kernel``
    (what instrumented kernels do), ``exit`` (the end of the run) or ``guard`` (the guard itself).
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    source: ClassVar[str] = "api"
    #: whether it has something to say in a process forked after cuInit, where no call of CUDA works
    holds_after_fork: ClassVar[bool] = False
    #: copies, memsets, launches and frees among which it looks only at those that are ``state.odd``
    only_odd: ClassVar[frozenset[type[model.Event]]] = frozenset()
    #: which of the copies that are not odd can be any of its business
    copies: ClassVar[frozenset[model.CopyKind]] = frozenset(model.CopyKind)
    #: the launches and copies of which it need not look again at one that equals another of which it said
    #: nothing (``state.plan``, ``state.move``)
    only_new: ClassVar[frozenset[type[model.Event] | model.CopyKind]] = frozenset()

    def __init__(self, state: State, collector: Collector) -> None:
        self.state = state
        self._collector = collector

    def report(
        self,
        event: model.Event,
        message: str,
        help: str,
        *,
        site: Site | None = None,
        kernel: KernelLocation | None = None,
        related: tuple[Related, ...] = (),
        failure: int | None = None,
        severity: Severity | None = None,
    ) -> None:
        """Report a finding that ``event`` gave away.

        ``site`` is the line that has to change, by default that of the event. ``failure`` is the
        sequence number of the failed call whose handling decides the severity. ``severity`` is the
        rule's own unless told.
        """
        place = site or event.site
        if place is not None:
            related = tuple(
                [other for other in related if (other.file, other.line) != (place.file, place.line)]
            )
        finding = Finding(
            code=self.code,
            rule=self.name,
            severity=severity or self.severity,
            message=message,
            help=help,
            location=messages.location(place),
            kernel=kernel,
            related=related,
            failure=failure,
            event=event.sequence,
        )
        self._collector.add(finding, event, place)

    def again(
        self,
        event: model.Event,
        *,
        site: Site | None = None,
        kernel: str = "",
        failure: int | None = None,
        severity: Severity | None = None,
    ) -> bool:
        """Count a finding that was reported at this place before; False where there is none.

        A loop that repeats its mistake a million times must not compose a million messages.
        """
        place = site or event.site
        return self._collector.count(self.code, severity or self.severity, event, place, kernel, failure)

    def explained(self, sequence: int) -> bool:
        """Tell whether an error was already reported for an event."""
        return sequence in self._collector.explained

    def explain(self, sequence: int) -> None:
        """Say that a finding of this rule also stands for another event."""
        self._collector.explained.add(sequence)
