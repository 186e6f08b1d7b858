"""What launches with the same kernel, arguments, block and grid have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks.state.coverage import Coverages
from pycuda_guard.checks.state.footprints import Footprints
from pycuda_guard.checks.state.moves import Wait
from pycuda_guard.events.model import ArgumentKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycuda_guard.checks.state.allocations import Memory, Region
    from pycuda_guard.checks.state.clocks import Track
    from pycuda_guard.checks.state.conflicts import Access
    from pycuda_guard.checks.state.coverage import Meant
    from pycuda_guard.checks.state.footprints import Range, Touched
    from pycuda_guard.checks.state.modules import Kernel, Modules
    from pycuda_guard.events.model import Argument, Launch
    from pycuda_guard.events.patterns import Pattern

_MAX_KNOWN = 1024
_BYTES = ArgumentKind.BYTES  # reading a member off an Enum class is slow enough to matter here

#: how bytes are touched, which ones, and the memory that they are in
Touch = tuple[str, "Range", "Region"]


@dataclass(slots=True, eq=False)
class Plan:
    """What is known of a launch before it is made, and of all that equal it: as far as anything depends
    on it, they are as ``example``.

    As of a ``version`` of the memory, ``regions`` is the live memory that each argument points into, and
    ``stray`` tells whether one points elsewhere; ``pointers`` are the positions of those that do point into
    memory, with that memory, and ``written`` is what of it the kernel may write.

    ``is_opaque``: an argument may hold pointers inside. ``is_vague``: what it touches may turn out when it is
    over; where it ``goes_anywhere``, that may be other memory than its arguments point into. ``is_settled``:
    the rules that look at nothing but all this (:attr:`~pycuda_guard.checks.base.Rule.only_new`) have looked
    at such a launch and said nothing; where it ``varies``, they may still say something of the next.
    ``track`` and ``accesses`` are those of the last one. ``generation`` is that of the kernels.
    """

    is_staged: ClassVar[bool] = False
    waits: ClassVar[Wait] = Wait.NOTHING

    example: Launch
    kernel: Kernel | None
    is_opaque: bool
    is_vague: bool
    goes_anywhere: bool
    version: int = -1
    regions: tuple[Region | None, ...] = ()
    stray: bool = False
    pointers: tuple[tuple[int, Region], ...] = ()
    written: tuple[Region, ...] = ()
    is_settled: bool = False
    varies: bool = False
    footprint: Touched | None = None
    touches: tuple[Touch, ...] | None = None
    track: Track | None = None
    accesses: Sequence[Access] = ()
    missing: tuple[Meant, ...] | None = None
    generation: object = None


class Plans:
    """The plans of launches by what they have in common, so that a launch in a loop costs one look-up."""

    def __init__(self, memory: Memory, modules: Modules) -> None:
        self._memory = memory
        self._modules = modules
        self._footprints = Footprints()
        self._generation = object()  # another one whenever what is known is forgotten
        self._coverages = Coverages()
        # by the identity of the arguments, which the hooks share between equal launches; examples keep them
        self._known: dict[tuple[object, ...], Plan] = {}
        # by those arguments alone on which something depends
        self._alike: dict[tuple[object, ...], Plan] = {}

    def of_launch(self, launch: Launch, pattern: Pattern | None = None) -> Plan:
        """Return what is known of a launch, which equals all others of the same ``pattern``."""
        if pattern is not None:
            known: Plan | None = pattern.plan
            if known is not None and known.generation is self._generation:
                if known.version != self._memory.version:
                    self._locate(known)
                return known
            known = pattern.plan = self.of_launch(launch)
            return known
        key = (id(launch.arguments), launch.module, launch.function, launch.block, launch.grid)
        plan = self._known.get(key)
        if plan is None:
            plan = self._of_others(launch, key)
        if plan.version != self._memory.version:
            self._locate(plan)
        return plan

    def forget(self) -> None:
        """Begin anew: there are other kernels."""
        self._known.clear()
        self._alike.clear()
        self._generation = object()

    def _of_others(self, launch: Launch, key: tuple[object, ...]) -> Plan:
        """Return what is known of a launch whose arguments are other ones than the last time."""
        kernel, arguments = self._modules.kernels.get((launch.module, launch.function)), launch.arguments
        telling: tuple[object, ...] = ()
        if kernel is not None and arguments is not None and _fit(kernel, arguments):
            telling = (*key[1:], launch.packed, kernel.telling(arguments))
            plan = self._alike.get(telling)
            if plan is not None:
                return plan
        if len(self._known) >= _MAX_KNOWN:
            self.forget()
        plan = self._known[key] = _plan(launch, kernel)
        plan.generation = self._generation
        if telling:
            self._alike[telling] = plan
        return plan

    def footprint(self, plan: Plan) -> Touched:
        """Return how a launch certainly touches which bytes."""
        if plan.footprint is None:
            signature = None if plan.kernel is None else plan.kernel.signature
            variables = self._memory.variables
            plan.footprint = (
                () if signature is None else self._footprints.of_launch(plan.example, signature, variables)
            )
        return plan.footprint

    def touches(self, plan: Plan) -> tuple[Touch, ...]:
        """Return the same, as far as it is within live memory, with that memory."""
        if plan.touches is None:
            touches = []
            for kind, touched in self.footprint(plan):
                region = self._memory.find_used(touched.start)
                if region is not None and touched.end <= region.end:
                    touches.append((kind, touched, region))
            plan.touches = tuple(touches)
        return plan.touches

    def meant(self, plan: Plan) -> tuple[Meant, ...]:
        """Return what a launch means to write through each parameter, as far as that is known."""
        kernel = plan.kernel
        return () if kernel is None else self._coverages.of_launch(plan.example, kernel.signature)

    def missing(self, plan: Plan) -> tuple[Meant, ...]:
        """Return those of which a launch leaves something out."""
        if plan.missing is None:
            plan.missing = tuple([meant for meant in self.meant(plan) if meant.missing])
        return plan.missing

    def _locate(self, plan: Plan) -> None:
        """Look up what the arguments point into, now that memory has come or gone."""
        writes = () if plan.kernel is None else plan.kernel.writes
        find = self._memory.find
        regions: list[Region | None] = []
        pointers: list[tuple[int, Region]] = []
        written: list[Region] = []
        stray = False
        for index, argument in enumerate(plan.example.arguments or ()):
            value = argument.value
            region = None
            if argument.size == 8 and type(value) is int:
                region = find(value)
                if region is not None:
                    pointers.append((index, region))
                    if index >= len(writes) or writes[index]:
                        written.append(region)
                elif value:
                    stray = True
            if argument.table is not None:
                stray = True
            regions.append(region)
        plan.regions, plan.stray = tuple(regions), stray
        plan.pointers, plan.written = tuple(pointers), tuple(written)
        plan.touches = plan.track = None
        if plan.kernel is not None and plan.kernel.signature.variables:
            plan.footprint = None  # the program may have asked for their addresses since
        plan.is_settled = plan.varies = False
        plan.version = self._memory.version


def _fit(kernel: Kernel, arguments: tuple[Argument, ...]) -> bool:
    """Tell whether the numbers on which nothing depends are what the kernel takes there."""
    if len(arguments) != len(kernel.layout):
        return False
    for index in kernel.free:
        argument = arguments[index]
        if (argument.offset, argument.size, argument.kind) != kernel.layout[index]:
            return False
    return True


def _plan(launch: Launch, kernel: Kernel | None) -> Plan:
    """Return what is known of a launch by itself."""
    is_opaque = any(each.table is not None or each.kind is _BYTES for each in launch.arguments or ())
    signature = None if kernel is None else kernel.signature
    is_vague = signature is not None and signature.is_vague
    if launch.library and signature is not None:
        is_vague = is_vague and signature.is_by_data  # the others tell nothing of what they touched
    goes_anywhere = signature is not None and (is_opaque or signature.goes_anywhere)
    return Plan(launch, kernel, is_opaque, is_vague, goes_anywhere)
