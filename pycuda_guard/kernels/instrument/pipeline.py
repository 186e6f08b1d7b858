"""Instruments a module: what is left out, the hidden parameter, the variants of each kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.pressure import register_pressure
from pycuda_guard.kernels.analysis.provenance import Provenance, find_provenance
from pycuda_guard.kernels.analysis.sources import ParameterWord
from pycuda_guard.kernels.analysis.waiting import waits_for_blocks
from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.accesses import Access, accesses_of
from pycuda_guard.kernels.instrument.borrowed import borrowed_variables, is_literal, with_borrowed
from pycuda_guard.kernels.instrument.calls import (
    SUFFIX,
    plan_calls,
    rename_initializer,
    takes_header,
    with_prototypes,
)
from pycuda_guard.kernels.instrument.checked import emit_checked, is_worthwhile
from pycuda_guard.kernels.instrument.fast import emit_fast
from pycuda_guard.kernels.instrument.footprints import TRACED_SUFFIX, Tracer, Tracing
from pycuda_guard.kernels.instrument.frame import Frame
from pycuda_guard.kernels.instrument.model import Instrumented, InstrumentedKernel, Root
from pycuda_guard.kernels.instrument.proofs.finding import find_proof
from pycuda_guard.kernels.instrument.proofs.model import PROVEN_SUFFIX
from pycuda_guard.kernels.instrument.proven import emit_proven
from pycuda_guard.kernels.instrument.races.cells import ENTER, UNORDERED, cell_functions
from pycuda_guard.kernels.instrument.races.exclusion import find_prospects
from pycuda_guard.kernels.instrument.races.inlining import inlined
from pycuda_guard.kernels.instrument.races.intervals import around_loops
from pycuda_guard.kernels.instrument.races.model import ORDER, RACES_SUFFIX, ROOT_CELLS, RaceVariant
from pycuda_guard.kernels.instrument.races.stalls import ARRIVE, WAIT, stall_functions
from pycuda_guard.kernels.instrument.races.watch import Races
from pycuda_guard.kernels.instrument.races.watchdog import may_stall
from pycuda_guard.kernels.instrument.ranges import KnownRoot
from pycuda_guard.kernels.instrument.shared_shadow import DYNAMIC, dynamic_variable, plan_shadow
from pycuda_guard.kernels.instrument.sites import Sites
from pycuda_guard.kernels.instrument.variables import watched_variable
from pycuda_guard.kernels.ptx.flatten import flatten
from pycuda_guard.kernels.ptx.ir import Function, Instruction, Module, Space, Variable, Verbatim

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.model import SharedShadow
    from pycuda_guard.kernels.ptx.ir import FlatFunction

#: bytes of parameters that every kernel can have
_PARAMETER_LIMIT = 4096
#: words of the parameters whose ranges the host is asked for, at most, in one kernel
_MOST_ROOTS = 64
#: bounds that the host computes for a launch, at most: each takes it half a microsecond
_MOST_BOUNDS = 16
#: instructions of a kernel above which it is left out: ptxas would take minutes
_MOST_INSTRUCTIONS = 400_000
#: instructions of a kernel above which what it touches is not traced: its module takes longer to load
_MOST_TRACED = 4000
#: registers with which all threads of a multiprocessor can be resident; kernels that need them need few
#: themselves, and are short
_FEW_REGISTERS, _LOW_PRESSURE, _SMALL = 32, 16, 1000
#: registers with which a block can have 1024 threads; directives that tell ptxas of blocks or registers
_FOR_LARGE_BLOCKS = 64
_SIZED = {"maxntid", "reqntid", "maxnreg", "minnctapersm"}
#: the first architecture, Volta, whose lanes go their own ways
_FIRST_WITH_LANES = 70
#: the first version of PTX with ``nanosleep``
_FIRST_WITH_SLEEP = (6, 3)
_OWN_NAMES = (
    reports.CHECK,
    reports.REPORT,
    ENTER,
    UNORDERED,
    ARRIVE,
    WAIT,
    abi.SITE_COUNTERS,
    DYNAMIC,
)


def instrument(
    module: Module, *, races: bool = False, watchdog: bool = False, traced: bool = False
) -> Instrumented:
    """Return the instrumented form of a module, which itself is not changed.

    With ``races``, kernels have a variant that looks for races, too; with ``watchdog`` it ends blocks whose
    threads wait for ever, where that may be.

    The variants that note what they touch are a module of their own, returned with ``traced``, so that
    programs which never need them need not load them. They use the variables of the first module.

    Kernels that can't be instrumented stay as they are and are told of in ``left_out``. Raises nothing
    for a module that the parser gave. Takes time about linear in the module's length.
    """
    names = [
        name for name, function in module.functions.items() if function.entry and function.body is not None
    ]
    reason = _refusal(module)
    if reason:
        return Instrumented(module, {}, (), dict.fromkeys(names, reason))
    return _Pipeline(module, names, races=races, watchdog=watchdog, traced=traced).run()


def _refusal(module: Module) -> str:
    """Return why nothing of a module can be instrumented; empty if it can."""
    if module.address_size != 64:
        return "its addresses have 32 bits"
    taken = {*module.functions, *module.variables}
    if any(name in taken for name in _OWN_NAMES):
        return "it is instrumented already"
    if any(isinstance(item, Verbatim) and item.text.startswith(".alias") for item in module.items):
        return "it has aliases of functions"
    return ""


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """What all variants of one kernel have in common."""

    flat: FlatFunction
    provenance: Provenance
    accesses: tuple[Access, ...]
    roots: dict[ParameterWord, KnownRoot]


class _Pipeline:
    def __init__(
        self, module: Module, names: list[str], *, races: bool, watchdog: bool, traced: bool
    ) -> None:
        self.races = races
        self.traced = traced
        self.module = module
        self.has_lanes = _has_lanes(module)
        self.watchdog = watchdog and self.has_lanes and module.version >= _FIRST_WITH_SLEEP
        self.names = names
        self.sites = Sites()
        self.kernels: dict[str, InstrumentedKernel] = {}
        self.left_out: dict[str, str] = {}
        self.variables = module.variables
        functions = {name: each for name, each in module.functions.items() if each.body is not None}
        self.flat = {name: flatten(each, module) for name, each in functions.items()}
        self.calls = plan_calls(module, self.flat)
        self.flat = {name: with_prototypes(each) for name, each in self.flat.items()}

    def run(self) -> Instrumented:
        """Instrument all kernels and the device functions that they reach."""
        built: dict[str, list[Function]] = {}
        for name in self.names:
            reason = self.calls.left_out.get(name) or self.refusal(self.flat[name])
            if reason:
                self.left_out[name] = reason
            else:
                built[name] = self.traced_kernel(name) if self.traced else self.kernel(name)
        if self.traced:
            return Instrumented(self.traced_module(built), self.kernels, self.sites.found, self.left_out)
        reached = frozenset[str]().union(*(self.calls.reached[name] for name in built))
        for name in sorted(reached):
            built[name] = [self.device_function(name)]
        return Instrumented(self.rebuilt(built), self.kernels, self.sites.found, self.left_out)

    def refusal(self, flat: FlatFunction) -> str:
        """Return why a kernel can't be instrumented for its size; empty if it can."""
        if _hidden_offset(flat.function) + abi.HEADER.size > _PARAMETER_LIMIT:
            return f"its parameters leave no room for one more in {_PARAMETER_LIMIT} bytes"
        if len(flat.body) > _MOST_INSTRUCTIONS:
            return f"it has more than {_MOST_INSTRUCTIONS} instructions"
        return ""

    def rebuilt(self, built: dict[str, list[Function]]) -> Module:
        """Return the module with what was built in the place of, or after, what it had."""
        items: list[Variable | Function | Verbatim] = []
        items.extend(reports.support_items(len(self.sites.found)))
        if any(kernel.checks_shared or kernel.races for kernel in self.kernels.values()):
            items.append(dynamic_variable())
        if any(kernel.races for kernel in self.kernels.values()):
            items.extend(cell_functions())
        if any(kernel.races and kernel.races.watchdog_bytes for kernel in self.kernels.values()):
            items.extend(stall_functions())
        clones = [function for name in built for function in built[name] if not function.entry]
        items.extend(replace(function, body=None) for function in clones)
        for item in self.module.items:
            if isinstance(item, Variable) and self.calls.renames_addresses:
                items.append(rename_initializer(item, built.keys() & self.calls.functions.keys()))
                continue
            if isinstance(item, Function) and item.body is not None and item.name in built:
                if not item.entry:
                    items.append(item)
                items.extend(built[item.name])
                continue
            items.append(item)
        return replace(self.module, items=items)

    def traced_module(self, built: dict[str, list[Function]]) -> Module:
        """Return the module of traced variants: what they call is part of them, variables are elsewhere."""
        items: list[Variable | Function | Verbatim] = [*reports.support_items(len(self.sites.found))]
        if any(kernel.checks_shared for kernel in self.kernels.values()):
            items.append(dynamic_variable())
        for item in self.module.items:
            if isinstance(item, Variable):
                if item.space is Space.SHARED or is_literal(item):
                    items.append(item)
            elif isinstance(item, Verbatim) or item.name not in self.flat:
                items.append(item)
            elif item.body is not None:
                items.extend(built.get(item.name, ()))
        return replace(self.module, items=items)

    # --- one function -------------------------------------------------------------------------------

    def kernel(self, name: str) -> list[Function]:
        """Instrument a kernel; return its variants."""
        plan = self.plan(name)
        flat, accesses = plan.flat, plan.accesses
        hidden_bytes = abi.HEADER.size + len(plan.roots) * abi.RANGE.size
        hidden = Variable(abi.LAUNCH_PARAMETER, Space.PARAM, "b8", align=16, dims=(hidden_bytes,))
        declared = replace(flat.function, parameters=[*flat.function.parameters, hidden])
        # each variant is made from a frame of its own, with the same plan
        room = (_PARAMETER_LIMIT - _hidden_offset(flat.function) - hidden_bytes) // abi.BOUND.size
        fast = self.frame(flat, name, plan, min(room, _MOST_BOUNDS))
        emit_fast(fast)
        longer = replace(hidden, dims=(hidden_bytes + len(fast.bounds) * abi.BOUND.size,))
        bounded = replace(declared, parameters=[*flat.function.parameters, longer])
        functions = [fast.builder.function(name, self.limited(flat, bounded))]
        shadow = plan_shadow(flat, accesses, self.variables)
        checked = ""
        if is_worthwhile(fast, accesses, shadow):
            checked = name + abi.CHECKED_SUFFIX
            frame = self.frame(flat, name, plan)
            emit_checked(frame, shadow)
            functions.append(frame.builder.function(checked, self.launchable(flat, declared)))
        others = [access for access in accesses if _is_unknown(fast, access)]
        races = self.race_variant(plan, name, shadow, others, functions) if self.races else None
        below = [self.flat[each] for each in self.calls.reached[name]]
        deep = [access for each in below for access in _global_accesses(each)]
        waits = any(waits_for_blocks(each) for each in (flat, *below))
        proven = self.frame(flat, name, plan)
        proof = None if below or waits else find_proof(proven, accesses)
        if proof is not None:
            emit_proven(proven)
            functions.append(proven.builder.function(name + PROVEN_SUFFIX, self.limited(flat, declared)))
        tracing, _ = self.traced_variant(plan, name, None, is_made=False)
        self.kernels[name] = InstrumentedKernel(
            name,
            _hidden_offset(flat.function),
            hidden_bytes,
            _describe_roots(plan),
            checked,
            any(access.reads for access in (*others, *deep)),
            any(access.writes for access in (*others, *deep)),
            name in self.calls.heap,
            shadow if checked else None,
            races,
            tuple(fast.bounds),
            waits,
            proof,
            tracing,
        )
        return functions

    def limited(self, flat: FlatFunction, declared: Function) -> Function:
        """Return a kernel with a limit of registers, where it surely gets by with few.

        ptxas has no reason to save them in outlined code, but then fewer threads are resident: 1.4 times
        the time of the bare kernel instead of 1.15 where memory is the bottleneck.
        """
        own = {directive for directive, _ in declared.directives}
        if self.calls.reached[declared.name] or own & {"maxnreg", "minnctapersm"}:
            return declared
        if len(flat.body) > _SMALL or register_pressure(flat) > _LOW_PRESSURE:
            return declared
        return replace(declared, directives=[*declared.directives, ("maxnreg", (_FEW_REGISTERS,))])

    def launchable(self, flat: FlatFunction, declared: Function) -> Function:
        """Return a checked kernel with a limit of registers that lets it have the largest blocks.

        Where the program's own kernel may need more, its blocks are smaller, and it is left as it is.
        """
        own = {directive for directive, _ in declared.directives}
        if self.calls.reached[declared.name] or own & _SIZED or register_pressure(flat) > _FOR_LARGE_BLOCKS:
            return declared
        return replace(declared, directives=[*declared.directives, ("maxnreg", (_FOR_LARGE_BLOCKS,))])

    def plan(self, name: str) -> KernelPlan:
        """Return what the variants of a kernel have in common."""
        flat = self.flat[name]
        provenance = find_provenance(flat)
        accesses = _accesses(flat)
        return KernelPlan(flat, provenance, accesses, _find_roots(flat, provenance, accesses))

    def traced_kernel(self, name: str) -> list[Function]:
        """Instrument a kernel for the module of traced variants."""
        plan = self.plan(name)
        shadow = plan_shadow(plan.flat, plan.accesses, self.variables)
        is_checked = is_worthwhile(self.frame(plan.flat, name, plan), plan.accesses, shadow)
        if not is_checked or self.calls.reached[name]:
            shadow = None
        tracing, functions = self.traced_variant(plan, name, shadow, is_made=True)
        offset, roots = _hidden_offset(plan.flat.function), _describe_roots(plan)
        hidden_bytes = abi.HEADER.size + len(plan.roots) * abi.RANGE.size
        self.kernels[name] = InstrumentedKernel(
            name, offset, hidden_bytes, roots, shadow=shadow, tracing=tracing
        )
        return functions

    def traced_variant(
        self, plan: KernelPlan, name: str, shadow: SharedShadow | None, *, is_made: bool
    ) -> tuple[Tracing | None, list[Function]]:
        """Return the variant that notes what it touches, where it is needed; without one if not ``is_made``.

        It does all that the checked variant does.
        """
        flat, provenance = plan.flat, plan.provenance
        below = self.calls.reached[name]
        if below:
            whole = inlined(flat, self.calls.functions)
            if whole is None:
                return None, []
            flat, provenance, shadow = whole, find_provenance(whole), None
        variables = borrowed_variables(flat, provenance, self.variables)
        if len(flat.body) > _MOST_TRACED or waits_for_blocks(flat) or variables is None:
            return None, []
        frame = self.frame(flat, name, replace(plan, flat=flat, provenance=provenance))
        start = abi.HEADER.size + len(plan.roots) * abi.RANGE.size
        tracer = Tracer(frame, start, variables)
        hidden_bytes = start + tracer.tracing.nbytes
        if not tracer.is_needed or _hidden_offset(flat.function) + hidden_bytes > _PARAMETER_LIMIT:
            return None, []
        if not is_made:
            return tracer.tracing, []
        emit_checked(frame, shadow, tracer=tracer)
        hidden = Variable(abi.LAUNCH_PARAMETER, Space.PARAM, "b8", align=16, dims=(hidden_bytes,))
        declared = replace(flat.function, parameters=[*flat.function.parameters, hidden])
        function = frame.builder.function(name + TRACED_SUFFIX, self.launchable(flat, declared))
        return tracer.tracing, [with_borrowed(function, variables, tracer.tracing.variables_at)]

    def race_variant(
        self,
        plan: KernelPlan,
        name: str,
        shadow: SharedShadow | None,
        unknown: list[Access],
        functions: list[Function],
    ) -> RaceVariant | None:
        """Add the variant that looks for races to a kernel's functions; None where it can't be made."""
        flat, provenance, accesses = plan.flat, plan.provenance, plan.accesses
        if self.calls.reached[name]:
            whole = inlined(flat, self.calls.functions)
            if whole is None:
                return None
            flat, provenance = whole, find_provenance(whole)
            accesses = _accesses(flat)
            shadow = plan_shadow(flat, accesses, self.variables)
            # the roots tell only what the kernel does itself
            unknown = [access for access in accesses if access.space in (Space.GLOBAL, Space.GENERIC)]
        roots = len(plan.roots)
        hidden_bytes = abi.HEADER.size + roots * abi.RANGE.size + ORDER.size + roots * ROOT_CELLS.size
        if _hidden_offset(flat.function) + hidden_bytes > _PARAMETER_LIMIT:
            return None
        frame = self.frame(flat, name, replace(plan, flat=flat, provenance=provenance))
        tracer: Tracer | None = Tracer(frame, hidden_bytes)
        assert tracer is not None
        behind = tracer.tracing.nbytes
        if not tracer.is_needed or _hidden_offset(flat.function) + hidden_bytes + behind > _PARAMETER_LIMIT:
            tracer = None
        prospects = find_prospects(flat, provenance, plan.roots, self.variables)
        lanes, watchdog = self.has_lanes, self.watchdog and may_stall(flat)
        found = emit_checked(
            frame,
            shadow,
            lambda shared: Races(frame, shared, roots, prospects, has_lanes=lanes, watchdog=watchdog),
            tracer,
        )
        assert found is not None
        hidden_bytes += behind if tracer is not None else 0
        hidden = Variable(abi.LAUNCH_PARAMETER, Space.PARAM, "b8", align=16, dims=(hidden_bytes,))
        declared = replace(flat.function, parameters=[*flat.function.parameters, hidden])
        functions.append(frame.builder.function(name + RACES_SUFFIX, declared))
        return RaceVariant(
            name + RACES_SUFFIX,
            hidden_bytes,
            tuple(found.sites),
            found.has_fences,
            shadow,
            found.looks_up,
            found.writes_variables,
            min((access.width for access in unknown if access.writes), default=0),
            shadow is None and any(prospects.is_dangerous(access) for access in accesses),
            around_loops(flat, found.numbers),
            None if found.watchdog_bytes else prospects.exclusion,
            found.watchdog_bytes,
            None if tracer is None else tracer.tracing,
        )

    def device_function(self, name: str) -> Function:
        """Instrument a device function."""
        flat = self.flat[name]
        frame = self.frame(flat, name, None)
        emit_fast(frame)
        return frame.builder.function(name + SUFFIX, takes_header(flat.function))

    def frame(self, flat: FlatFunction, name: str, plan: KernelPlan | None, bounds: int = 0) -> Frame:
        """Return a new frame for a variant of a function."""
        provenance = plan.provenance if plan else None
        roots = plan.roots if plan else {}
        short = name in self.calls.indirect
        guarded = self.calls.guarded
        return Frame(flat, name, self.sites, roots, self.variables, guarded, provenance, short, bounds)


def _has_lanes(module: Module) -> bool:
    """Tell whether lanes of a warp go their own ways on all devices that a module is for."""
    number = re.match(r"sm_(\d+)", module.target[0])
    return number is not None and int(number[1]) >= _FIRST_WITH_LANES and module.version >= (6, 0)


def _hidden_offset(function: Function) -> int:
    """Return where the hidden parameter starts in the parameter buffer."""
    offset = 0
    for variable in function.parameters:
        offset = (offset + variable.alignment - 1) // variable.alignment * variable.alignment + variable.size
    return (offset + 15) // 16 * 16


def _find_roots(
    flat: FlatFunction, provenance: Provenance, accesses: tuple[Access, ...]
) -> dict[ParameterWord, KnownRoot]:
    """Return the words of the parameters that accesses go through, in the order of the hidden one."""
    room = (_PARAMETER_LIMIT - _hidden_offset(flat.function) - abi.HEADER.size) // abi.RANGE.size
    found: dict[ParameterWord, KnownRoot] = {}
    for access in accesses:
        origin = provenance.origin(access.address) if access.space in (Space.GLOBAL, Space.GENERIC) else None
        if origin is None or not isinstance(origin.source, ParameterWord):
            continue
        if origin.source in found or len(found) < min(room, _MOST_ROOTS):
            found.setdefault(origin.source, KnownRoot(len(found))).accesses.append(access)
    return found


def _describe_roots(plan: KernelPlan) -> tuple[Root, ...]:
    """Return what is done through each root."""
    return tuple(
        Root(
            word.position,
            word.offset,
            any(access.reads for access in root.accesses),
            any(access.kind == "write" for access in root.accesses),
            any(access.kind == "atomic" for access in root.accesses),
            root.narrowest,
        )
        for word, root in plan.roots.items()
    )


def _is_unknown(frame: Frame, access: Access) -> bool:
    """Tell whether an access may be to global memory by an address whose origin is not known."""
    if access.space not in (Space.GLOBAL, Space.GENERIC) or frame.root_of(access) is not None:
        return False
    variable = frame.variable_of(access)
    return variable is None or (variable.space is Space.GLOBAL and watched_variable(frame, access) is None)


def _accesses(flat: FlatFunction) -> tuple[Access, ...]:
    return tuple(
        access
        for statement in flat.body
        if isinstance(statement, Instruction)
        for access in accesses_of(statement)
    )


def _global_accesses(flat: FlatFunction) -> list[Access]:
    """Return a device function's accesses to global memory or by generic addresses."""
    return [access for access in _accesses(flat) if access.space in (Space.GLOBAL, Space.GENERIC)]
