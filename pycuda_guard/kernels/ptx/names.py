"""Which names stand for registers while a body is read.

PTX writes registers and symbols alike, and inline assembly declares registers such as ``p`` or
``temp`` without a ``%``. A name is a register where an open scope declares it as one; a name that
nothing declares is a register if it starts with ``%``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import Register, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPECIAL_NAMES = """
    %tid %ntid %ctaid %nctaid %laneid %warpid %nwarpid %smid %nsmid %gridid %clusterid %nclusterid
    %cluster_ctaid %cluster_nctaid %cluster_ctarank %cluster_nctarank %is_explicit_cluster
    %lanemask_eq %lanemask_le %lanemask_lt %lanemask_ge %lanemask_gt %clock %clock_hi %clock64
    %globaltimer %globaltimer_lo %globaltimer_hi %total_smem_size %aggr_smem_size %dynamic_smem_size
    %reserved_smem_offset_begin %reserved_smem_offset_end %reserved_smem_offset_cap
    %current_graph_exec WARP_SZ
"""
_SPECIAL = frozenset(_SPECIAL_NAMES.split())
_SPECIAL_NUMBERED = re.compile(r"%(?:envreg\d+|pm\d+(?:_64)?|reserved_smem_offset_\d+)", re.ASCII)
_DIGITS = re.compile(r"\d*$", re.ASCII)


def is_special(name: str) -> bool:
    """Tell whether ``name`` (``%tid.x``, ``%laneid``, ``WARP_SZ``) is a special register."""
    base = name.partition(".")[0]
    return base in _SPECIAL or _SPECIAL_NUMBERED.fullmatch(base) is not None


class Names:
    """The declarations of the open scopes, innermost last."""

    __slots__ = ("_known", "_scopes")

    def __init__(self) -> None:
        # a name → whether it is a register; a range prefix → its count, under "prefix<"
        self._scopes: list[dict[str, int]] = [{}]
        self._known: dict[str, Register | Symbol] = {}

    def open(self) -> None:
        """Enter a scope."""
        self._scopes.append({})

    def close(self) -> None:
        """Leave the innermost scope."""
        if self._scopes.pop():
            self._known.clear()

    def register(self, name: str, count: int | None = None) -> None:
        """Declare a register, or the range ``name0`` … of ``count`` registers."""
        if count is None:
            self._scopes[-1][name] = True
        else:
            self._scopes[-1][name + "<"] = count
        self._known.clear()

    def variable(self, name: str) -> None:
        """Declare a variable."""
        self._scopes[-1][name] = False
        self._known.pop(name, None)

    def resolve(self, name: str) -> Register | Symbol:
        """Return the register or symbol that ``name`` stands for here."""
        found = self._known.get(name)
        if found is None:
            found = Register(name, is_special(name)) if self._is_register(name) else Symbol(name)
            self._known[name] = found
        return found

    def _is_register(self, name: str) -> bool:
        base = name.partition(".")[0]
        ranges = list(_as_members(base))
        for scope in reversed(self._scopes):
            if base in scope:
                return bool(scope[base])
            if any(index < scope.get(prefix, 0) for prefix, index in ranges):
                return True
        return base.startswith("%") or base == "WARP_SZ"


def _as_members(name: str) -> Iterator[tuple[str, int]]:
    """Yield each way to read ``name`` as a member of a range: ``r12`` is in ``r<`` or in ``r1<``."""
    digits = _DIGITS.search(name)
    start = digits.start() if digits else len(name)
    for cut in range(max(start, len(name) - 9), len(name)):
        if name[cut] != "0" or cut == len(name) - 1:
            yield name[:cut] + "<", int(name[cut:])
