"""What the host tells of a root: its abi.RANGE in the hidden parameter, and what follows from that."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.builder import at
from pycuda_guard.kernels.ptx.ir import Symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycuda_guard.kernels.analysis.sources import ParameterWord
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.builder import Builder
    from pycuda_guard.kernels.ptx.ir import Register

_WIDTHS = {"base": 8, "size": 8, "shadow": 8, "code": 4, "shift": 4}


@dataclass(slots=True)
class KnownRoot:
    """A root of a kernel: its position in the hidden parameter, and all accesses through it."""

    position: int
    accesses: list[Access] = field(default_factory=list)

    @property
    def narrowest(self) -> int:
        """Width in bytes of the narrowest store or atomic through it, 0 for none."""
        return min((access.width for access in self.accesses if access.writes), default=0)

    @property
    def expected_shift(self) -> int:
        """How many bytes one code stands for, as a power of two, unless other kernels need it finer."""
        return min(max(self.narrowest.bit_length() - 1, 0), 2)


class Range:
    """The range of one root, in registers that are computed where first asked for.

    They are computed in the prologue and kept; or, where ``kept`` is false, at the place where they are
    asked for, each time: outlined code should not keep registers busy everywhere else.
    """

    def __init__(
        self, builder: Builder, word: ParameterWord, parameter: str, root: KnownRoot, kept: bool = True
    ) -> None:
        self._builder = builder
        self._word = word
        self._parameter = parameter
        self._root = root
        self._kept = kept
        self._values: dict[object, Register] = {}

    def here(self) -> Range:
        """Return the same range with registers that are computed at the place of use."""
        return Range(self._builder, self._word, self._parameter, self._root, kept=False)

    @property
    def expected(self) -> int:
        """The granularity of codes, as a shift, if no other kernel needs it finer."""
        return self._root.expected_shift

    @property
    def base(self) -> Register:
        """First address of the allocation."""
        return self._field("base")

    @property
    def size(self) -> Register:
        """Its size in bytes, 0 where the root points into none."""
        return self._field("size")

    @property
    def shadow(self) -> Register:
        """Address of the code of its first byte."""
        return self._field("shadow")

    @property
    def code(self) -> Register:
        """What a write leaves in the shadow, in each of four bytes."""
        return self._field("code")

    @property
    def shift(self) -> Register:
        """How many bytes a code stands for, as a power of two."""
        return self._field("shift")

    def limit(self, span: int, alignment: int = 1) -> Register:
        """Return the offset at and above which ``span`` bytes don't lie in the range any more.

        It is 0, so that no offset is below it, where the range is shorter than that, or where the root
        itself is not a multiple of ``alignment``.
        """
        return self._value((span, alignment), lambda: self._limit(span, alignment))

    def tracked(self, shift: int) -> Register:
        """Return the predicate that codes stand for ``1 << shift`` bytes."""
        return self._value(
            ("tracked", shift), lambda: self._builder.value("setp.eq.u32", "pred", self.shift, shift)
        )

    def _field(self, name: str) -> Register:
        return self._value(name, lambda: self._load(name))

    def _load(self, name: str) -> Register:
        start = abi.HEADER.size + self._root.position * abi.RANGE.size
        bits = 8 * _WIDTHS[name]
        target = self._builder.register(f"b{bits}")
        address = at(Symbol(abi.LAUNCH_PARAMETER), start + abi.RANGE_FIELDS[name])
        self._builder.emit(f"ld.param.b{bits}", target, address)
        return target

    def _limit(self, span: int, alignment: int) -> Register:
        builder = self._builder
        limit = self.size
        if span > 1:
            limit = builder.value("max.u64", "b64", limit, span - 1)
            limit = builder.value("sub.u64", "b64", limit, span - 1)
        if alignment > 1:
            root = builder.register("b64")
            builder.emit("ld.param.b64", root, at(Symbol(self._parameter), self._word.offset))
            low = builder.value("and.b64", "b64", root, alignment - 1)
            aligned = builder.value("setp.eq.u64", "pred", low, 0)
            limit = builder.value("selp.b64", "b64", limit, 0, aligned)
        return limit

    def _value(self, key: object, compute: Callable[[], Register]) -> Register:
        known = self._values.get(key)
        if known is None:
            with self._place():
                known = compute()
            if self._kept:
                self._values[key] = known
        return known

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._kept:
            with self._builder.in_prologue():
                yield
        else:
            yield
