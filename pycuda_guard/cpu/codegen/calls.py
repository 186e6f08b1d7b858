"""``call``: device functions by name and by address, and the few functions that CUDA's runtime provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen import launches
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.cpu.codegen.layout import align
from pycuda_guard.cpu.codegen.special import THREAD_TYPES
from pycuda_guard.cpu.codegen.stack import TOP
from pycuda_guard.cpu.codegen.types import I1, I32, I64, POINTER, VOID
from pycuda_guard.kernels.ptx.ir import Arguments, Register, Symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


def lower(e: Emitter, instruction: Instruction) -> None:
    """Lower ``call (returned), callee, (arguments), prototype;``."""
    returned, callee, arguments = split(instruction)
    memory = [_memory(e, operand) for operand in (*returned, *arguments)]
    if isinstance(callee, Register):
        _call(e, _checked_target(e, callee, len(memory)), memory)
    elif callee.name in e.context.layout.flat:
        _call(e, e.context.device_function(callee.name), memory)
    elif provided := _PROVIDED.get(callee.name) or launches.provided(callee.name):
        count = len(returned)
        provided(e, memory[:count], memory[count:])
    else:
        e.unsupported(f"call of {callee.name}, which the module does not define")


def split(instruction: Instruction) -> tuple[tuple[Operand, ...], Register | Symbol, tuple[Operand, ...]]:
    """Return the operands that take returned values, the callee and the arguments of a call."""
    returned: tuple[Operand, ...] = ()
    arguments: tuple[Operand, ...] = ()
    callee: Register | Symbol | None = None
    for operand in instruction.operands:
        match operand:
            case Arguments(elements) if callee is None:
                returned = elements
            case Arguments(elements):
                arguments = elements
            case Register() | Symbol() if callee is None:
                callee = operand
    if callee is None:
        raise Unsupported("call of nothing", instruction)
    return returned, callee, arguments


def _memory(e: Emitter, operand: Operand) -> ir.Value:
    """Return a pointer to the memory through which an argument or a returned value goes."""
    memory = e.context.parameter_memory(e, operand.name) if isinstance(operand, Symbol) else None
    if memory is None:
        e.unsupported("argument of a call that is no .param variable")
    return memory


def _call(e: Emitter, function: ir.Value, memory: list[ir.Value]) -> None:
    thread = e.thread.arguments()
    if TOP in e.context.flat.registers:
        top = e.builder.add(e.read(Register(TOP), "u64"), ir.Constant(I64, 15))
        thread[1] = e.builder.and_(top, ir.Constant(I64, -16))
    else:
        thread[1] = e.builder.add(e.thread.local, ir.Constant(I64, align(e.context.local_size, 16)))
    e.builder.call(function, [*thread, *memory])


def _checked_target(e: Emitter, callee: Register, count: int) -> ir.Value:
    """Return the function with ``count`` parameters at an address, or null if the module has none there."""
    address = e.read(callee, "u64")
    known: ir.Value = ir.Constant(I1, 0)
    for name in e.context.layout.table:
        function = e.context.device_function(name)
        if len(function.args) == len(THREAD_TYPES) + count:
            place = e.builder.ptrtoint(function, I64)
            known = e.builder.or_(known, e.builder.icmp_unsigned("==", address, place))
    target = e.builder.select(known, address, ir.Constant(I64, 0))
    kind = ir.FunctionType(VOID, [*THREAD_TYPES, *[POINTER] * count])
    return e.builder.inttoptr(target, kind.as_pointer())


def _argument(e: Emitter, memory: ir.Value, kind: ir.Type = I64) -> ir.Value:
    return e.builder.load(memory, typ=kind, align=4)


def _print(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    function = e.declare("pg_vprintf", I32, [I64, I64])
    count = e.call(function, [_argument(e, arguments[0]), _argument(e, arguments[1])])
    for memory in returned:
        e.builder.store(count, memory, align=4)


def _fail_assertion(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    function = e.declare("pg_assert_fail", VOID, [POINTER, I32, I64, I64, I32, I64])
    message, file, line, name = arguments[:4]
    e.call(
        function,
        [
            e.block,
            e.thread_linear,
            _argument(e, message),
            _argument(e, file),
            _argument(e, line, I32),
            _argument(e, name),
        ],
    )


def _allocate(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    address = e.call(e.declare("pg_malloc", I64, [I64]), [_argument(e, arguments[0])])
    for memory in returned:
        e.builder.store(address, memory, align=4)


def _free(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    e.call(e.declare("pg_free", VOID, [I64]), [_argument(e, arguments[0])])


_PROVIDED: dict[str, Callable[[Emitter, list[ir.Value], list[ir.Value]], None]] = {
    "vprintf": _print,
    "__assertfail": _fail_assertion,
    "malloc": _allocate,
    "free": _free,
}
