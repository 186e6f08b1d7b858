"""LLVM metadata of generated code: what memory accesses may be reordered or run side by side.

Between two suspension points nothing orders the threads of a block, so the loop over them is declared
parallel: its accesses are put in one access group (``llvm.loop.parallel_accesses``). Volatile accesses and
atomic operations stay out of it: LLVM's vectorizer trusts the group and asserts when it meets one there.
``.shared`` and ``.global`` accesses and spilled registers lie apart, which scoped noalias metadata says.
"""

from __future__ import annotations

import re

from llvmlite import ir

from pycuda_guard.cpu.codegen.types import I64
from pycuda_guard.kernels.ptx.ir import Space

_SCOPES = ("global", "shared", "frame")
_SCOPE_OF = {Space.GLOBAL: "global", Space.CONST: "global", Space.SHARED: "shared"}
#: sizes CUDA allows along each axis, which let LLVM prove that indices of threads do not wrap
_LIMITS = {
    "threads": ((1, 1025),),
    "block": ((1, 1025), (1, 1025), (1, 65)),
    "grid": ((1, 1 << 31), (1, 1 << 16), (1, 1 << 16)),
    "block_index": ((0, 1 << 31), (0, 1 << 16), (0, 1 << 16)),
}


class Metadata:
    """Makes and attaches the metadata of one module."""

    def __init__(self, module: ir.Module) -> None:
        self._module = module
        self._loops = 0
        self.empty = module.add_metadata([])
        # llvmlite has no distinct nodes: finish() makes these placeholders distinct
        self.access = module.add_metadata(["pg.access"])
        self._domain = module.add_metadata(["pg.domain"])
        self._parallel = module.add_metadata(["llvm.loop.parallel_accesses", self.access])
        scopes = {name: module.add_metadata([f"pg.scope.{name}", self._domain]) for name in _SCOPES}
        self._alias = {name: module.add_metadata([scope]) for name, scope in scopes.items()}
        self._apart = {
            name: module.add_metadata([other for rest, other in scopes.items() if rest != name])
            for name in _SCOPES
        }
        self._frame_only = module.add_metadata([scopes["frame"]])

    def memory(self, access: ir.Instruction, space: Space, *, volatile: bool, invariant: bool) -> None:
        """Describe a load or a store of a kernel to ``space``."""
        if space is Space.PARAM:
            if invariant:
                self.constant(access)
            return
        scope = _SCOPE_OF.get(space)
        if scope is not None:
            self._scope(access, scope)
        else:
            access.set_metadata("noalias", self._frame_only)
        if volatile:
            return
        access.set_metadata("llvm.access.group", self.access)
        if invariant:
            access.set_metadata("invariant.load", self.empty)

    def frame(self, access: ir.Instruction) -> None:
        """Describe an access to spilled registers, states or exchanged values."""
        self._scope(access, "frame")
        access.set_metadata("llvm.access.group", self.access)

    def constant(self, load: ir.Instruction) -> None:
        """Describe a load of what stays as it is while the kernel runs."""
        load.set_metadata("invariant.load", self.empty)
        # LLVM may sink it into the loop over threads, where one access outside of the group spoils all
        load.set_metadata("llvm.access.group", self.access)

    def field(self, load: ir.Instruction, name: str, index: int) -> None:
        """Describe a load of a field of ``struct pg_block``, which stays as it is while the block runs."""
        self.constant(load)
        if name in _LIMITS:
            low, high = _LIMITS[name][index]
            limits = [ir.Constant(load.type, low), ir.Constant(load.type, high)]
            load.set_metadata("range", self._module.add_metadata(limits))

    def pointee(self, load: ir.Instruction, nbytes: int) -> None:
        """Say that a loaded pointer points to at least ``nbytes`` readable bytes."""
        self.constant(load)
        if nbytes:
            load.set_metadata("dereferenceable", self._module.add_metadata([ir.Constant(I64, nbytes)]))

    def parallel_loop(self, branch: ir.Instruction) -> None:
        """Declare the loop that ``branch`` closes to have no dependences between its iterations."""
        self._loops += 1
        branch.set_metadata(
            "llvm.loop", self._module.add_metadata([f"pg.loop.{self._loops}", self._parallel])
        )

    def _scope(self, access: ir.Instruction, scope: str) -> None:
        access.set_metadata("alias.scope", self._alias[scope])
        access.set_metadata("noalias", self._apart[scope])


_PLACEHOLDER = re.compile(r'^!(\d+) = !\{ !"pg\.(access|domain|scope|loop)[^"]*"(.*)\}$', re.MULTILINE)


def finish(text: str) -> str:
    """Make the placeholder nodes in a module's text distinct, those of loops and scopes self-referring."""

    def distinct(match: re.Match[str]) -> str:
        number, kind, rest = match.groups()
        if kind == "access":
            return f"!{number} = distinct !{{}}"
        return f"!{number} = distinct !{{ !{number}{rest}}}"

    return _PLACEHOLDER.sub(distinct, text)
