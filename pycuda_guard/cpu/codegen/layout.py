"""Where the variables of a module live, decided before any code is made.

Shared variables of one kernel lie one after the other from offset 0 of the block's shared window; those
that device functions or several kernels use come first, at the same offsets for all. Dynamic shared memory
begins at :data:`DYNAMIC_SHARED` whatever the kernel, so that device functions need not know who called them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.abi import DYNAMIC_SHARED
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.kernels.ptx.flatten import flatten
from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Composite,
    Instruction,
    Pair,
    Space,
    Symbol,
    SymbolValue,
    Variable,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycuda_guard.kernels.ptx.ir import FlatFunction, Function, Initializer, Module, Operand


def align(offset: int, alignment: int) -> int:
    """Return the first multiple of ``alignment`` that is not below ``offset``."""
    return -(-offset // alignment) * alignment


class ModuleLayout:
    """Functions of a module, flattened, and the places of its variables."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.functions = module.functions
        self.variables: dict[str, Variable] = dict(module.variables)
        self.flat: dict[str, FlatFunction] = {}
        for function in self.functions.values():
            if function.body is not None:
                self.flat[function.name] = flatten(function, module)
        owned = self._own_variables()
        self.globals = [v for v in self.variables.values() if v.space in (Space.GLOBAL, Space.CONST)]
        self.global_number = {variable.name: number for number, variable in enumerate(self.globals)}
        self.kernel_number = {
            name: number
            for number, name in enumerate(name for name in self.flat if self.functions[name].entry)
        }
        # a kernel that another launches is none that it calls
        self.mentions = {
            name: set(_symbols(flat)) - self.kernel_number.keys() for name, flat in self.flat.items()
        }
        self.table = self._function_table()
        self.shared_offset: dict[str, int] = {}
        self._place_common_shared(owned)
        self._owned = owned

    def shared_size(self, kernel: str) -> int:
        """Return the bytes of static shared memory that a kernel has, and place its own variables."""
        reached = self.reached(kernel)
        common = [
            self.shared_offset[name] + self.variables[name].size
            for name in reached
            if name in self.shared_offset and self._owned.get(name) != kernel
        ]
        end = max(common, default=0)
        for name, variable in self.flat[kernel].variables.items():
            if variable.space is Space.SHARED and variable.size:
                end = align(end, variable.alignment)
                self.shared_offset[name] = end
                end += variable.size
        if end > DYNAMIC_SHARED:
            raise Unsupported(f"{end} bytes of static shared memory")
        return end

    def is_dynamic(self, variable: Variable) -> bool:
        """Whether a shared variable is the dynamic shared memory (``extern``, without a size)."""
        return variable.space is Space.SHARED and variable.size == 0

    def reached(self, kernel: str) -> set[str]:
        """Return all names that a kernel and the functions it may call mention.

        A function whose address the kernel can get hold of counts as called.
        """
        found: set[str] = set()
        waiting = [kernel, *self.table]
        while waiting:
            for name in self.mentions.get(waiting.pop(), ()):
                if name not in found:
                    found.add(name)
                    if name in self.flat:
                        waiting.append(name)
        return found

    def _own_variables(self) -> dict[str, str]:
        """Add variables that functions declare for the whole launch; return who declares each."""
        owned: dict[str, str] = {}
        for function, flat in self.flat.items():
            for name, variable in flat.variables.items():
                if variable.space not in (Space.GLOBAL, Space.CONST, Space.SHARED):
                    continue
                owned[name] = function
                self.variables[name] = variable
        return owned

    def _place_common_shared(self, owned: dict[str, str]) -> None:
        end = 0
        for name, variable in self.variables.items():
            owner = owned.get(name)
            if variable.space is not Space.SHARED or not variable.size:
                continue
            if owner is not None and self.functions[owner].entry:
                continue
            end = align(end, variable.alignment)
            self.shared_offset[name] = end
            end += variable.size

    def _function_table(self) -> list[str]:
        """Return the device functions whose address is taken, in code or in an initializer."""
        taken: dict[str, None] = {}
        for flat in self.flat.values():
            for name in _addresses_taken(flat):
                if name in self.flat and not self.functions[name].entry:
                    taken[name] = None
        for variable in self.variables.values():
            for value in _symbol_values(variable.initializer):
                if value.name in self.flat:
                    taken[value.name] = None
        return list(taken)


def parameter_offsets(function: Function) -> tuple[dict[str, int], int]:
    """Return the offset of each kernel parameter in the parameter buffer, and the buffer's size."""
    offsets = {}
    end = 0
    for parameter in function.parameters:
        end = align(end, parameter.alignment)
        offsets[parameter.name] = end
        end += parameter.size
    return offsets, end


def local_offsets(flat: FlatFunction) -> tuple[dict[str, int], int]:
    """Return the offset of each local variable in its function's frame, and the frame's size."""
    offsets = {}
    end = 0
    for name, variable in flat.variables.items():
        if variable.space is Space.LOCAL:
            end = align(end, variable.alignment)
            offsets[name] = end
            end += variable.size
    return offsets, align(end, 16)


def _symbols(flat: FlatFunction) -> Iterator[str]:
    for statement in flat.body:
        if isinstance(statement, Instruction):
            for operand in statement.operands:
                yield from _operand_symbols(operand)


def _operand_symbols(operand: Operand) -> Iterator[str]:
    match operand:
        case Symbol(name) | Address(Symbol(name)):
            yield name
        case Pair(first, second):
            yield from _operand_symbols(first)
            yield from _operand_symbols(second)
        case Vector(elements) | Arguments(elements) | Composite(elements):
            for element in elements:
                yield from _operand_symbols(element)


def _addresses_taken(flat: FlatFunction) -> Iterator[str]:
    for statement in flat.body:
        if isinstance(statement, Instruction) and statement.opcode not in ("call", "bra", "brx"):
            for operand in statement.operands:
                yield from _operand_symbols(operand)


def _symbol_values(initializer: Initializer | None) -> Iterable[SymbolValue]:
    if isinstance(initializer, SymbolValue):
        yield initializer
    elif isinstance(initializer, tuple):
        for element in initializer:
            yield from _symbol_values(element)
