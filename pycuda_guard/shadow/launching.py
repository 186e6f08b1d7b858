"""Makes a launch of an instrumented kernel out of the program's own."""

from __future__ import annotations

from math import prod
from struct import Struct
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.bounds import UNBOUNDED
from pycuda_guard.shadow import codes
from pycuda_guard.shadow.driver import DriverError
from pycuda_guard.shadow.lookups import places_of
from pycuda_guard.shadow.memos import Memo, Prepared
from pycuda_guard.shadow.racing import Racing
from pycuda_guard.shadow.tracing import Footprints

if TYPE_CHECKING:
    from pycuda_guard.events.model import Launch
    from pycuda_guard.kernels.instrument.footprints import Tracing
    from pycuda_guard.kernels.instrument.model import Root
    from pycuda_guard.kernels.instrument.races.model import RaceVariant
    from pycuda_guard.shadow.allocations import Allocation
    from pycuda_guard.shadow.asking import Asking
    from pycuda_guard.shadow.images import KernelPlan
    from pycuda_guard.shadow.loading import Loader, Variant
    from pycuda_guard.shadow.state import ContextState
    from pycuda_guard.shadow.world import World

_POINTER = Struct("<Q")
_NOWHERE = abi.RANGE.pack(0, 0, 0, 0, abi.UNTRACKED)
#: a range that nothing is outside of, for launches that are not watched
_ANYWHERE = abi.RANGE.pack(0, (1 << 64) - 1, 0, 0, abi.UNTRACKED)
#: launches of a configuration that shared memory is watched in
_SHARED_LAUNCHES = 3
_MOST_CONFIGURATIONS = 256


class _Roots:
    """What the roots of a launch point into; ``loads`` and ``stores``: by addresses for the table to tell."""

    def __init__(self) -> None:
        self.ranges: list[bytes | tuple[Allocation, int]] = []
        self.told: list[tuple[int, int]] = []
        self.is_checked = False
        self.loads = False
        self.stores = False
        self.is_foreign = False  # some was asked of the driver
        self.touched: dict[int, tuple[Allocation, Root]] = {}  # allocations that are followed, by root
        self.allocations: list[Allocation | None] = []


def neutral(variant: Variant, packed: bytes, shared: int) -> Prepared:
    """Launch without watching: every address is right."""
    kernel = variant.plan.kernel
    ring = 0 if variant.loaded.state is None else variant.loaded.state.ring
    header = abi.HEADER.pack(ring, 0, 0, 0, abi.Flag.PERMISSIVE, shared)
    hidden = header + _ANYWHERE * len(kernel.roots) + abi.BOUND.pack(*UNBOUNDED) * len(kernel.bounds)
    return Prepared("", _joined(variant.plan, packed, hidden), shared)


def _joined(plan: KernelPlan, packed: bytes, hidden: bytes) -> bytes:
    """Put the hidden parameter behind the program's arguments.

    Of arguments that are too long the driver must get too many bytes, as it would without the guard.
    """
    kernel = plan.kernel
    if len(packed) > plan.bare_bytes:
        return packed.ljust(kernel.hidden_offset, b"\0")[: kernel.hidden_offset] + hidden + bytes(16)
    return packed.ljust(kernel.hidden_offset, b"\0") + hidden


class Launching:
    """Prepares launches."""

    def __init__(self, world: World, asking: Asking, loader: Loader) -> None:
        self._world = world
        self._asking = asking
        self._loader = loader
        self.racing = Racing()
        self.footprints = Footprints(world)
        self._looked: dict[tuple[int, str, tuple[int, ...], int], int] = {}

    def prepare(self, variant: Variant, packed: bytes, shared: int, event: Launch) -> Prepared:
        """Find out what the kernel works on, and write it into the hidden parameter."""
        state = variant.loaded.state
        if state is None or event.context != variant.loaded.context:
            return neutral(variant, packed, shared)
        memo = variant.memos.get(packed, shared)
        if memo is not None and not self.footprints.wants(variant.tracing, event):
            again = memo.again(self._world.allocations.version, packed, event)
            if again is not None:
                self._world.remember(variant.loaded, event, memo.told)
                return Prepared("proven" if memo.is_proven else "", again, shared)
        return self._first(variant, state, packed, shared, event)

    def _first(
        self, variant: Variant, state: ContextState, packed: bytes, shared: int, event: Launch
    ) -> Prepared:
        """Prepare a launch that is not like one of the last."""
        world = self._world
        loaded, plan = variant.loaded, variant.plan
        kernel = plan.kernel
        stream = event.stream
        number = event.sequence & 0xFFFFFFFF
        roots = self._roots(state, plan, packed, event)
        is_checked = roots.is_checked
        flags, table = 0, (0, 0)
        loads, stores = kernel.loads_unknown or roots.loads, kernel.stores_unknown or roots.stores
        if loads or stores:
            is_checked = self._prepare_unknown(state, loads, stores, stream) or is_checked
            version = (world.allocations.version, state.layout)
            table = state.table(version, lambda: self._table(event.context), stream)
            if world.uses_heap or world.is_shared() or state.maps_pageable_memory:
                flags = abi.Flag.PERMISSIVE
        if kernel.checks_shared and not is_checked and not event.library:
            is_checked = self._is_new(loaded.number, kernel.name, event.block, shared)
        hidden = abi.HEADER.pack(state.ring, *table, number, flags, shared) + b"".join(
            [entry if isinstance(entry, bytes) else _range(*entry) for entry in roots.ranges]
        )
        state.launched = True
        world.remember(loaded, event, tuple(roots.told))
        races = self._races(variant, packed, roots, event)
        # more shared memory than the program may have is for the driver to refuse
        if races is not None and shared <= variant.own_shared:
            live = [each for each in world.allocations if each.context == event.context]
            hidden += self.racing.prepare(state, kernel, races, roots.allocations, live, event)
            hidden += self._traced(variant, state, races.tracing, roots, table, event)
            asked = races.shared_bytes(shared)
            if asked > variant.most_shared:
                self.racing.miss(event)
                asked = shared
            return Prepared("races", _joined(plan, packed, hidden), asked)
        chosen = self._that_checks(variant, roots, is_checked, event)
        if chosen:
            hidden += self._traced(
                variant, state, variant.tracing if chosen == "traced" else None, roots, table, event
            )
            asked = self._with_shadow(variant, chosen, shared) if is_checked else shared
            return Prepared(chosen, _joined(plan, packed, hidden), asked)
        proven = "proven" if not is_checked and self._is_proven(variant, packed, shared, roots, event) else ""
        if not proven:
            hidden += _bounds(plan, packed, roots.told)
        watches_shared = kernel.checks_shared and not event.library
        is_simple = not (loads or stores or roots.is_foreign or is_checked or watches_shared)
        if is_simple:
            version = (world.allocations.version, state.layout)
            is_any = kernel.races is None and kernel.proof is None
            extents = () if is_any else (event.grid, event.block)
            offset = kernel.hidden_offset
            owner = variant.memos
            memo = Memo(
                owner, bool(proven), state, version, extents, hidden, offset, roots.told, roots.touched
            )
            owner.add(packed, shared, memo)
        return Prepared(proven, _joined(plan, packed, hidden), shared)

    def _that_checks(self, variant: Variant, roots: _Roots, is_checked: bool, event: Launch) -> str:
        """Return which variant that checks each access is to be launched, if one is.

        In the form before CUDA 4 (no block is told), none can be.
        """
        kernel = variant.plan.kernel
        if self.footprints.wants(variant.tracing, event):
            traced = self._loader.traced_function(variant)
            if traced is not None and prod(event.block) <= variant.traced_threads:
                self._world.remember(variant.traced_in, event, tuple(roots.told))
                return "traced"
        if is_checked and kernel.checked and event.block:
            self._loader.checked_function(variant)
            return "checked"
        return ""

    @staticmethod
    def _with_shadow(variant: Variant, chosen: str, shared: int) -> int:
        """Return the shared memory to ask for, with room to watch it where there is enough."""
        kernel, function = variant.plan.kernel, getattr(variant, chosen)
        if kernel.checks_shared and kernel.shared_bytes(shared) <= variant.shared_room(function):
            return kernel.shared_bytes(shared)
        return shared

    def _traced(
        self,
        variant: Variant,
        state: ContextState,
        tracing: Tracing | None,
        roots: _Roots,
        table: tuple[int, int],
        event: Launch,
    ) -> bytes:
        """Return what a variant that can note what it touches has at the end of its hidden parameter."""
        if tracing is None:
            return b""
        if not self.footprints.wants(tracing, event):
            return bytes(tracing.nbytes)
        variables = variant.loaded.variables
        told = variant.plan.kernel.roots, roots.allocations, variables
        words = self.footprints.prepare(state, tracing, *told, bool(table[1]), event)
        return words + b"".join([_POINTER.pack(variables[name]) for name in tracing.variables])

    def _is_proven(self, variant: Variant, packed: bytes, shared: int, roots: _Roots, event: Launch) -> bool:
        """Tell whether a launch needs no checks, and the variant without them is there for it."""
        proving, plan = variant.proving, variant.plan
        if proving is None or not event.block or len(packed) != plan.bare_bytes:
            return False
        values = [_POINTER.unpack_from(packed, position)[0] for position in plan.positions]
        if not proving.holds(packed, shared, event, plan.kernel.roots, values, roots.allocations):
            return False
        self._loader.proven_function(variant)
        return prod(event.block) <= variant.proven_threads

    def _races(self, variant: Variant, packed: bytes, roots: _Roots, event: Launch) -> RaceVariant | None:
        """Return what looks for races in a launch; None where that isn't wanted, or there are surely none."""
        races = variant.plan.kernel.races
        if not event.block or races is None:
            if self._world.options.races:
                self.racing.miss(event)
            return None
        if self.racing.is_excluded(variant, races, packed, roots.allocations, event):
            return None
        return None if self._loader.races_function(variant) is None else races

    def _roots(self, state: ContextState, plan: KernelPlan, packed: bytes, event: Launch) -> _Roots:
        """Find out what each root points into, and prepare for what is done through it."""
        world = self._world
        found = _Roots()
        epochs: dict[Allocation, int] = {}
        size = len(packed)
        for root, position in zip(plan.kernel.roots, plan.positions, strict=True):
            value = _POINTER.unpack_from(packed, position)[0] if position + 8 <= size else 0
            allocation = world.allocations.at(value) if value else None
            found.allocations.append(allocation)
            if allocation is None:
                self._foreign(found, root, value)
                continue
            found.told.append((allocation.address, allocation.size))
            if not allocation.is_tracked or world.state_of(allocation, event.context) is None:
                found.ranges.append(_untracked(allocation))
                continue
            found.touched[len(found.ranges)] = allocation, root
            if root.loads or root.atomics:
                found.is_checked = self._reads(state, allocation, root, event.stream) or found.is_checked
            code = 0
            if root.stores or root.atomics:
                code = epochs.get(allocation, 0)
                if not code or not _is_fine(allocation, root):
                    code = epochs[allocation] = self._stores(state, allocation, root, event)
            found.ranges.append((allocation, code))  # the shadow may still be made finer for a later root
        return found

    def unwatched(self, event: Launch) -> None:
        """Follow a launch that is not watched: it may have written anything."""
        for allocation in self._world.allocations:
            if not allocation.is_tracked or allocation.context != event.context:
                continue
            if allocation.shadow:
                state = self._world.states.get(allocation.context)
                if state is None:
                    continue
                if not allocation.whole or allocation.launches:
                    codes.fill(state, allocation, 0, allocation.size, event.stream, abi.STRAY)
                    allocation.forget_epochs()
                    allocation.unanswered = allocation.run_at_end = allocation.unscanned = False
            allocation.is_shared = True
            allocation.fill_up()

    # -- inside ---------------------------------------------------------------------------------

    def _reads(self, state: ContextState, allocation: Allocation, root: Root, stream: int) -> bool:
        """Prepare for loads; return whether they have to be checked."""
        if allocation.whole or self._world.is_shared():
            return False
        if allocation.shadow:
            if allocation.unscanned:
                self._asking.ask_whole(state, allocation, stream)
        elif not codes.materialize(state, allocation, _shift(root)):
            return False
        state.streams.add(stream)
        allocation.users[stream] = None
        return True

    def _stores(self, state: ContextState, allocation: Allocation, root: Root, event: Launch) -> int:
        """Prepare for stores; return the code of this launch, 0 where stores are not noted."""
        stream = event.stream
        if not allocation.shadow and not codes.materialize(state, allocation, _shift(root)):
            return 0
        if not _is_fine(allocation, root) and not codes.refine(state, allocation, _shift(root), stream):
            return 0
        code = allocation.take_epoch(event.sequence)
        if not code:
            codes.sweep(state, allocation, stream)
            code = allocation.take_epoch(event.sequence)
        allocation.unscanned = allocation.unanswered = True
        if not event.library:
            allocation.run_at_end = True
        state.streams.add(stream)
        allocation.users[stream] = None
        return code

    def _foreign(self, found: _Roots, root: Root, value: int) -> None:
        """Ask the driver about memory that was never reported; never kept, because it can change unseen."""
        try:
            known = self._world.driver.address_range(value) if value else None
        except DriverError:
            known = None
            found.loads = found.loads or root.loads or root.atomics
            found.stores = found.stores or root.stores or root.atomics
        found.is_foreign = found.is_foreign or bool(value)
        found.told.append(known or (0, 0))
        found.ranges.append(_NOWHERE if known is None else abi.RANGE.pack(*known, 0, 0, abi.UNTRACKED))

    def _prepare_unknown(self, state: ContextState, loads: bool, stores: bool, stream: int) -> bool:
        """Prepare for accesses by addresses of unknown origin; return whether loads have to be checked."""
        is_checked = False
        for allocation in self._world.allocations:
            if not allocation.is_tracked or allocation.context != state.handle:
                continue
            if stores:
                if allocation.whole and not allocation.shadow:
                    allocation.is_shared = True
                    continue
                if not allocation.shadow and not codes.materialize(state, allocation, 0):
                    continue
                allocation.unscanned = allocation.unanswered = True
            if allocation.shadow:
                state.streams.add(stream)
                allocation.users[stream] = None
            if loads and not allocation.whole and not self._world.is_shared():
                if not allocation.shadow and not codes.materialize(state, allocation, 2):
                    continue
                allocation.users[stream] = None
                is_checked = True
        return is_checked

    def _table(self, context: int) -> bytes:
        """Return all live allocations, for kernels that look addresses up."""
        rows = []
        allocations = [*self._world.allocations]
        for allocation, place in zip(allocations, places_of(allocations), strict=True):
            known = (0, abi.UNTRACKED)
            if allocation.shadow and allocation.context == context:
                known = (allocation.shadow, allocation.shift)
            rows.append(abi.RANGE.pack(allocation.address, allocation.size, known[0], place, known[1]))
        return b"".join(rows)

    def _is_new(self, module: int, kernel: str, block: tuple[int, ...], shared: int) -> bool:
        """Tell whether a configuration has not been launched often yet."""
        key = (module, kernel, block, shared)
        count = self._looked.get(key, 0)
        if count >= _SHARED_LAUNCHES:
            return False
        if len(self._looked) >= _MOST_CONFIGURATIONS and not count:
            self._looked.clear()
        self._looked[key] = count + 1
        return True


def _bounds(plan: KernelPlan, packed: bytes, told: list[tuple[int, int]]) -> bytes:
    """Return the bounds of a launch whose roots point into the ranges ``told``."""
    kernel = plan.kernel
    if not kernel.bounds or len(packed) < plan.bare_bytes:
        return bytes(abi.BOUND.size * len(kernel.bounds))
    values = [_POINTER.unpack_from(packed, position)[0] for position in plan.positions]
    return b"".join([abi.BOUND.pack(*bound.words(values, told)) for bound in kernel.bounds])


def _shift(root: Root) -> int:
    """Return how coarse codes may be for what is stored through a root."""
    return {1: 0, 2: 1}.get(root.narrowest, 2)


def _is_fine(allocation: Allocation, root: Root) -> bool:
    return not root.narrowest or allocation.shift <= _shift(root)


def _untracked(allocation: Allocation) -> bytes:
    return abi.RANGE.pack(allocation.address, allocation.size, 0, 0, abi.UNTRACKED)


def _range(allocation: Allocation, code: int) -> bytes:
    if not allocation.shadow:
        return _untracked(allocation)
    return abi.RANGE.pack(
        allocation.address, allocation.size, allocation.shadow, code * 0x01010101, allocation.shift
    )
