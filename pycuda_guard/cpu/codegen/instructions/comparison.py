"""Comparisons and selections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.floating import flush
from pycuda_guard.cpu.codegen.instructions.moves import is_unsettled, read_unsettled
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.values import number
from pycuda_guard.cpu.codegen.types import FLOAT, is_float, is_signed, value_type
from pycuda_guard.kernels.ptx.ir import Pair

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_SYMBOLS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_UNSIGNED = {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
_UNORDERED = {f"{name}u": symbol for name, symbol in _SYMBOLS.items()}
_OPERATORS = (*_SYMBOLS, *_UNSIGNED, *_UNORDERED, "num", "nan")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison operator of ``setp`` or ``set``, ready to be applied."""

    emitter: Emitter
    operator: str

    def floats(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Compare floating-point numbers; NaN makes ordered comparisons false and ``…u`` ones true."""
        builder, operator = self.emitter.builder, self.operator
        if operator in ("num", "nan"):
            return builder.fcmp_ordered("ord" if operator == "num" else "uno", a, b)
        if operator in _UNORDERED:
            return builder.fcmp_unordered(_UNORDERED[operator], a, b)
        if operator not in _SYMBOLS:
            self.emitter.unsupported(f"comparison .{operator} of floating-point numbers")
        return builder.fcmp_ordered(_SYMBOLS[operator], a, b)

    def integers(self, a: ir.Value, b: ir.Value, signed: bool) -> ir.Value:
        """Compare integers."""
        builder, operator = self.emitter.builder, self.operator
        if operator in _UNSIGNED:
            return builder.icmp_unsigned(_UNSIGNED[operator], a, b)
        if operator not in _SYMBOLS:
            self.emitter.unsupported(f"comparison .{operator} of integers")
        return (builder.icmp_signed if signed else builder.icmp_unsigned)(_SYMBOLS[operator], a, b)


def compare(e: Emitter, m: Modifiers) -> Comparison:
    """Take the comparison operator."""
    return Comparison(e, m.one_of(*_OPERATORS))


def combined(e: Emitter, boolean: str, result: ir.Value, other: ir.Value | None) -> ir.Value:
    """Combine a comparison's result with the boolean operand (``none``: there is none)."""
    if other is None:
        return result
    return {"and": e.builder.and_, "or": e.builder.or_, "xor": e.builder.xor}[boolean](result, other)


def destinations(operand: Operand) -> tuple[Operand, ...]:
    """Return ``p`` or ``p|q`` as a tuple."""
    return (operand.first, operand.second) if isinstance(operand, Pair) else (operand,)


def _outcome(e: Emitter, i: Instruction, m: Modifiers, test: Comparison, kind: str) -> ir.Value:
    a, b = (e.read(operand, kind) for operand in i.operands[1:3])
    if not is_float(kind):
        return test.integers(a, b, is_signed(kind))
    if m.flag("ftz"):
        a, b = flush(e, a), flush(e, b)
    return test.floats(a, b)


@lowers("setp")
def set_predicate(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``setp``: ``p|q`` are the comparison and its opposite, each combined with the boolean operand."""
    test = compare(e, m)
    boolean = m.one_of("and", "or", "xor", default="none")
    result = _outcome(e, i, m, test, m.type())
    other = e.read(i.operands[3], "pred") if boolean != "none" else None
    first, *opposite = destinations(i.operands[0])
    e.write(first, combined(e, boolean, result, other), "pred")
    for destination in opposite:
        e.write(destination, combined(e, boolean, e.builder.not_(result), other), "pred")


@lowers("set")
def set_value(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``set``: 1.0 or all bits set where the comparison holds, else 0."""
    test = compare(e, m)
    boolean = m.one_of("and", "or", "xor", default="none")
    target, source = m.types(2)
    result = _outcome(e, i, m, test, source)
    other = e.read(i.operands[3], "pred") if boolean != "none" else None
    result = combined(e, boolean, result, other)
    if target == "f32":
        value = e.builder.uitofp(result, FLOAT)
    elif is_float(target):
        e.unsupported(f"result type .{target}")
    else:
        value = e.builder.sext(result, value_type(target))
    e.write(i.operands[0], value, target)


@lowers("selp")
def select(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``selp``: a if the predicate holds, else b."""
    kind, destination = m.type(), i.operands[0]
    if is_unsettled(e, destination):
        a, b = (read_unsettled(e, operand, kind) for operand in i.operands[1:3])
        kind = "f32"
    else:
        a, b = (e.read(operand, kind) for operand in i.operands[1:3])
    e.write(destination, e.builder.select(e.read(i.operands[3], "pred"), a, b), kind)


@lowers("slct")
def select_by_sign(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``slct``: a if c is zero or more (-0 is, NaN is not), else b."""
    flushes = m.flag("ftz")
    kind, chooser_kind = m.types(2)
    if chooser_kind not in ("s32", "f32"):
        e.unsupported(f"selecting by a type .{chooser_kind}")
    chooser = e.read(i.operands[3], chooser_kind)
    if chooser_kind == "s32":
        holds = e.builder.icmp_signed(">=", chooser, number(chooser, 0))
    else:
        chooser = flush(e, chooser) if flushes else chooser
        holds = e.builder.fcmp_ordered(">=", chooser, ir.Constant(FLOAT, 0.0))
    a, b = (e.read(operand, kind) for operand in i.operands[1:3])
    e.write(i.operands[0], e.builder.select(holds, a, b), kind)
