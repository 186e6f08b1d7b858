"""The NaN that a GPU's f32 arithmetic gives, put in place of the processor's only where it can be seen.

A GPU's result that is NaN is 0x7fffffff; the host's is another. To replace it in each result would make a
loop that adds up half as fast again, and only what reads the bits of a number can tell: stores, moves to
integers, shuffles. So registers that hold nothing but results of f32 arithmetic keep the host's NaN
(*unsettled* registers), and reading them as anything but an f32 replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.instructions.values import integer
from pycuda_guard.cpu.codegen.types import FLOAT
from pycuda_guard.kernels.ptx import opcodes
from pycuda_guard.kernels.ptx.ir import Immediate, Instruction, Register

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.kernels.ptx.ir import FlatFunction

CANONICAL_NAN = 0x7FFF_FFFF

_INFINITY = 0x7F80_0000
_WORDS = frozenset({"f32", "b32"})
_COPIES = {"mov": (1,), "selp": (1, 2)}  # opcode → operands that a register is copied from
_OPERATIONS = ("add", "sub", "mul", "fma", "mad", "div", "rcp", "sqrt", "rsqrt", "min", "max", "abs", "neg")
_FUNCTIONS = ("sin", "cos", "lg2", "ex2", "tanh")
_ARITHMETIC = frozenset((*_OPERATIONS, *_FUNCTIONS))


def settled(builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """Return an f32's bits (``i32``) with the GPU's NaN for any NaN.

    The choice is one between integers: between numbers, LLVM thinks all NaNs alike and drops it.
    """
    number = builder.bitcast(bits, FLOAT)
    is_nan = builder.fcmp_unordered("uno", number, number)
    return builder.select(is_nan, integer(32, CANONICAL_NAN), bits)


def unsettled_registers(flat: FlatFunction) -> frozenset[str]:
    """Return the registers that only f32 arithmetic and copies of its results write."""
    copies: dict[str, set[str]] = {}  # register → what is copied into it
    found: set[str] = set()
    others: set[str] = set()
    for statement in flat.body:
        if not isinstance(statement, Instruction):
            continue
        names = opcodes.definitions(statement)
        sources = _copied(statement)
        if _is_arithmetic(statement):
            found.update(names)
        elif sources is not None:
            found.update(names)
            for name in names:
                copies.setdefault(name, set()).update(sources)
        else:
            others.update(names)
    found -= others
    found -= {name for name in found if flat.registers.get(name) not in _WORDS}
    while wrong := {name for name in found if not copies.get(name, set()) <= found}:
        found -= wrong
    return frozenset(found)


def _is_arithmetic(instruction: Instruction) -> bool:
    """Whether an instruction's result is an f32 whose NaN may be replaced."""
    modifiers = instruction.modifiers
    if instruction.opcode == "cvt":  # of f64 and bf16 it keeps a NaN's bits
        return "f32" in modifiers[:-1] and not {"f64", "bf16", "pack"} & set(modifiers)
    return instruction.opcode in _ARITHMETIC and "f32" in modifiers


def _copied(instruction: Instruction) -> set[str] | None:
    """Return the registers that an instruction copies; None if it does anything else."""
    places = _COPIES.get(instruction.opcode)
    if places is None or _WORDS.isdisjoint(instruction.modifiers):
        return None
    sources = set()
    for place in places:
        operand = instruction.operands[place]
        if isinstance(operand, Register) and not operand.special:
            sources.add(operand.name)
        elif not isinstance(operand, Immediate) or _is_other_nan(operand.value):
            return None
    return sources


def _is_other_nan(bits: int) -> bool:
    return bits & 0x7FFF_FFFF > _INFINITY and bits != CANONICAL_NAN
