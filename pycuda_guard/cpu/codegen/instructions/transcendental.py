"""The approximations of a GPU's special function unit, for which the host's libm stands in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.instructions.floating import Operation
from pycuda_guard.cpu.codegen.instructions.half import unary
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, kind_of, lowers
from pycuda_guard.cpu.codegen.instructions.values import intrinsic, runtime
from pycuda_guard.cpu.codegen.types import FLOAT

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction

_INTRINSICS = {"sin": "sin", "cos": "cos", "lg2": "log2", "ex2": "exp2"}


def _function(e: Emitter, opcode: str, value: ir.Value) -> ir.Value:
    if opcode == "tanh":
        return runtime(e, "tanhf", FLOAT, [value])
    return intrinsic(e, _INTRINSICS[opcode], value)


@lowers(
    "sin",
    "cos",
    "lg2",
    "ex2",
    "tanh",
    limits="the host's libm, more precise than a GPU's unit, above all for large angles",
)
def transcendental(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``sin``, ``cos``, ``lg2``, ``ex2``, ``tanh`` of f32; ``ex2`` and ``tanh`` of 16-bit formats too."""
    if kind_of(i) == "half":
        return unary(e, i, m, lambda value: _function(e, i.opcode, value))
    operation = Operation(e, i, m)
    if operation.kind != "f32" or not operation.approximate:
        e.unsupported("anything but .approx.f32")
    (value,) = operation.inputs()
    return operation.output(_function(e, i.opcode, value))
