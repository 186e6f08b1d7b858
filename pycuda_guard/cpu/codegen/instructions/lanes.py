"""What instructions share for which the lanes of a warp hold a matrix together.

Four lanes are a group: lane ``4 * g + t`` is the one of index ``t`` in group ``g``, as in
:mod:`~pycuda_guard.cpu.codegen.instructions.fragments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.abi import Suspension
from pycuda_guard.cpu.codegen import exchange, spaces
from pycuda_guard.cpu.codegen.instructions.fragments import Shape
from pycuda_guard.cpu.codegen.instructions.values import extend, integer, minimum
from pycuda_guard.cpu.codegen.special import THREAD_TYPES, thread_of
from pycuda_guard.cpu.codegen.types import I32, I64, POINTER, VOID
from pycuda_guard.kernels.ptx.ir import Address, Space, Symbol, Vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.cpu.codegen.instructions.registry import Modifiers
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_EVERYBODY = -1
#: registers of the largest fragment, and two more
_MOST_WORDS = 18


def elements(e: Emitter, operand: Operand) -> tuple[Operand, ...]:
    """Return the registers that an operand has: those of a vector, or itself."""
    return operand.elements if isinstance(operand, Vector) else (operand,)


def take_flags(m: Modifiers) -> None:
    """Take the modifiers that all these instructions may have and that change nothing."""
    m.flag("aligned", "sync")


def wait_for_warp(e: Emitter) -> Suspension:
    """State that all lanes of the warp take part, and why the thread stops."""
    exchange.set_members(e, integer(32, _EVERYBODY))
    return Suspension.WARP


def thread_of_lane(e: Emitter, index: ir.Value) -> ir.Value:
    """Return the linear index of the thread that is lane ``index`` (``i32``) of this warp."""
    b = e.builder
    thread = b.add(b.and_(e.thread_linear, integer(32, ~31)), index)
    return minimum(e, thread, b.sub(e.threads, integer(32, 1)))


def group_index(e: Emitter) -> ir.Value:
    """Return the lane's group (``i32``, 0 to 7)."""
    return e.builder.lshr(e.lane, integer(32, 2))


def index_in_group(e: Emitter) -> ir.Value:
    """Return the lane's index in its group (``i32``, 0 to 3)."""
    return e.builder.and_(e.lane, integer(32, 3))


def outlined(
    e: Emitter,
    i: Instruction,
    given: list[ir.Value],
    body: Callable[[Emitter, list[ir.Value]], list[ir.Value]],
    results: int,
) -> list[ir.Value]:
    """Do what ``body`` emits in a function of the kernel, made once for all instructions spelled alike.

    Unrolled at every instruction, it would take LLVM seconds each. Integers are passed as ``i64``.
    """

    def word(emitter: Emitter, words: ir.Value, place: int) -> ir.Value:
        return emitter.offset_pointer(words, integer(64, 8 * place))

    words = e.scratch("matrix", ir.ArrayType(I64, _MOST_WORDS))
    for place, value in enumerate(given):
        e.builder.store(extend(e, value, 64, False), word(e, words, place), align=8)
    name = ".".join((e.context.flat.name, i.opcode, *i.modifiers))
    function = e.module.globals.get(name)
    if function is None:
        function = ir.Function(e.module, ir.FunctionType(VOID, [*THREAD_TYPES, POINTER]), name)
        function.linkage = "internal"
        for attribute in ("noinline", "nounwind", "null_pointer_is_valid"):
            set.add(function.attributes, attribute)
        arguments = list(function.args)
        inner = type(e)(e.context, function, thread_of(arguments))
        inner.instruction = i
        taken = [
            inner.builder.load(word(inner, arguments[-1], place), typ=I64, align=8)
            for place in range(len(given))
        ]
        for place, value in enumerate(body(inner, taken)):
            inner.builder.store(extend(inner, value, 64, False), word(inner, arguments[-1], place), align=8)
        inner.builder.ret_void()
        inner.finish()
    e.builder.call(function, [*e.thread.arguments(), words])
    return [e.builder.load(word(e, words, place), typ=I64, align=8) for place in range(results)]


def generic_address(e: Emitter, operand: Operand, space: Space) -> ir.Value:
    """Return the generic address (``i64``) that an address operand stands for."""
    if not isinstance(operand, Address):
        e.unsupported("operand that is no address")
    if isinstance(operand.base, Symbol):
        space, address = e.symbol_address(operand.base.name, operand.base.offset)
    else:
        address = e.read(operand.base, "u64")
    address = e.builder.add(address, integer(64, operand.offset))
    return spaces.to_generic(e, address, space) if space is Space.SHARED else address


def take_shape(e: Emitter, i: Instruction, m: Modifiers) -> Shape:
    """Take the modifier that is a shape (``m16n8k16``)."""
    for name in i.modifiers:
        shape = Shape.of(name)
        if shape is not None:
            m.flag(name)
            return shape
    e.unsupported("without a shape")


def packed(e: Emitter, numbers: list[ir.Value]) -> list[ir.Value]:
    """Return numbers of less than 32 bits as words."""
    bits = numbers[0].type.width
    words = []
    for start in range(0, len(numbers), 32 // bits):
        word: ir.Value = integer(32, 0)
        for index, number in enumerate(numbers[start : start + 32 // bits]):
            part = e.builder.shl(e.builder.zext(number, I32), integer(32, index * bits))
            word = e.builder.or_(word, part)
        words.append(word)
    return words


def unpacked(e: Emitter, word: ir.Value, bits: int) -> list[ir.Value]:
    """Return the numbers of ``bits`` bits in a word, or the word itself."""
    if bits >= word.type.width:
        return [word]
    places = range(0, 32, bits)
    return [e.builder.trunc(e.builder.lshr(word, integer(32, at)), ir.IntType(bits)) for at in places]
