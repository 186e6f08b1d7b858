"""Writes down what has to be shown of a kernel's launches: its accesses, and what decides on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.body import needs_check
from pycuda_guard.kernels.instrument.proofs.model import Demand, Proof
from pycuda_guard.kernels.instrument.proofs.nodes import Nodes
from pycuda_guard.kernels.instrument.proofs.paths import Paths, Place
from pycuda_guard.kernels.instrument.variables import is_aligned, is_certain, is_dynamic, watched_variable
from pycuda_guard.kernels.ptx.ir import (
    Symbol,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.proofs.model import Condition

# Bounds; of a kernel beyond them nothing is shown.
_MOST_INSTRUCTIONS, _MOST_BLOCKS, _MOST_NODES, _MOST_DEMANDS = 4000, 600, 1500, 200


class _Member(NamedTuple):
    """An access at an address: ``alignment`` of the root is enough for it unless it is ``tested``."""

    offset: int
    width: int
    alignment: int
    tested: bool


class _UnprovableError(Exception):
    """Some access can't be shown to be right, whatever the launch."""


def find_proof(frame: Frame, accesses: Iterable[Access]) -> Proof | None:
    """Return what must be shown of a launch for all accesses of a kernel to be right; None if that can't be.

    Takes bounded time, whatever the kernel.
    """
    if len(frame.flat.body) > _MOST_INSTRUCTIONS or not any(needs_check(frame, each) for each in accesses):
        return None
    paths = Paths(frame.flat)
    if paths.has_tables or len(paths.blocks) > _MOST_BLOCKS:
        return None
    try:
        return _Finder(frame, paths).proof()
    except _UnprovableError:
        return None


class _Finder:
    def __init__(self, frame: Frame, paths: Paths) -> None:
        self.frame = frame
        self.paths = paths
        self.nodes = Nodes(frame, paths)
        self.merged: dict[tuple[int, int, tuple[Condition, ...]], list[_Member]] = {}

    def proof(self) -> Proof:
        """Return the proof of the kernel; raises _UnprovableError."""
        for number, block in enumerate(self.paths.blocks):
            for index, instruction in enumerate(block):
                for access in accesses_of(instruction):
                    self.take(access, Place(number, index))
        demands = tuple(
            Demand(
                base,
                node,
                min(member.offset for member in members),
                max(member.offset + member.width for member in members),
                max(member.alignment for member in members),
                tuple(sorted({(member.offset, member.width) for member in members if member.tested})),
                conditions,
            )
            for (base, node, conditions), members in self.merged.items()
        )
        nodes = self.nodes
        return Proof(
            tuple(nodes.found),
            tuple(nodes.rounds.loops),
            demands,
            tuple(nodes.numbers),
            tuple(nodes.sizes),
        )

    def take(self, access: Access, place: Place) -> None:
        """Take in an access; raises _UnprovableError where no launch could show it to be right."""
        frame = self.frame
        variable = watched_variable(frame, access)
        if variable is not None:
            if is_certain(access, variable):
                return
            base = -1 - self.nodes.variable(variable.name, -1 if is_dynamic(variable) else variable.size)
            is_told, alignment = is_aligned(frame, access, variable), 1
        elif needs_check(frame, access):
            root = frame.root_of(access)
            if root is None:
                raise _UnprovableError
            base, is_told = root[0], root[1] % access.width == 0
            alignment = access.width if is_told else 1
        else:
            return
        address = access.address
        offset = address.offset
        if isinstance(address.base, Symbol):
            offset += address.base.offset
            node = self.nodes.node("variable", number=-1 - base)
        else:
            node = self.nodes.value(address.base, place)
        if node in self.nodes.hopeless:
            raise _UnprovableError
        key = (base, node, self.nodes.conditions_of(place.block))
        members = self.merged.setdefault(key, [])
        members.append(_Member(offset, access.width, alignment, not is_told and access.width > 1))
        if len(self.nodes.found) > _MOST_NODES or len(self.merged) > _MOST_DEMANDS:
            raise _UnprovableError
