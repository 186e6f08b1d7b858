"""``call``: of device functions, by name or address, and of the functions that CUDA's runtime provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.values import runtime
from pycuda_guard.cpu.codegen.special import THREAD_TYPES
from pycuda_guard.cpu.codegen.types import I32, I64, POINTER, VOID
from pycuda_guard.kernels.ptx.ir import Address, Arguments, Register, Space, Symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


@lowers("call", limits="no dynamic parallelism")
def call(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``call``: results and arguments are memory in the ``.param`` space."""
    m.flag("uni")
    results: tuple[Operand, ...] = ()
    operands = list(i.operands)
    if isinstance(operands[0], Arguments):
        results = operands.pop(0).elements
    callee = operands.pop(0)
    arguments = operands[0].elements if operands and isinstance(operands[0], Arguments) else ()
    if isinstance(callee, Symbol) and callee.name not in e.context.layout.flat:
        known = _RUNTIME.get(callee.name)
        if known is None:
            e.unsupported(f"function {callee.name} is not defined in the module")
        return known(e, results, arguments)
    memory = [_memory(e, operand) for operand in (*results, *arguments)]
    function: ir.Value
    if isinstance(callee, Symbol):
        function = e.context.device_function(callee.name)
    else:
        kind = ir.FunctionType(VOID, [*THREAD_TYPES, *[POINTER] * len(memory)])
        function = e.builder.inttoptr(e.read(callee, "u64"), kind.as_pointer())
    e.builder.call(function, [*e.thread.arguments(), *memory])
    return None


def _memory(e: Emitter, operand: Operand) -> ir.Value:
    """Return the memory of a result or an argument."""
    if not isinstance(operand, Symbol):
        e.unsupported("argument that is no variable in the .param space")
    return e.pointer(Address(operand), Space.PARAM, 0)


def _argument(e: Emitter, operand: Operand, kind: ir.IntType) -> ir.Value:
    """Return the value of an argument."""
    if isinstance(operand, Register):
        return e.read(operand, f"b{kind.width}")
    return e.load(_memory(e, operand), kind, Space.PARAM)


def _result(e: Emitter, results: tuple[Operand, ...], value: ir.Value) -> None:
    """Store a result, if it is wanted."""
    for operand in results:
        if isinstance(operand, Register):
            e.write(operand, value, f"b{value.type.width}")
        else:
            e.store(value, _memory(e, operand), Space.PARAM)


def _print(e: Emitter, results: tuple[Operand, ...], arguments: tuple[Operand, ...]) -> None:
    values = [_argument(e, operand, I64) for operand in arguments]
    _result(e, results, runtime(e, "pg_vprintf", I32, values))


def _assert(e: Emitter, results: tuple[Operand, ...], arguments: tuple[Operand, ...]) -> None:
    kinds = (I64, I64, I32, I64)  # message, file, line, function
    values = [_argument(e, operand, kind) for operand, kind in zip(arguments, kinds, strict=False)]
    runtime(e, "pg_assert_fail", VOID, [e.block, e.thread_linear, *values])


def _allocate(e: Emitter, results: tuple[Operand, ...], arguments: tuple[Operand, ...]) -> None:
    _result(e, results, runtime(e, "pg_malloc", I64, [_argument(e, arguments[0], I64)]))


def _free(e: Emitter, results: tuple[Operand, ...], arguments: tuple[Operand, ...]) -> None:
    runtime(e, "pg_free", VOID, [_argument(e, arguments[0], I64)])


#: functions that the compiler leaves to CUDA's runtime
_RUNTIME: dict[str, Callable[[Emitter, tuple[Operand, ...], tuple[Operand, ...]], None]] = {
    "vprintf": _print,
    "__assertfail": _assert,
    "malloc": _allocate,
    "free": _free,
}
