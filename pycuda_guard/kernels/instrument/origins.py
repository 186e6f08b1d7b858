"""Where uninitialized bits were loaded, kept at run time for reports of their use.

All registers between which bits may travel share one origin: the last load that brought any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.builder import is_true

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.taint import Taint
    from pycuda_guard.kernels.ptx.ir import Operand, Register


@dataclass(frozen=True, slots=True)
class Origin:
    """Registers with what a report says: number of the load's site, abi.Reason, address."""

    site: Register
    reason: Register
    address: Register


class Origins:
    """The origins of one function's registers."""

    def __init__(self, frame: Frame, taint: Taint) -> None:
        self.frame = frame
        self.taint = taint
        self._groups: dict[str, Origin] = {}

    def of(self, name: str, site: int = 0, reason: abi.Reason = abi.Reason.UNINITIALIZED) -> Origin:
        """Return the origin of a register's group.

        Where it is first asked for, which is at a load, ``site`` and ``reason`` are those of that load:
        they hold for bits that came from another thread. Their address is 0, unknown.
        """
        group = self.taint.group(name)
        known = self._groups.get(group)
        if known is None:
            builder = self.frame.builder
            with builder.in_prologue():
                known = self._groups[group] = Origin(
                    builder.value("mov.b32", "b32", site),
                    builder.value("mov.b32", "b32", int(reason)),
                    builder.value("mov.b64", "b64", 0),
                )
        return known

    def note(self, name: str, found: Register, site: int, reason: abi.Reason, address: Operand | int) -> None:
        """Emit: where the predicate ``found`` holds, a load with a site brought bits into a register."""
        origin = self.of(name, site, reason)
        builder = self.frame.builder
        for target, value in ((origin.site, site), (origin.reason, int(reason)), (origin.address, address)):
            kind = "b64" if target == origin.address else "b32"
            builder.emit(f"mov.{kind}", target, value, guard=is_true(found))

    def report(self, name: str, used: Register, use: int) -> None:
        """Emit a report where the predicate ``used`` holds; ``use`` is the number of the use's site."""
        origin = self.of(name)
        builder = self.frame.builder
        slow, following = builder.label(), builder.label()
        builder.branch(slow, is_true(used))
        builder.place_label(following)
        with builder.outlined():
            builder.place_label(slow)
            reports.call_report(self.frame, origin.site, origin.reason, origin.address, use)
            builder.branch(following)

    def report_here(self, used: Register, site: int, reason: abi.Reason, address: Operand | int) -> None:
        """Emit a report, where the predicate ``used`` holds, of a load and use in one."""
        builder = self.frame.builder
        slow, following = builder.label(), builder.label()
        builder.branch(slow, is_true(used))
        builder.place_label(following)
        with builder.outlined():
            builder.place_label(slow)
            reports.call_report(self.frame, site, int(reason), address, site)
            builder.branch(following)
