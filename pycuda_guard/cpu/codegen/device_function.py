"""Device functions: LLVM functions that get the thread's values and pointers to their parameters' memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen import body, calls, stack
from pycuda_guard.cpu.codegen.context import FunctionContext
from pycuda_guard.cpu.codegen.emitter import Emitter
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.cpu.codegen.graph import ENTRY, build
from pycuda_guard.cpu.codegen.layout import align, local_offsets
from pycuda_guard.cpu.codegen.special import THREAD_TYPES, thread_of
from pycuda_guard.kernels.ptx.ir import Instruction, Register, Space

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.context import ModuleContext
    from pycuda_guard.cpu.codegen.graph import Cut, Leave
    from pycuda_guard.cpu.codegen.layout import ModuleLayout
    from pycuda_guard.kernels.ptx.ir import FlatFunction


def lower(module: ModuleContext, flat: FlatFunction, function: ir.Function) -> None:
    """Define the LLVM function of a device function in which threads never stop. Raises Unsupported."""
    context = FunctionContext(module, flat, build(flat))
    function.linkage = "internal"
    declared = [*flat.function.returns, *flat.function.parameters]
    for variable, argument in zip(declared, function.args[len(THREAD_TYPES) :], strict=True):
        if variable.space is Space.REG:
            raise Unsupported(f"parameter {variable.name} of {flat.name} in a register")
        context.arguments[variable.name] = argument
    e = Emitter(context, function, thread_of(function.args))
    body.emit(e, list(context.graph.blocks.values()), ENTRY, _Returns(e))
    e.finish()


class _Returns:
    """A thread that leaves a device function goes on in its caller."""

    def __init__(self, e: Emitter) -> None:
        self._e = e

    def leave(self, leave: Leave) -> None:
        """Return to the caller; functions with ``exit`` have been inlined into their callers."""
        self._e.builder.ret_void()

    def cut(self, cut: Cut) -> None:
        """Functions in which threads stop have been inlined into their callers."""
        self._e.unsupported("suspension in a function that is called by address")


def stack_bytes(layout: ModuleLayout, name: str) -> tuple[int, bool]:
    """Return the local memory that the functions called by a function need, and whether that is not all.

    It is not if they recurse (each is counted once, as nobody knows how deep they go), or take memory as they
    run, as the function itself may.
    """
    return _depth(layout, name, ())


def _depth(layout: ModuleLayout, name: str, path: tuple[str, ...]) -> tuple[int, bool]:
    if name in path:
        return 0, True
    deepest, is_open = 0, stack.takes(layout.flat[name])
    for statement in layout.flat[name].body:
        if not isinstance(statement, Instruction) or statement.opcode != "call":
            continue
        callee = calls.split(statement)[1]
        names = layout.table if isinstance(callee, Register) else [callee.name]
        for called in names:
            if called in layout.flat:
                own = align(local_offsets(layout.flat[called])[1], 16)
                below, is_open_below = _depth(layout, called, (*path, name))
                deepest, is_open = max(deepest, own + below), is_open or is_open_below
    return deepest, is_open
