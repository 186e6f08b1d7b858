"""What an Emitter knows of the function it is in, and of its module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.addresses import AddressModel, Roots
from pycuda_guard.cpu.codegen.definitions import Definitions
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.cpu.codegen.instructions.nans import unsettled_registers
from pycuda_guard.cpu.codegen.layout import local_offsets, parameter_offsets
from pycuda_guard.cpu.codegen.metadata import Metadata
from pycuda_guard.cpu.codegen.special import THREAD_TYPES
from pycuda_guard.cpu.codegen.stack import TOP
from pycuda_guard.cpu.codegen.types import I8, I32, I64, POINTER, VOID
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.cpu.codegen.graph import Graph
    from pycuda_guard.cpu.codegen.layout import ModuleLayout
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Instruction

GLOBALS_TABLE = "pg.globals"
FUNCTIONS_TABLE = "pg.functions"


class ModuleContext:
    """The LLVM module under construction and what all functions in it share."""

    def __init__(self, layout: ModuleLayout) -> None:
        self.layout = layout
        self.module = ir.Module("kernels")
        self.metadata = Metadata(self.module)
        self.wanted: dict[str, ir.Function] = {}  # device functions that something calls
        count = max(1, len(layout.globals))
        self.globals_table = ir.GlobalVariable(self.module, ir.ArrayType(I64, count), GLOBALS_TABLE)
        self.globals_table.initializer = ir.Constant(ir.ArrayType(I64, count), None)

    def device_function(self, name: str) -> ir.Function:
        """Return the LLVM function of a device function, declared on first use.

        Arguments: those of every thread, then pointers to the memory of each return value and parameter.
        """
        found = self.wanted.get(name)
        if found is None:
            function = self.layout.functions[name]
            count = len(function.returns) + len(function.parameters)
            kind = ir.FunctionType(VOID, [*THREAD_TYPES, *[POINTER] * count])
            found = self.wanted[name] = ir.Function(self.module, kind, f"device.{name}")
            prepare(found)
        return found


class FunctionContext:
    """What is known of one PTX function while code is made for it."""

    def __init__(
        self, module: ModuleContext, flat: FlatFunction, graph: Graph, static_shared: int | None = None
    ) -> None:
        self.module = module
        self.layout = module.layout
        self.metadata = module.metadata
        self.flat = flat
        self.graph = graph
        self.local_offset, self.local_size = local_offsets(flat)
        self.parameter_offset, self.parameter_bytes = (
            parameter_offsets(flat.function) if flat.function.entry else ({}, 0)
        )
        self.definitions = Definitions(graph, frozenset(self.parameter_offset))
        self.unsettled = unsettled_registers(flat)
        self.roots = Roots(self.definitions)
        self.addresses = AddressModel(self, self.roots)
        self.arguments: dict[str, ir.Value] = {}  # of a device function: pointers to its parameters
        self.first_lent_slot = 0  # of the frame: where threads put what they lend to their warps
        self.lent_slots = 0
        self._static_shared = static_shared

    @property
    def globals_table(self) -> ir.GlobalVariable:
        """The table of the addresses of the module's global variables."""
        return self.module.globals_table

    def extra_reads(self, instruction: Instruction) -> Iterator[str]:
        """Yield the registers that an instruction reads besides those that it names."""
        yield from self.roots.extra_reads(instruction)
        if instruction.opcode == "call" and TOP in self.flat.registers:
            yield TOP

    def device_function(self, name: str) -> ir.Function:
        """Return the LLVM function of a device function."""
        return self.module.device_function(name)

    def static_shared_size(self) -> ir.Value:
        """Return the kernel's static shared memory in bytes (``i32``)."""
        if self._static_shared is None:
            raise Unsupported(f"size of shared memory in device function {self.flat.name}")
        return ir.Constant(I32, self._static_shared)

    def parameter_memory(self, e: Emitter, name: str) -> ir.Value | None:
        """Return a pointer to a parameter of this device function, or of a call; None if it is neither."""
        argument = self.arguments.get(name)
        if argument is not None:
            return argument
        variable = self.flat.variables.get(name)
        if variable is None or variable.space is not Space.PARAM:
            return None
        return e.scratch(name, ir.ArrayType(I8, max(1, variable.size)))


def prepare(function: ir.Function) -> None:
    """Give a generated function the attributes that all have.

    Null is an address like any other here: what kernels do with it must not become undefined.
    """
    set.add(function.attributes, "null_pointer_is_valid")
    function.attributes.add("nounwind")
