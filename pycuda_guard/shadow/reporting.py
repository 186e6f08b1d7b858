"""Turns what kernels reported into events."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.events.model import KernelAccess, KernelReport
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.races.identity import decode
from pycuda_guard.kernels.instrument.races.stalls import COUNTS
from pycuda_guard.shadow.driver import DriverError
from pycuda_guard.shadow.hostmemory import is_host_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.shadow.images import SiteInfo
    from pycuda_guard.shadow.loading import Loaded
    from pycuda_guard.shadow.state import ContextState
    from pycuda_guard.shadow.world import LaunchInfo, World

_REASONS = {
    abi.Reason.OUTSIDE: "outside",
    abi.Reason.MISALIGNED: "misaligned",
    abi.Reason.UNINITIALIZED: "uninitialized",
    abi.Reason.SHARED_OUTSIDE: "shared-outside",
    abi.Reason.SHARED_UNINITIALIZED: "shared-uninitialized",
    abi.Reason.ASSERT: "assert",
    abi.Reason.TRAP: "trap",
    abi.Reason.RACE: "race",
    abi.Reason.SHARED_RACE: "shared-race",
    abi.Reason.DIVERGENCE: "divergence",
    abi.Reason.STALL: "stall",
}
_RACES = (abi.Reason.RACE, abi.Reason.SHARED_RACE)

Record = tuple[int, ...]


class Reporting:
    """Reads the rings of reports."""

    def __init__(self, world: World) -> None:
        self._world = world

    def collect(self, state: ContextState) -> None:
        """Put an event into the outbox for each place that has reported since the last call."""
        records = state.reports()
        if not records:
            return
        first: dict[tuple[Loaded, int, int, int], tuple[LaunchInfo, Record, int]] = {}
        for content in records:
            record = abi.RECORD.unpack(content)
            launch = self._world.launches.get(record[1])
            if launch is None or record[2] >= len(launch.loaded.image.sites):
                continue
            key = (launch.loaded, record[2], record[3], _other_site(record))
            if key in first:
                first[key] = (*first[key][:2], first[key][2] + 1)
            else:
                first[key] = (launch, record, 1)
        counters = self._counters(state, {loaded for loaded, *_ in first})
        racing = {what for launch, record, _ in first.values() for what in _racing(launch, record)}
        for (loaded, site, *_), (launch, record, count) in first.items():
            if record[3] == abi.Reason.SHARED_UNINITIALIZED and _what(loaded, site) in racing:
                continue  # a write comes too late, and what was read instead is carried on: that is told
            self._tell(loaded.image.sites[site], launch, record, count, counters.get((loaded, site)))

    def _counters(
        self, state: ContextState, modules: set[Loaded]
    ) -> dict[tuple[Loaded, int], tuple[int, int, int]]:
        """Read and clear the site counters of modules: count, lowest and highest address by site."""
        found = {}
        for loaded in modules:
            if not (loaded.is_alive and loaded.counters):
                continue
            sites = len(loaded.image.sites)
            nbytes = sites * abi.SITE_COUNTER.size
            memory = (ctypes.c_char * nbytes)()
            try:
                state.driver.download(ctypes.addressof(memory), loaded.counters, nbytes, state.stream)
                state.driver.fill(loaded.counters, 0, nbytes, state.stream)
                state.driver.synchronize_stream(state.stream)
            except DriverError:
                continue  # the context is broken; the records are all there is
            for site, (count, _, lowest, highest) in enumerate(abi.SITE_COUNTER.iter_unpack(memory)):
                if count:
                    found[loaded, site] = (count, ~lowest & 0xFFFFFFFFFFFFFFFF, highest)
        return found

    def _tell(
        self,
        info: SiteInfo,
        launch: LaunchInfo,
        record: Record,
        seen: int,
        counted: tuple[int, int, int] | None,
    ) -> None:
        reason, address = record[3], record[4]
        waiting: tuple[int, ...] = ()
        if reason == abi.Reason.STALL:
            waiting, address, counted = COUNTS.unpack(address.to_bytes(8, "little")), 0, None
        count, lowest, highest = counted or (seen, address, address)
        site = info.site
        loaded = launch.loaded
        if site.root is not None and site.root < len(launch.ranges):
            others = self._bases(launch, site.root)
            # those counted may be of launches that were given other allocations
            lowest = lowest if _is_nearest(launch.ranges[site.root][0], lowest, others) else address
            highest = highest if _is_nearest(launch.ranges[site.root][0], highest, others) else address
        plan = loaded.image.plan_of(site.function)
        other = self._other_info(info, launch, record)
        if other is not None and info.caller != other.caller:
            info, other = _seen_from_kernel(info), _seen_from_kernel(other)
        parameter, base, size = -1, 0, 0
        if site.root is not None and plan is not None and site.root < len(launch.ranges):
            parameter = plan.kernel.roots[site.root].parameter
            base, size = launch.ranges[site.root]
        what = _REASONS.get(abi.Reason(reason), "trap")
        if reason == abi.Reason.OUTSIDE and parameter < 0 and is_host_memory(address):
            what = "host"
        event = launch.event
        self._world.outbox.append(
            KernelReport(
                event.site,
                event.thread,
                event.context,
                event.sequence,
                _access(loaded, info, parameter),
                what,
                address,
                (record[6], record[7], record[8]),
                (record[9], record[10], record[11]),
                max(count, seen),
                min(lowest, address),
                max(highest, address),
                base,
                size,
                loaded.library,
                *self._other(info, other, launch, record),
                waiting,
            )
        )

    def _bases(self, launch: LaunchInfo, root: int) -> set[int]:
        """Return the allocations that launches of the same kernel since then were given for a root."""
        event = launch.event
        return {
            other.ranges[root][0]
            for other in tuple(self._world.launches.values())
            if other.loaded is launch.loaded
            and other.event.function == event.function
            and other.event.sequence > event.sequence
        }

    def _other_info(self, info: SiteInfo, launch: LaunchInfo, record: Record) -> SiteInfo | None:
        """Return the place that an access raced with, or where other threads waited, if there is one."""
        plan = launch.loaded.image.plan_of(info.site.function)
        races = None if plan is None else plan.kernel.races
        number = _other_site(record)
        if races is None or not 0 <= number < len(races.sites):
            return None
        return launch.loaded.image.sites[races.sites[number]]

    def _other(
        self, info: SiteInfo, other: SiteInfo | None, launch: LaunchInfo, record: Record
    ) -> tuple[KernelAccess | None, tuple[int, int, int], tuple[int, int, int], str]:
        """Describe what an access raced with, or where other threads waited: place, block and thread.

        Last comes in which rounds of a loop no barrier is between the two; see KernelReport.
        """
        if other is None:
            return None, (0, 0, 0), (0, 0, 0), "one"
        reason, detail = record[3], record[5]
        plan = launch.loaded.image.plan_of(info.site.function)
        assert plan is not None and plan.kernel.races is not None
        races, number = plan.kernel.races, _other_site(record)
        root = other.site.root
        access = _access(launch.loaded, other, -1 if root is None else plan.kernel.roots[root].parameter)
        if reason not in _RACES:
            thread = _index(detail >> 16, launch.event.block) if reason == abi.Reason.STALL else (0, 0, 0)
            return access, (record[6], record[7], record[8]), thread, "one"
        accessor = decode(detail)
        block = _index(accessor.block, launch.event.grid)
        own = races.sites.index(record[2]) if record[2] in races.sites else -1
        also = [each[2] for each in races.around if {each[0], each[1]} == {own, number}]
        rounds = ("any" if any(also) else "next") if also else "one"
        return access, block, _index(accessor.thread, launch.event.block), rounds


def _is_nearest(base: int, address: int, others: set[int]) -> bool:
    """Tell whether an address in or near some allocations seems to be of the one at ``base``."""
    known = {base, *others}
    return base == max((each for each in known if each <= address), default=min(known))


def _what(loaded: Loaded, site: int) -> tuple[Loaded, str, str, int]:
    """Return the kernel and the variable of a site; where that is not known, its line."""
    info = loaded.image.sites[site]
    if info.site.variable:
        return loaded, info.site.function, info.site.variable, 0
    return loaded, info.site.function, info.file, info.line


def _racing(launch: LaunchInfo, record: Record) -> Iterator[tuple[Loaded, str, str, int]]:
    """Yield what both accesses to shared memory touch that a record says race."""
    if record[3] != abi.Reason.SHARED_RACE:
        return
    loaded = launch.loaded
    yield _what(loaded, record[2])
    plan = loaded.image.plan_of(loaded.image.sites[record[2]].site.function)
    races = None if plan is None else plan.kernel.races
    number = _other_site(record)
    if races is not None and 0 <= number < len(races.sites):
        yield _what(loaded, races.sites[number])


def _other_site(record: Record) -> int:
    """Return the number, among the kernel's race sites, of the other place that a record names, or -1."""
    reason, detail = record[3], record[5]
    if reason in _RACES:
        return decode(detail).site
    if reason == abi.Reason.STALL:
        return detail & 0xFFFF
    return detail if reason == abi.Reason.DIVERGENCE else -1


def _seen_from_kernel(info: SiteInfo) -> SiteInfo:
    """Return a place with the kernel's own line: what lies in two functions has none that is between them."""
    return replace(info, line=info.caller or info.line, caller=0)


def _index(linear: int, extents: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the index of which ``linear`` is the linear form, x fastest."""
    x, y, _ = (*extents, 1, 1, 1)[:3]
    return linear % x, linear // x % y, linear // (x * y)


def _access(loaded: Loaded, info: SiteInfo, parameter: int) -> KernelAccess:
    """Describe a place in a kernel, which accesses through a parameter or (-1) none that is known."""
    site = info.site
    file, line = loaded.source.line(info.file, info.line)
    return KernelAccess(
        site.function,
        file,
        line,
        site.kind,
        site.width,
        site.space,
        parameter,
        site.variable,
        site.variable_size,
        loaded.source.line(info.file, info.caller)[1] if info.caller else 0,
    )
