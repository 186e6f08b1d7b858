"""The proven variant: the kernel without checks of addresses, for launches of which all accesses are right.

What it writes it notes like the others. The place of a code follows from what is added to the root, not from
the address: compilers see then that codes lie one after the other as data do. For that, codes must
stand for as many bytes as expected, and the root at a place where a code begins; the host sees to both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.body import emit_statement, statements
from pycuda_guard.kernels.instrument.builder import at
from pycuda_guard.kernels.instrument.coverage import store_code
from pycuda_guard.kernels.instrument.displacements import Displacements
from pycuda_guard.kernels.instrument.zeros import predicate_of
from pycuda_guard.kernels.ptx.ir import Instruction, Register, Symbol

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame


def emit_proven(frame: Frame) -> None:
    """Emit the body of a kernel in its proven variant."""
    emitter = _Emitter(frame)
    for statement in statements(frame.flat):
        if isinstance(statement, Instruction):
            emitter.emit(statement)
        else:
            emitter.displacements.clear()
            emit_statement(frame, statement)


class _Emitter:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.displacements = Displacements(frame.flat)
        self.starts: dict[int, tuple[Register, Register]] = {}

    def emit(self, instruction: Instruction) -> None:
        """Emit one instruction, and before it a note of what it writes."""
        accesses = accesses_of(instruction)
        for access in accesses:
            root = self.frame.root_of(access)
            if access.writes and root is not None:
                self.note(access, root[0])
        if accesses:
            self.frame.builder.keep(instruction)
        else:
            emit_statement(self.frame, instruction)
        self.displacements.note(instruction)

    def note(self, access: Access, root: int) -> None:
        """Store the code of what an access through a root writes."""
        frame, builder = self.frame, self.frame.builder
        base = access.address.base
        assert isinstance(base, Register)
        known = frame.range_of(root)
        value, start = self.start(root)
        found = self.displacements.sum_of(base)
        builder.mark(access.instruction.source)
        if found is not None and frame.roots[found[0]].position == root:
            distance = Register(found[1])
        else:
            distance = builder.value("sub.s64", "b64", base, value)
        offset, shift = access.address.offset, known.expected
        if offset % (1 << shift):
            distance, offset = builder.value("add.s64", "b64", distance, offset), 0
        if shift:
            distance = builder.value("shr.s64", "b64", distance, shift)
        place = builder.value("add.s64", "b64", start, distance)
        holds = None if access.guard is None else predicate_of(frame, access.guard)
        store_code(frame, place, offset >> shift, access.width, shift, known.code, holds)

    def start(self, root: int) -> tuple[Register, Register]:
        """Return the value of a root, and the place of the code of the byte that it points to."""
        found = self.starts.get(root)
        if found is None:
            frame, builder = self.frame, self.frame.builder
            known = frame.range_of(root)
            word = next(word for word, each in frame.roots.items() if each.position == root)
            parameter = frame.flat.function.parameters[word.position].name
            base, shadow = known.base, known.shadow
            with builder.in_prologue():
                value = builder.register("b64")
                builder.emit("ld.param.b64", value, at(Symbol(parameter), word.offset))
                before = builder.value("sub.s64", "b64", value, base)
                if known.expected:
                    before = builder.value("shr.s64", "b64", before, known.expected)
                start = builder.value("add.s64", "b64", shadow, before)
            found = self.starts[root] = value, start
        return found
