"""Where uninitialized bits were loaded, kept at run time for reports of their use.

All registers between which bits may travel share one origin: the last load that brought any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.builder import is_true
from pycuda_guard.kernels.instrument.model import Site
from pycuda_guard.kernels.instrument.variables import watched_variable
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.taint import Taint
    from pycuda_guard.kernels.ptx.ir import Register


@dataclass(frozen=True, slots=True)
class Origin:
    """Registers with what a report says: number of the load's site, abi.Reason, address."""

    site: Register
    reason: Register
    address: Register


class Origins:
    """The origins of one function's registers."""

    def __init__(self, frame: Frame, taint: Taint, loads: Iterable[tuple[Access, bool]]) -> None:
        """Begin; ``loads`` has the accesses that may bring such bits, and whether from shared memory.

        What came from another thread was brought by the first load of the group, at an address that is
        not known: 0.
        """
        self.frame = frame
        self.taint = taint
        self._groups: dict[str, Origin] = {}
        builder = frame.builder
        for access, shared in loads:
            reason = abi.Reason.SHARED_UNINITIALIZED if shared else abi.Reason.UNINITIALIZED
            for name in access.destinations:
                group = taint.group(name)
                if name in taint.states and group not in self._groups:
                    site = load_site(frame, access, shared)
                    with builder.in_prologue():
                        self._groups[group] = Origin(
                            builder.value("mov.b32", "b32", site),
                            builder.value("mov.b32", "b32", int(reason)),
                            builder.value("mov.b64", "b64", 0),
                        )

    def of(self, name: str) -> Origin:
        """Return the origin of a register's group."""
        return self._groups[self.taint.group(name)]

    def note(self, name: str, found: Register, access: Access, address: Register) -> None:
        """Emit: where the predicate ``found`` holds, a load of global memory brought bits into a register."""
        origin = self.of(name)
        emit, guard = self.frame.builder.emit, is_true(found)
        emit("mov.b32", origin.site, load_site(self.frame, access, False), guard=guard)
        emit("mov.b32", origin.reason, int(abi.Reason.UNINITIALIZED), guard=guard)
        emit("mov.b64", origin.address, address, guard=guard)

    def report(self, name: str, used: Register, use: int) -> None:
        """Emit a report where the predicate ``used`` holds; ``use`` is the number of the use's site."""
        origin = self.of(name)
        builder = self.frame.builder
        with builder.rarely(is_true(used)):
            reports.call_report(self.frame, origin.site, origin.reason, origin.address, use)

    def report_atomic(self, used: Register, access: Access, address: Register) -> None:
        """Emit a report, where the predicate ``used`` holds, of an atomic operation on global memory."""
        builder = self.frame.builder
        with builder.rarely(is_true(used)):
            site = load_site(self.frame, access, False)
            reports.call_report(self.frame, site, int(abi.Reason.UNINITIALIZED), address, site)


def load_site(frame: Frame, access: Access, shared: bool) -> int:
    """Return the number of the site that says where uninitialized bits were loaded."""
    root = frame.root_of(access)
    variable = watched_variable(frame, access) if shared else None
    name, size = (variable.name, variable.size) if variable is not None else ("", 0)
    space = Space.SHARED if shared else access.space
    source = access.instruction.source
    position = root[0] if root is not None and not shared else None
    site = Site(frame.name, "use", access.width, space.value, source, position, name, size)
    return frame.sites.number(access.instruction, site)
