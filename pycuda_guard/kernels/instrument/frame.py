"""One function while it is instrumented: its builder, where addresses come from, what the host told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.provenance import Provenance, find_provenance
from pycuda_guard.kernels.analysis.sources import ParameterWord, VariableAddress
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.builder import Builder, at
from pycuda_guard.kernels.instrument.ranges import Range
from pycuda_guard.kernels.ptx.ir import Immediate, Register, Space, Symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.bounds import Bound
    from pycuda_guard.kernels.instrument.ranges import KnownRoot
    from pycuda_guard.kernels.instrument.sites import Sites
    from pycuda_guard.kernels.ptx.ir import Address, FlatFunction, Variable

_WIDTHS = {"reports": 8, "table": 8, "entries": 4, "launch": 4, "flags": 4, "dynamic": 4}


class Frame:
    """The function ``flat`` in the making.

    ``is_guarded`` tells which device functions have instrumented copies.
    ``is_short_of_stack``: ptxas can't tell how deep calls go, so the stack is as large as the program asked
    for. ``roots`` has the words of the parameters that it knows the ranges of. ``bounds`` are those that
    the host has to compute, ``most_bounds`` at most. ``copies``: new registers that have what these of the
    program will have.
    Registers that hold what the host told are loaded in the prologue, once, where first asked for.
    """

    def __init__(
        self,
        flat: FlatFunction,
        name: str,
        sites: Sites,
        roots: Mapping[ParameterWord, KnownRoot],
        variables: Mapping[str, Variable],
        is_guarded: Callable[[str], bool],
        provenance: Provenance | None = None,
        is_short_of_stack: bool = False,
        most_bounds: int = 0,
    ) -> None:
        self.flat = flat
        self.name = name
        self.sites = sites
        self.roots = roots
        self.variables = variables
        self.is_guarded = is_guarded
        self.is_short_of_stack = is_short_of_stack
        self.builder = Builder(flat)
        self.provenance = provenance or find_provenance(flat)
        self.copies: dict[str, str] = {}
        self.bounds: list[Bound] = []
        self._most_bounds = most_bounds
        self._bounded: dict[Bound, tuple[Register, Register]] = {}
        self._ranges: dict[int, Range] = {}
        self._dynamic: dict[tuple[int, int], Register] = {}

    # --- what the host told ---------------------------------------------------------------------------

    def header(self, name: str) -> Register:
        """Load a field of the header here, and return the register."""
        width = _WIDTHS[name]
        target = self.builder.register(f"b{8 * width}")
        address = at(Symbol(abi.LAUNCH_PARAMETER), abi.HEADER_FIELDS[name])
        self.builder.emit(f"ld.param.b{8 * width}", target, address)
        return target

    def range_of(self, root: int) -> Range:
        """Return the range of a root by its position; its registers are computed here in outlined code."""
        known = self._ranges.get(root)
        if known is None:
            word = next(each for each, known_root in self.roots.items() if known_root.position == root)
            parameter = self.flat.function.parameters[word.position].name
            known = self._ranges[root] = Range(self.builder, word, parameter, self.roots[word])
        return known.here() if self.builder.is_outlined else known

    def bounded(self, bound: Bound) -> tuple[Register, Register] | None:
        """Return the registers with a bound's ``low`` and ``extent``; None where there is no room for it."""
        known = self._bounded.get(bound)
        if known is None and len(self.bounds) < self._most_bounds:
            place = abi.HEADER.size + len(self.roots) * abi.RANGE.size + len(self.bounds) * abi.BOUND.size
            self.bounds.append(bound)
            known = self.builder.register("b64"), self.builder.register("b64")
            with self.builder.in_prologue():
                for index, target in enumerate(known):
                    address = at(Symbol(abi.LAUNCH_PARAMETER), place + 8 * index)
                    self.builder.emit("ld.param.b64", target, address)
            self._bounded[bound] = known
        return known

    def dynamic_limit(self, width: int, bits: int) -> Register:
        """Return the offset at and above which ``width`` bytes don't lie in dynamic shared memory.

        It is in a register of 32 or 64 bits, as asked for.
        """
        if self.builder.is_outlined:
            return self._dynamic_limit(width, bits)
        limit = self._dynamic.get((width, bits))
        if limit is None:
            with self.builder.in_prologue():
                limit = self._dynamic[width, bits] = self._dynamic_limit(width, bits)
        return limit

    def _dynamic_limit(self, width: int, bits: int) -> Register:
        largest = self.builder.value("max.u32", "b32", self.header("dynamic"), width - 1)
        limit = self.builder.value("sub.u32", "b32", largest, width - 1)
        return self.builder.value("cvt.u64.u32", "b64", limit) if bits == 64 else limit

    # --- addresses --------------------------------------------------------------------------------------

    def root_of(self, access: Access) -> tuple[int, int] | None:
        """Return the position of an access's root and the alignment of what is added to that, or None."""
        if access.space not in (Space.GLOBAL, Space.GENERIC):
            return None
        address = access.address
        if isinstance(address.base, Register) and address.base.name in self.copies:
            address = replace(address, base=Register(self.copies[address.base.name]))
        origin = self.provenance.origin(address)
        if origin is None or not isinstance(origin.source, ParameterWord):
            return None
        known = self.roots.get(origin.source)
        return None if known is None else (known.position, origin.alignment)

    def variable_of(self, access: Access) -> Variable | None:
        """Return the variable that an access's address comes from, or None."""
        origin = self.provenance.origin(access.address)
        if origin is None or not isinstance(origin.source, VariableAddress):
            return None
        name = origin.source.name
        return self.flat.variables.get(name) or self.variables.get(name)

    def address(self, address: Address) -> Register:
        """Return a register with an address of 64 bits, offset included, computed here."""
        base = address.base
        if isinstance(base, Register):
            return self.builder.value("add.u64", "b64", base, address.offset) if address.offset else base
        if isinstance(base, Immediate):
            return self.builder.value("mov.u64", "b64", base.value + address.offset)
        symbol = self.builder.value("mov.u64", "b64", Symbol(base.name))
        offset = base.offset + address.offset
        return self.builder.value("add.u64", "b64", symbol, offset) if offset else symbol
