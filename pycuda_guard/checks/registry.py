"""The one table of rules."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pycuda_guard.checks.rules.aliased_arguments import AliasedArguments
from pycuda_guard.checks.rules.argument_count import ArgumentCount
from pycuda_guard.checks.rules.argument_type import ArgumentType
from pycuda_guard.checks.rules.array_order import ArrayOrder
from pycuda_guard.checks.rules.barrier_divergence import BarrierDivergence
from pycuda_guard.checks.rules.context_left_pushed import ContextLeftPushed
from pycuda_guard.checks.rules.copy_out_of_bounds import CopyOutOfBounds
from pycuda_guard.checks.rules.dead_context import DeadContext
from pycuda_guard.checks.rules.device_assert import DeviceAssert
from pycuda_guard.checks.rules.device_leak import DeviceLeak
from pycuda_guard.checks.rules.double_free import DoubleFree
from pycuda_guard.checks.rules.foreign_context import ForeignContext
from pycuda_guard.checks.rules.fork_after_init import ForkAfterInit
from pycuda_guard.checks.rules.freed_in_flight import FreedInFlight
from pycuda_guard.checks.rules.global_race import GlobalRace
from pycuda_guard.checks.rules.guard_error import GuardErrorRule
from pycuda_guard.checks.rules.host_read_in_flight import HostReadInFlight
from pycuda_guard.checks.rules.host_write_in_flight import HostWriteInFlight
from pycuda_guard.checks.rules.implicit_sync import ImplicitSync
from pycuda_guard.checks.rules.invalid_pointer import InvalidPointer
from pycuda_guard.checks.rules.kernel_out_of_bounds import KernelOutOfBounds
from pycuda_guard.checks.rules.late_start import LateStartRule
from pycuda_guard.checks.rules.launch_failed import LaunchFailed
from pycuda_guard.checks.rules.launch_limits import LaunchLimits
from pycuda_guard.checks.rules.misaligned_access import MisalignedAccess
from pycuda_guard.checks.rules.no_context import NoContext
from pycuda_guard.checks.rules.noncontiguous_array import NoncontiguousArray
from pycuda_guard.checks.rules.not_instrumented import NotInstrumented
from pycuda_guard.checks.rules.out_of_memory import OutOfMemory
from pycuda_guard.checks.rules.overlapping_copy import OverlappingCopy
from pycuda_guard.checks.rules.pageable_async_copy import PageableAsyncCopy
from pycuda_guard.checks.rules.partial_coverage import PartialCoverage
from pycuda_guard.checks.rules.pointee_type import PointeeType
from pycuda_guard.checks.rules.result_never_read import ResultNeverRead
from pycuda_guard.checks.rules.shared_out_of_bounds import SharedOutOfBounds
from pycuda_guard.checks.rules.shared_race import SharedRace
from pycuda_guard.checks.rules.spec_only_race import SpecOnlyRace
from pycuda_guard.checks.rules.stream_race import StreamRace
from pycuda_guard.checks.rules.uncovered_output import UncoveredOutput
from pycuda_guard.checks.rules.undersized_buffer import UndersizedBuffer
from pycuda_guard.checks.rules.uninitialized_read import UninitializedRead
from pycuda_guard.checks.rules.uninitialized_shared import UninitializedShared
from pycuda_guard.checks.rules.unrecorded_event import UnrecordedEvent
from pycuda_guard.checks.rules.use_after_free import UseAfterFree
from pycuda_guard.checks.rules.wrong_context import WrongContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycuda_guard.checks.base import Rule
    from pycuda_guard.findings import Severity

#: Every rule, in the order in which they see an event. The order matters where one cause could be
#: told in two ways: the first rule to report an event explains it for those after it.
RULE_CLASSES: tuple[type[Rule], ...] = (
    HostReadInFlight,
    HostWriteInFlight,
    ForkAfterInit,
    DeadContext,
    ForeignContext,
    WrongContext,
    ImplicitSync,
    PageableAsyncCopy,
    UnrecordedEvent,
    CopyOutOfBounds,
    UseAfterFree,
    InvalidPointer,
    KernelOutOfBounds,
    MisalignedAccess,
    DoubleFree,
    DeviceLeak,
    OutOfMemory,
    OverlappingCopy,
    ArgumentType,
    ArgumentCount,
    PointeeType,
    UndersizedBuffer,
    NoContext,
    LaunchLimits,
    BarrierDivergence,
    LaunchFailed,
    UncoveredOutput,
    PartialCoverage,
    UninitializedRead,
    SharedOutOfBounds,
    AliasedArguments,
    GlobalRace,
    SharedRace,
    UninitializedShared,
    DeviceAssert,
    NoncontiguousArray,
    ArrayOrder,
    FreedInFlight,
    StreamRace,
    SpecOnlyRace,
    ContextLeftPushed,
    ResultNeverRead,
    NotInstrumented,
    LateStartRule,
    GuardErrorRule,
)


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What users read of a rule. ``page`` is its documentation, in Markdown."""

    code: str
    name: str
    severity: Severity
    source: str
    summary: str
    page: str


def describe(rule: type[Rule]) -> RuleInfo:
    """Return what users read of a rule, from its class and the docstring of its module."""
    page = inspect.getdoc(sys.modules[rule.__module__]) or ""
    summary = page.partition("\n")[0]
    return RuleInfo(rule.code, rule.name, rule.severity, rule.source, summary, page)


def live_codes(*, races: bool, kernels: bool = True) -> frozenset[str]:
    """Return the codes of the rules that can fire in a run.

    ``kernels``: it instruments kernels; ``races``: it looks for races in them, too.
    """
    absent = {"kernel": not kernels, "races": not (kernels and races)}
    return frozenset(code for code, rule in RULES.items() if not absent.get(rule.source, False))


#: By code, in the order of the codes.
RULES: Mapping[str, RuleInfo] = MappingProxyType(
    {rule.code: describe(rule) for rule in sorted(RULE_CLASSES, key=lambda rule: rule.code)}
)
