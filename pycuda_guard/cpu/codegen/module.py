"""PTX module to LLVM module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen import device_function, kernel, metadata
from pycuda_guard.cpu.codegen.context import FUNCTIONS_TABLE, ModuleContext
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.cpu.codegen.inline import Inliner
from pycuda_guard.cpu.codegen.layout import ModuleLayout, parameter_offsets
from pycuda_guard.cpu.codegen.plan import KernelPlan, LoweredModule
from pycuda_guard.cpu.codegen.types import POINTER

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import Module

# llvmlite fills its table of escapes at the first text that it writes; a thread that comes meanwhile finds
# half a table. So a first text is written here, where importing keeps other threads out.
str(ir.Constant(ir.ArrayType(ir.IntType(8), 1), bytearray(1)))


def lower_module(module: Module) -> LoweredModule:
    """Lower a module whole, as :func:`lower_kernels` does."""
    return lower_kernels(ModuleLayout(module))


def lower_kernels(layout: ModuleLayout, kernels: frozenset[str] | None = None) -> LoweredModule:
    """Lower all kernels of a module, or those that are named, and the device functions that they call.

    Where no name is given, and no address of a function is taken, there is no text: the plans are
    outlines, which have the kernels' names and the limits of a launch.

    A kernel that the device cannot run gets a plan that says why (``unsupported``), so that the others of
    the module still work. Raises Unsupported only for what concerns the module as a whole.
    """
    entries = [name for name in layout.flat if layout.functions[name].entry]
    if kernels is not None and not kernels and not layout.table:
        return LoweredModule("", [_outline(layout, name) for name in entries], layout.globals, layout.table)
    inliner = Inliner(layout)
    refused: dict[str, str] = {}  # device functions that cannot be lowered → why
    while True:
        context = ModuleContext(layout)
        plans = [
            _lower_kernel(context, inliner, name, refused)
            for name in entries
            if kernels is None or name in kernels
        ]
        for name in layout.table:
            if name not in refused:
                context.device_function(name)
        found = _lower_functions(context, inliner)
        if not found:
            break
        refused.update(found)
    _define_function_table(context)
    text = metadata.finish(str(context.module))
    if kernels is not None and not kernels:
        plans = [_outline(layout, name) for name in entries]
    return LoweredModule(text, plans, layout.globals, layout.table)


def _outline(layout: ModuleLayout, name: str) -> KernelPlan:
    """Return what is known of a kernel before it is lowered."""
    most = kernel.max_threads(layout.functions[name])
    return KernelPlan(name, static_shared=layout.shared_size(name), max_threads=most)


def _lower_kernel(context: ModuleContext, inliner: Inliner, name: str, refused: dict[str, str]) -> KernelPlan:
    """Lower one kernel; or leave nothing of it in the module and say why it cannot be.

    What it has declared, and helpers made once a module, stay for the other kernels: LLVM's names are taken
    for good.
    """
    for called in sorted(context.layout.reached(name) & refused.keys()):
        return _refused(context.layout, name, refused[called])
    try:
        stack, needs_more = device_function.stack_bytes(context.layout, name)
        plan = kernel.lower(context, inliner.expand(name), stack)
        plan.needs_stack = needs_more
        return plan
    except Unsupported as error:
        for own in [each for each in context.module.globals if each.startswith(f"{name}.")]:
            del context.module.globals[own]
        return _refused(context.layout, name, str(error))


def _refused(layout: ModuleLayout, name: str, reason: str) -> KernelPlan:
    """Return the plan of a kernel that cannot run; with its parameters, a launch gets as far as to say so."""
    function = layout.functions[name]
    offsets, size = parameter_offsets(function)
    return KernelPlan(
        name,
        parameters=[(offsets[parameter.name], parameter.size) for parameter in function.parameters],
        parameter_bytes=size,
        unsupported=reason,
    )


def _lower_functions(context: ModuleContext, inliner: Inliner) -> dict[str, str]:
    """Lower the device functions that are wanted; return those that cannot be, and why."""
    refused = {}
    done: set[str] = set()
    while waiting := [name for name in context.wanted if name not in done]:
        for name in waiting:
            done.add(name)
            try:
                device_function.lower(context, inliner.expand(name), context.wanted[name])
            except Unsupported as error:
                refused[name] = str(error)
    return refused


def _define_function_table(context: ModuleContext) -> None:
    """Define the table of the functions whose address is taken; null for those that are refused."""
    names = context.layout.table
    kind = ir.ArrayType(POINTER, max(1, len(names)))
    table = ir.GlobalVariable(context.module, kind, FUNCTIONS_TABLE)
    null = ir.Constant(POINTER, None)
    entries = [context.wanted.get(name, null) for name in names]
    table.initializer = ir.Constant(kind, entries or [null])
