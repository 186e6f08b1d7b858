"""The checks of a group's accesses, folded into one predicate.

Accesses from one base register by several constant offsets share a check of the span between the first
byte and the last. Spans whose bases are one number added to several roots share one, too; of spans whose
bases are steps from one another, the first and the last are checked. Where a check fails, each access is
checked alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.instrument.bounds import Bound, Reach
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
    from collections.abc import Iterator

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.displacements import Displacements
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


class _Extent(NamedTuple):
    """What of a span's allocation is to be checked around its base, as offsets from that."""

    span: Span
    low: int
    high: int


class GroupChecks:
    """Collects what a group's accesses need, and emits it."""

    def __init__(self, frame: Frame, displacements: Displacements, accesses: list[Access]) -> None:
        self.frame = frame
        self.displacements = displacements
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
        for extents in self._joined(self._extents()):
            self._check_extents(extents)
        for span in self.spans.values():
            if span.root is not None:
                self._finish_range(span, span.root)
            elif span.variable is not None:
                self._check_variable(span, span.variable)
        return self._holds

    def _extents(self) -> list[_Extent]:
        """Return what is to be checked: spans, but of those that are steps apart the first and the last.

        What lies between two addresses of an allocation is in it, however far they are apart.
        """
        found: list[_Extent] = []
        chains: dict[object, list[tuple[int, Span]]] = {}
        starts: dict[object, list[tuple[int, Span]]] = {}
        spans = [span for span in self.spans.values() if span.root is not None]
        for span in spans:
            step = self.displacements.step_of(span.base)
            if step.times and not _tested(self.frame, span):
                chain = chains.setdefault((step.first, step.step, span.guard, span.root), [])
                chain.append((step.times, span))
                starts.setdefault((step.first, span.guard, span.root), chain)
        in_chains = {id(span) for chain in chains.values() for _, span in chain}
        for span in spans:
            if id(span) in in_chains:
                continue
            start = starts.get((span.base.name, span.guard, span.root))
            if start is None or _tested(self.frame, span):
                found.append(_Extent(span, span.low, span.high))
            else:
                start.append((0, span))
        for steps in chains.values():
            members = [span for _, span in sorted(steps, key=lambda entry: entry[0])]
            low, high = min(span.low for span in members), max(span.high for span in members)
            if len(members) > 2:
                found += [_Extent(span, low, high) for span in (members[0], members[-1])]
            else:
                found += [_Extent(span, span.low, span.high) for span in members]
        return found

    def _joined(self, extents: list[_Extent]) -> Iterator[list[_Extent]]:
        """Yield lists of extents that are at the same number from their roots."""
        found: dict[object, list[_Extent]] = {}
        for extent in extents:
            span = extent.span
            known = self.displacements.sum_of(span.base)
            root = self.frame.roots.get(known[0]) if known else None
            is_same = root is not None and root.position == span.root
            key = (known[1], span.guard) if known and is_same else id(span)
            found.setdefault(key, []).append(extent)
        yield from found.values()

    def _check_extents(self, extents: list[_Extent]) -> None:
        """Check extents that are at the same number from their roots."""
        frame = self.frame
        builder = frame.builder
        span = extents[0].span
        reaches = tuple(
            Reach(extent.span.root or 0, extent.low, extent.high, _certain(frame, extent.span))
            for extent in extents
        )
        known = self.displacements.sum_of(span.base) if len(extents) > 1 else None
        bounded = frame.bounded(Bound(reaches, known is not None))
        if bounded is not None:
            low, limit = bounded
            place = builder.value("sub.u64", "b64", Register(known[1]) if known else span.base, low)
            self._and(span, "lt.u64", place, limit)
            if known is None and extents[0].low == span.low:
                span.offset = place
            return
        for extent in extents:
            span = extent.span
            root = frame.range_of(span.root or 0)
            offset = builder.value("sub.u64", "b64", span.base, root.base)
            if extent.low:
                offset = builder.value("add.u64", "b64", offset, extent.low)
            self._and(span, "lt.u64", offset, root.limit(extent.high - extent.low, _certain(frame, span)))

    def _finish_range(self, span: Span, root: int) -> None:
        """Check what is left of a span: alignment that the root does not tell. Find where it writes."""
        builder = self.frame.builder
        for remainder, width in sorted(_tested(self.frame, span)):
            address = builder.value("add.u64", "b64", span.base, remainder) if remainder else span.base
            low = builder.value("and.b64", "b64", address, width - 1)
            self._and(span, "eq.u64", low, 0)
        if span.offset is None and any(access.writes for access in span.accesses):
            span.offset = builder.value("sub.u64", "b64", span.base, self.frame.range_of(root).base)
            if span.low:
                span.offset = builder.value("add.u64", "b64", span.offset, span.low)

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


def _certain(frame: Frame, span: Span) -> int:
    """Return what a span's root must be a multiple of so that accesses are aligned."""
    widths = [1]
    for access in span.accesses:
        found = frame.root_of(access)
        if found and found[1] % access.width == 0:
            widths.append(access.width)
    return max(widths)


def _tested(frame: Frame, span: Span) -> set[tuple[int, int]]:
    """Return the offsets from the base that are to be tested for alignment, and to what."""
    tested = set()
    for access in span.accesses:
        found = frame.root_of(access)
        if access.width > 1 and not (found and found[1] % access.width == 0):
            tested.add((access.address.offset % access.width, access.width))
    return tested
