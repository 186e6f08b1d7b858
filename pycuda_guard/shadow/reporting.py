"""Turns what kernels reported into events."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from pycuda_guard.events.model import KernelAccess, KernelReport
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.shadow.driver import DriverError

if TYPE_CHECKING:
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
}

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
        first: dict[tuple[Loaded, int, int], tuple[LaunchInfo, Record, int]] = {}
        for content in records:
            record = abi.RECORD.unpack(content)
            launch = self._world.launches.get(record[1])
            if launch is None or record[2] >= len(launch.loaded.image.sites):
                continue
            key = (launch.loaded, record[2], record[3])
            if key in first:
                first[key] = (*first[key][:2], first[key][2] + 1)
            else:
                first[key] = (launch, record, 1)
        counters = self._counters(state, {loaded for loaded, _, _ in first})
        for (loaded, site, _), (launch, record, count) in first.items():
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
        count, lowest, highest = counted or (seen, address, address)
        site = info.site
        loaded = launch.loaded
        plan = loaded.image.plan_of(site.function)
        parameter, base, size = -1, 0, 0
        if site.root is not None and plan is not None and site.root < len(launch.ranges):
            parameter = plan.kernel.roots[site.root].parameter
            base, size = launch.ranges[site.root]
        file, line = loaded.source.line(info.file, info.line)
        access = KernelAccess(
            site.function,
            file,
            line,
            site.kind,
            site.width,
            site.space,
            parameter,
            site.variable,
            site.variable_size,
        )
        self._world.outbox.append(
            KernelReport(
                launch.site,
                launch.thread,
                launch.context,
                launch.sequence,
                access,
                _REASONS.get(abi.Reason(reason), "trap"),
                address,
                (record[6], record[7], record[8]),
                (record[9], record[10], record[11]),
                max(count, seen),
                min(lowest, address),
                max(highest, address),
                base,
                size,
                loaded.library,
            )
        )
