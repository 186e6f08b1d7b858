"""What the documentation says of each PTX opcode: made from the tables that the lowering works with."""

from __future__ import annotations

from dataclasses import dataclass

from pycuda_guard.cpu.codegen.instructions import SUPPORTED
from pycuda_guard.cpu.codegen.instructions.registry import ENTRIES
from pycuda_guard.kernels.ptx.opcodes import OPCODES

#: opcodes that end a block of instructions; they are lowered with the control flow
_CONTROL_FLOW = {
    "bra": "",
    "brx": "",
    "call": "no dynamic parallelism; of CUDA's runtime vprintf, malloc, free and __assertfail",
    "exit": "",
    "ret": "",
    "trap": "",
}


@dataclass(frozen=True, slots=True)
class Support:
    """One row: an opcode, whether the CPU device runs it, and a sentence on what it leaves out."""

    opcode: str
    category: str
    supported: bool
    limits: str


def support_table() -> list[Support]:
    """Return a row for every opcode of the PTX ISA, by category and name."""
    rows = []
    for name, opcode in OPCODES.items():
        supported = name in SUPPORTED or name in _CONTROL_FLOW
        rows.append(Support(name, opcode.category.value, supported, _limits(name)))
    return sorted(rows, key=lambda row: (row.category, row.opcode))


def _limits(name: str) -> str:
    if name not in ENTRIES:
        return _CONTROL_FLOW.get(name, "")
    parts = []
    for kind, sentence in ENTRIES[name].limits.items():
        parts.append(sentence if kind == "any" else f"{kind}: {sentence}")
    return "; ".join(parts)
