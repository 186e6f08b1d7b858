"""The checks of a group's accesses, folded into one predicate.

Accesses from one base register by several constant offsets share a check of the span between the first
byte and the last; where that fails, each is checked alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.variables import (
    is_aligned,
    is_certain,
    is_dynamic,
    is_wide,
    start_of,
    watched_variable,
)
from pycuda_guard.kernels.ptx.ir import Negated, Register

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import Guard, Operand, Variable


@dataclass(slots=True)
class Span:
    """Accesses from one base register under one guard, to one allocation or variable.

    ``low`` and ``high`` are the first byte and the one after the last, as offsets from the base;
    ``offset`` is, once the check is emitted, the register with the offset of ``low`` in the allocation,
    ``codes`` those with the address of its code, for each granularity of codes.
    """

    base: Register
    guard: Guard | None
    root: int | None
    variable: Variable | None
    accesses: list[Access] = field(default_factory=list)
    offset: Register | None = None
    codes: dict[int, Register] = field(default_factory=dict)

    @property
    def low(self) -> int:
        """Offset of the first byte from the base."""
        return min(access.address.offset for access in self.accesses)

    @property
    def high(self) -> int:
        """Offset of the byte after the last from the base."""
        return max(access.address.offset + access.width for access in self.accesses)


class GroupChecks:
    """Collects what a group's accesses need, and emits it."""

    def __init__(self, frame: Frame, accesses: list[Access]) -> None:
        self.frame = frame
        self.spans: dict[object, Span] = {}
        self.by_access: dict[int, Span] = {}
        self._holds: Register | None = None
        for access in accesses:
            self._add(access)

    def _add(self, access: Access) -> None:
        variable = watched_variable(self.frame, access)
        base = access.address.base
        if variable is not None and is_certain(access, variable):
            return
        if not isinstance(base, Register):
            raise TypeError("an access of a group has a register for its base")
        root = self.frame.root_of(access)
        position = root[0] if root else None
        key = (base, access.guard, position, variable and variable.name, access.space)
        span = self.spans.setdefault(key, Span(base, access.guard, position, variable))
        span.accesses.append(access)
        self.by_access[id(access.instruction)] = span

    def emit(self) -> Register | None:
        """Emit all checks; return the predicate that all accesses are good, None where that is certain."""
        for span in self.spans.values():
            if span.root is not None:
                self._check_range(span, span.root)
            elif span.variable is not None:
                self._check_variable(span, span.variable)
        return self._holds

    def _check_range(self, span: Span, root: int) -> None:
        frame = self.frame
        builder = frame.builder
        known = frame.range_of(root)
        span.offset = builder.value("sub.u64", "b64", span.base, known.base)
        if span.low:
            span.offset = builder.value("add.u64", "b64", span.offset, span.low)
        certain, tested = 1, set()
        for access in span.accesses:
            found = frame.root_of(access)
            if found and found[1] % access.width == 0:
                certain = max(certain, access.width)
            elif access.width > 1:
                tested.add((access.address.offset % access.width, access.width))
        limit = known.limit(span.high - span.low, certain)
        self._and(span, "lt.u64", span.offset, limit)
        for remainder, width in sorted(tested):
            address = builder.value("add.u64", "b64", span.base, remainder) if remainder else span.base
            low = builder.value("and.b64", "b64", address, width - 1)
            self._and(span, "eq.u64", low, 0)

    def _check_variable(self, span: Span, variable: Variable) -> None:
        frame = self.frame
        builder = frame.builder
        first = span.accesses[0]
        bits = 64 if is_wide(frame, first) else 32
        start = start_of(frame, first, variable, bits)
        offset = builder.value(f"sub.u{bits}", f"b{bits}", span.base, start)
        if span.low:
            offset = builder.value(f"add.u{bits}", f"b{bits}", offset, span.low)
        extent = span.high - span.low
        limit: Operand | int = max(variable.size - extent + 1, 0)
        if is_dynamic(variable):
            limit = frame.dynamic_limit(extent, bits)
        self._and(span, f"lt.u{bits}", offset, limit)
        tested = {
            ((access.address.offset - span.low) % access.width, access.width)
            for access in span.accesses
            if not is_aligned(frame, access, variable)
        }
        for remainder, width in sorted(tested):
            place = builder.value(f"add.u{bits}", f"b{bits}", offset, remainder) if remainder else offset
            low = builder.value(f"and.b{bits}", f"b{bits}", place, width - 1)
            self._and(span, f"eq.u{bits}", low, 0)

    def _and(self, span: Span, relation: str, left: Operand, right: Operand | int) -> None:
        """Take in a condition on the accesses of a span, which counts where their guard holds."""
        builder = self.frame.builder
        if span.guard is not None:
            register = Register(span.guard.register)
            off: Operand = register if span.guard.negated else Negated(register)
            comparison, kind = relation.split(".")
            self._and_predicate(builder.value(f"setp.{comparison}.or.{kind}", "pred", left, right, off))
        elif self._holds is None:
            self._holds = builder.value(f"setp.{relation}", "pred", left, right)
        else:
            comparison, kind = relation.split(".")
            self._holds = builder.value(f"setp.{comparison}.and.{kind}", "pred", left, right, self._holds)

    def _and_predicate(self, predicate: Register) -> None:
        if self._holds is None:
            self._holds = predicate
        else:
            self._holds = self.frame.builder.value("and.pred", "pred", self._holds, predicate)
