"""What the code generator cannot lower, said so that the user finds the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import Instruction


class Unsupported(GuardError):  # noqa: N818 (a state of the input, not of the program)
    """PTX that is right, but that the CPU device cannot run.

    ``instruction`` is the text of the instruction (empty where the trouble is none of an instruction's),
    ``ptx_line`` its line in the PTX text and ``source_line`` the line of the kernel's source it came from
    (0 where unknown).
    """

    def __init__(self, reason: str, instruction: Instruction | None = None) -> None:
        self.reason = reason
        self.instruction = "" if instruction is None else describe(instruction)
        self.ptx_line = instruction.span.line if instruction is not None and instruction.span else 0
        self.source_line = instruction.source.line if instruction is not None and instruction.source else 0
        super().__init__(self._text())

    def _text(self) -> str:
        if not self.instruction:
            return self.reason
        places = []
        if self.source_line:
            places.append(f"kernel line {self.source_line}")
        if self.ptx_line:
            places.append(f"PTX line {self.ptx_line}")
        place = f" ({', '.join(places)})" if places else ""
        return f"{self.reason}: `{self.instruction}`{place}"


def describe(instruction: Instruction) -> str:
    """Return the opcode with its modifiers, as PTX spells it."""
    return ".".join((instruction.opcode, *instruction.modifiers))
