"""CUDA's device runtime: what kernels call to launch kernels.

Launches run when the kernel that made them has ended, in the order in which they were made. So streams and
events of kernels, which only say what must come before what, need nothing but names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.layout import parameter_offsets
from pycuda_guard.cpu.codegen.types import I32, I64, POINTER, VOID
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter

    #: takes the memory of the returned values and that of the arguments
    Lowering = Callable[[Emitter, list[ir.Value], list[ir.Value]], None]

#: what nvcc puts before the names of the runtime's functions, and behind those for streams of a thread
_PREFIXES, _SUFFIX = ("__cudaCDP2", "cuda"), "_ptsz"

#: what streams and events of kernels are; no kernel may look into them
_NAME = 1 << 60


def provided(name: str) -> Lowering | None:
    """Return how a call of a function of the device runtime is lowered; None if there is no such function."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return _PROVIDED.get(name.removeprefix(prefix).removesuffix(_SUFFIX))
    return None


def _argument(e: Emitter, memory: ir.Value, kind: ir.Type) -> ir.Value:
    return e.builder.load(memory, typ=kind, align=4)


def _return(e: Emitter, returned: list[ir.Value], value: ir.Value) -> None:
    for memory in returned:
        e.builder.store(value, memory, align=4)


def _parameter_buffer(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    """Lower ``GetParameterBufferV2(kernel, grid, block, shared)``."""
    kernel, grid, block, shared = arguments
    layout = e.context.layout
    most = max(parameter_offsets(layout.functions[name])[1] for name in layout.kernel_number)
    function = e.declare("pg_parameter_buffer", I64, [POINTER, I32, I64, POINTER, POINTER, I32, I32])
    given = [_argument(e, kernel, I64), grid, block, _argument(e, shared, I32), ir.Constant(I32, most)]
    _return(e, returned, e.call(function, [e.block, e.thread_linear, *given]))


def _launch(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    """Lower ``LaunchDeviceV2(buffer, stream)``."""
    function = e.declare("pg_launch_device", I32, [POINTER, I32, I64, I64])
    given = [_argument(e, memory, I64) for memory in arguments]
    _return(e, returned, e.call(function, [e.block, e.thread_linear, *given]))


def _last_error(e: Emitter, returned: list[ir.Value], reset: int) -> None:
    function = e.declare("pg_device_error", I32, [POINTER, I32, I32])
    _return(e, returned, e.call(function, [e.block, e.thread_linear, ir.Constant(I32, reset)]))


def _get_error(e: Emitter, returned: list[ir.Value], _arguments: list[ir.Value]) -> None:
    _last_error(e, returned, 1)


def _peek_error(e: Emitter, returned: list[ir.Value], _arguments: list[ir.Value]) -> None:
    _last_error(e, returned, 0)


def _succeed(e: Emitter, returned: list[ir.Value], _arguments: list[ir.Value]) -> None:
    _return(e, returned, ir.Constant(I32, 0))


def _make(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    """Lower ``StreamCreateWithFlags(out, flags)`` and the like."""
    _put(e, arguments[0], ir.Constant(I64, _NAME))
    _succeed(e, returned, arguments)


def _allocate(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    """Lower ``Malloc(out, bytes)``."""
    address = e.call(e.declare("pg_malloc", I64, [I64]), [_argument(e, arguments[1], I64)])
    _put(e, arguments[0], address)
    failed = e.builder.icmp_unsigned("==", address, ir.Constant(I64, 0))
    _return(e, returned, e.builder.select(failed, ir.Constant(I32, 2), ir.Constant(I32, 0)))


def _free(e: Emitter, returned: list[ir.Value], arguments: list[ir.Value]) -> None:
    e.call(e.declare("pg_free", VOID, [I64]), [_argument(e, arguments[0], I64)])
    _succeed(e, returned, arguments)


def _put(e: Emitter, memory: ir.Value, value: ir.Value) -> None:
    """Store what a function gives back through the pointer that ``memory`` holds."""
    e.store(value, e.translate(_argument(e, memory, I64), 8), Space.GENERIC)


_PROVIDED: dict[str, Lowering] = {
    "GetParameterBufferV2": _parameter_buffer,
    "LaunchDeviceV2": _launch,
    "GetLastError": _get_error,
    "PeekAtLastError": _peek_error,
    "StreamCreateWithFlags": _make,
    "StreamDestroy": _succeed,
    "StreamWaitEvent": _succeed,
    "EventCreateWithFlags": _make,
    "EventRecord": _succeed,
    "EventRecordWithFlags": _succeed,
    "EventDestroy": _succeed,
    "Malloc": _allocate,
    "Free": _free,
}
