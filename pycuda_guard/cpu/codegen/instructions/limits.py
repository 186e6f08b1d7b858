"""What the documentation says of each PTX opcode: made from the tables that the lowering works with.

``python -m pycuda_guard.cpu.codegen.instructions.limits FILE`` writes it into a Markdown file, between the
two marker lines.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pycuda_guard.cpu import generated
from pycuda_guard.cpu.codegen.instructions import SUPPORTED
from pycuda_guard.cpu.codegen.instructions.registry import ENTRIES
from pycuda_guard.kernels.ptx.opcodes import OPCODES

BEGIN = "<!-- generated from pycuda_guard/cpu/codegen/instructions -->"
END = "<!-- end of the instructions -->"

#: opcodes that end a block of instructions, lowered with the control flow, and those that become moves
_WITHOUT_LOWERING = {
    "bra": "",
    "brx": "",
    "call": "of CUDA's runtime vprintf, malloc, free and __assertfail; of its device runtime launches, "
    "streams, events, errors, cudaMalloc and cudaFree",
    "exit": "",
    "ret": "",
    "trap": "",
    "stacksave": "",
    "stackrestore": "",
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
        supported = name in SUPPORTED or name in _WITHOUT_LOWERING
        rows.append(Support(name, opcode.category.value, supported, _limits(name)))
    return sorted(rows, key=lambda row: (row.category, row.opcode))


def _limits(name: str) -> str:
    if name not in ENTRIES:
        return _WITHOUT_LOWERING.get(name, "")
    parts = []
    for kind, sentence in ENTRIES[name].limits.items():
        parts.append(sentence if kind == "any" else f"{kind}: {sentence}")
    return "; ".join(parts)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def markdown() -> str:
    """Return the table of support as Markdown: opcodes by category, and what those that run leave out."""
    rows = support_table()
    lines = ["| kind | runs | is refused |", "| --- | --- | --- |"]
    for category, group in groupby(rows, key=lambda row: row.category):
        members = list(group)
        parts = ([row.opcode for row in members if row.supported is runs] for runs in (True, False))
        lines.append("| " + " | ".join((category, *map(_listed, parts))) + " |")
    lines += ["", "| instruction | limits |", "| --- | --- |"]
    limited: dict[str, list[str]] = {}
    for row in rows:
        if row.limits:
            limited.setdefault(row.limits, []).append(row.opcode)
    lines += [f"| {_listed(names)} | {limits} |" for limits, names in limited.items()]
    return "\n".join(lines) + "\n"


def rewritten(text: str) -> str:
    """Return a Markdown text with what lies between the two marker lines made anew."""
    return generated.rewritten(text, BEGIN, END, markdown())


if __name__ == "__main__":
    _file = Path(sys.argv[1])
    _file.write_text(rewritten(_file.read_text()))
