"""Atomic operations and fences.

Scopes mean nothing to one coherent memory. Orderings are LLVM's: ``.relaxed``, or none, is monotonic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen import spaces
from pycuda_guard.cpu.codegen.instructions.addresses import take_space
from pycuda_guard.cpu.codegen.instructions.floating import canonical, flush
from pycuda_guard.cpu.codegen.instructions.memory import take_hints
from pycuda_guard.cpu.codegen.instructions.moves import read_bits
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.rounding import float_of_16, nearest_16
from pycuda_guard.cpu.codegen.instructions.values import (
    extend,
    extremum,
    integer,
    replace_word,
    without_release,
)
from pycuda_guard.cpu.codegen.types import is_signed, width
from pycuda_guard.kernels.ptx.ir import Address, Sink, Space, Vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_OPERATIONS = ("add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas")
_ORDERINGS = {"relaxed": "monotonic", "acquire": "acquire", "release": "release", "acq_rel": "acq_rel"}
#: LLVM's names where they are not PTX's
_NAMES = {"inc": "uinc_wrap", "dec": "udec_wrap", "exch": "xchg"}


@lowers("atom")
def atomic(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``atom``: an operation whose old value is returned."""
    destination, *rest = i.operands
    _operate(e, i, m, tuple(rest), destination)


@lowers("red", limits="no asynchronous forms")
def reduction(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``red``: an operation whose old value is not returned."""
    _operate(e, i, m, i.operands, Sink())


def _operate(
    e: Emitter, i: Instruction, m: Modifiers, operands: tuple[Operand, ...], destination: Operand
) -> None:
    """Emit the operation, of a vector for each element, and write the old value."""
    space = take_space(m)
    name = m.one_of(*_OPERATIONS)
    ordering = _ORDERINGS[m.one_of(*_ORDERINGS, default="relaxed")]
    count = int(m.one_of("v2", "v4", "v8", default="v1")[1])
    take_hints(m)
    m.flag("noftz")
    kind = m.type()
    address, *sources = operands
    first = e.pointer(address, space, count * width(kind) // 8)
    if count == 1:
        old, old_kind = _one(e, name, _Place(first, address, space, ordering), sources, kind)
        return e.write(destination, old, old_kind)
    (values,) = sources
    if not isinstance(values, Vector) or not isinstance(destination, Vector | Sink):
        e.unsupported("vector form without vectors")
    targets = destination.elements if isinstance(destination, Vector) else (destination,) * count
    for index, (target, value) in enumerate(zip(targets, values.elements, strict=True)):
        pointer = e.offset_pointer(first, integer(64, index * width(kind) // 8))
        old, old_kind = _one(e, name, _Place(pointer, address, space, ordering), [value], kind)
        e.write(target, old, old_kind)
    return None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an operation happens: host pointer, PTX address and its space; and in which order."""

    pointer: ir.Value
    address: Operand
    space: Space
    ordering: str


def _one(e: Emitter, name: str, at: _Place, operands: list[Operand], kind: str) -> tuple[ir.Value, str]:
    """Emit the operation on one number; return the old value's bits and their type."""
    place, ordering = at.pointer, at.ordering
    bits = f"b{width(kind)}"
    if name == "cas":
        expected, wanted = (read_bits(e, operand, kind) for operand in operands)
        result = e.builder.cmpxchg(place, expected, wanted, ordering, without_release(ordering))
        return e.builder.extract_value(result, 0), bits
    if name == "exch":
        return e.builder.atomic_rmw("xchg", place, read_bits(e, operands[0], kind), ordering), bits
    if kind in ("f32", "f64"):
        operation = _float_operation(e, name, operands[0], kind, at)
        return replace_word(e, place, ordering, operation, width(kind)), bits
    if "f16" in kind:
        operation = _half_operation(e, name, operands[0], kind)
        return replace_word(e, place, ordering, operation, width(kind)), bits
    value = e.read(operands[0], kind)
    if name in ("min", "max"):
        name = name if is_signed(kind) else f"u{name}"
    old = e.builder.atomic_rmw(_NAMES.get(name, name), place, value, ordering)
    return old, kind


def _float_operation(
    e: Emitter, name: str, operand: Operand, kind: str, at: _Place
) -> Callable[[ir.Value], ir.Value]:
    """Return what computes the new bits of a number from the old ones.

    In global memory a GPU takes denormal f32 numbers as zero, in shared memory it does not.
    """
    if name != "add":
        e.unsupported(f"atomic .{name} of floating-point numbers")
    given = e.read(operand, kind)

    def plain(old: ir.Value) -> ir.Value:
        return e.builder.fadd(old, given)

    def flushed(old: ir.Value) -> ir.Value:
        return flush(e, e.builder.fadd(flush(e, old), flush(e, given)))

    def operation(old: ir.Value) -> ir.Value:
        number = e.builder.bitcast(old, given.type)
        if kind != "f32" or at.space is Space.SHARED:
            result = plain(number)
        elif at.space is Space.GLOBAL:
            result = flushed(number)
        else:
            result = e.builder.select(_is_shared(e, at.address), plain(number), flushed(number))
        return e.bits(canonical(e, result))

    return operation


def _is_shared(e: Emitter, address: Operand) -> ir.Value:
    """Whether (``i1``) a generic address is one of shared memory."""
    if not isinstance(address, Address):
        e.unsupported("operand that is no address")
    return spaces.is_in_space(e, e.read(address.base, "u64"), Space.SHARED)


def _half_operation(e: Emitter, name: str, operand: Operand, kind: str) -> Callable[[ir.Value], ir.Value]:
    """Return what computes the new bits of one or two 16-bit numbers from the old ones."""
    lane_format = kind.removesuffix("x2")
    if name not in ("add", "min", "max"):
        e.unsupported(f"atomic .{name} of type .{kind}")
    size = width(kind)
    given = e.read(operand, f"b{size}")

    def lane(word: ir.Value, index: int) -> ir.Value:
        shifted = e.builder.lshr(word, integer(size, 16 * index))
        return float_of_16(e, extend(e, shifted, 16, False), lane_format)

    def operation(old: ir.Value) -> ir.Value:
        word: ir.Value = integer(size, 0)
        for index in range(size // 16):
            a, b = lane(old, index), lane(given, index)
            result = e.builder.fadd(a, b) if name == "add" else extremum(e, a, b, least=name == "min")
            pattern = extend(e, nearest_16(e, result, lane_format), size, False)
            word = e.builder.or_(word, e.builder.shl(pattern, integer(size, 16 * index)))
        return word

    return operation


@lowers("membar", "fence")
def fence(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``membar``, ``fence``: as strong as they come; proxies see the same memory anyhow."""
    weak = m.flag("acq_rel", "acquire", "release") and not m.flag("sc")
    m.flag("sc", "cta", "cluster", "gpu", "gl", "sys", "proxy", "alias", "async", "global", "mbarrier_init")
    m.drop("shared", "sync_restrict", "generic", "tensormap")
    e.builder.fence("acq_rel" if weak else "seq_cst")
