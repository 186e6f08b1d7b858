"""From PTX addresses to host pointers, with as few checks as will do.

Every address is checked (see :mod:`pycuda_guard.cpu.abi`), but most are a pointer that the kernel was given
plus an index of 32 bits. Then one check of that pointer, the *root*, serves: an address less than
:data:`REACH` away from a valid one lies in the device's region or in its unmapped margins, never in host
memory. The check of a root does not depend on the thread, so LLVM hoists it out of all loops. Other addresses
are their own roots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.codegen.operands import space_of
from pycuda_guard.cpu.codegen.types import I8, I32, I64, POINTER
from pycuda_guard.kernels.ptx.ir import Address, Immediate, Register, Space, Symbol, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.cpu.codegen.context import FunctionContext
    from pycuda_guard.cpu.codegen.definitions import Definitions
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

#: how far from its root an address may be, in bytes
REACH = 1 << 37

_CHECKED = (Space.GENERIC, Space.GLOBAL, Space.CONST)
_INTEGERS = {
    "s8": (-(1 << 7), 1 << 7),
    "u8": (0, 1 << 8),
    "s16": (-(1 << 15), 1 << 15),
    "u16": (0, 1 << 16),
    "s32": (-(1 << 31), 1 << 31),
    "u32": (0, 1 << 32),
}

Interval = tuple[int, int]


class Roots:
    """Finds the root of address registers of one function."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._found: dict[str, str] = {}

    def root(self, register: str) -> str:
        """Return the register whose check serves for addresses in ``register``; itself if none does."""
        found = self._found.get(register)
        if found is None:
            found = self._found[register] = self._find(register)
        return found

    def extra_reads(self, instruction: Instruction) -> Iterator[str]:
        """Yield the registers that an instruction reads only because its address is checked there."""
        if space_of(instruction) not in _CHECKED:
            return
        for operand in instruction.operands:
            if isinstance(operand, Address) and isinstance(operand.base, Register):
                yield self.root(operand.base.name)

    def _find(self, register: str) -> str:
        """Follow additions of bounded offsets up to a pointer that was a parameter."""
        reach = 0
        at = register
        while True:
            definition = self._definitions.single.get(at)
            step = self._step(definition.instruction) if definition else None
            if definition is None or step is None or not self._definitions.precedes(step[0], definition):
                break
            at, (low, high) = step
            reach += max(-low, high)
        return at if reach < REACH and self._definitions.is_pure(at) else register

    def _step(self, instruction: Instruction) -> tuple[str, Interval] | None:
        """Return the register that an address is near to, and the interval of the distance."""
        for pointer, bound in self._steps(instruction):
            if bound is not None and isinstance(pointer, Register) and self._is_single(pointer):
                return pointer.name, bound
        return None

    def _steps(self, instruction: Instruction) -> Iterator[tuple[Operand, Interval | None]]:
        """Yield the operands that an address may be near to, with the interval of the distance."""
        operands = instruction.operands
        name = ".".join((instruction.opcode, *instruction.modifiers))
        if instruction.guard is not None:
            return
        if name in ("add.s64", "add.u64"):
            yield operands[1], self._bound(operands[2])
            yield operands[2], self._bound(operands[1])
        elif name in ("sub.s64", "sub.u64"):
            yield operands[1], _scaled(self._bound(operands[2]), -1)
        elif name in ("mad.wide.s32", "mad.wide.u32"):
            yield operands[3], _product(instruction.modifiers[-1], operands[1], operands[2])
        elif name in ("cvta.to.global.u64", "cvta.global.u64", "mov.u64", "mov.b64"):
            yield operands[1], (0, 0)

    def _is_single(self, operand: Operand) -> bool:
        return (
            isinstance(operand, Register) and not operand.special and operand.name in self._definitions.single
        )

    def _bound(self, operand: Operand, depth: int = 0) -> Interval | None:
        """Return an interval that a 64-bit operand's value as a signed number lies in, or None."""
        if isinstance(operand, Immediate):
            value = operand.value if operand.value < 1 << 63 else operand.value - (1 << 64)
            return (value, value) if abs(value) < REACH else None
        if not isinstance(operand, Register) or operand.special or depth > 8:
            return None
        ends = [0]
        for instruction in self._definitions.every.get(operand.name, [None]):
            found = self._bound_of(instruction, depth + 1) if instruction else None
            if found is None or max(-found[0], found[1]) >= REACH:
                return None
            ends += found
        return min(ends), max(ends)

    def _bound_of(self, instruction: Instruction, depth: int) -> Interval | None:
        operands = instruction.operands
        match instruction.opcode, instruction.modifiers:
            case "cvt", ("s64" | "u64" as to, source_type):
                source = _INTEGERS.get(source_type)
                return source if source and (source[0] >= 0 or to == "s64") else None
            case "mul", ("wide", source_type):
                return _product(source_type, operands[1], operands[2])
            case "mul", ("lo", _) if isinstance(operands[2], Immediate):
                return _scaled(self._bound(operands[1], depth), operands[2].value)
            case "shl", _ if isinstance(operands[2], Immediate) and operands[2].value < 40:
                return _scaled(self._bound(operands[1], depth), 1 << operands[2].value)
            case "and", _ if isinstance(operands[2], Immediate) and 0 <= operands[2].value < REACH:
                return (0, operands[2].value)
            case "shr", ("s64",) if isinstance(operands[2], Immediate) and 0 <= operands[2].value < 64:
                found = self._bound(operands[1], depth)
                return (found[0] >> operands[2].value, found[1] >> operands[2].value) if found else None
            case "add" | "sub" as opcode, ("s64" | "u64",):
                first, second = self._bound(operands[1], depth), self._bound(operands[2], depth)
                second = _scaled(second, 1 if opcode == "add" else -1)
                return (first[0] + second[0], first[1] + second[1]) if first and second else None
        return None


def _product(kind: str, first: Operand, second: Operand) -> Interval | None:
    """Return the interval of ``mul.wide`` by a constant."""
    factor = second if isinstance(second, Immediate) else first
    return _scaled(_INTEGERS.get(kind), factor.value) if isinstance(factor, Immediate) else None


def _scaled(interval: Interval | None, factor: int) -> Interval | None:
    if interval is None:
        return None
    ends = (interval[0] * factor, interval[1] * factor)
    return min(ends), max(ends)


class AddressModel:
    """Emits the addresses of one function."""

    def __init__(self, context: FunctionContext, roots: Roots) -> None:
        self._context = context
        self._roots = roots

    def pointer(self, e: Emitter, operand: Address, space: Space, alignment: int) -> ir.Value:
        """Return the host pointer of an address operand; a register's must be a multiple of ``alignment``."""
        base = operand.base
        if isinstance(base, Immediate):
            return self._checked(e, ir.Constant(I64, base.value + operand.offset), space, 0, alignment)
        if isinstance(base, Symbol):
            return self._of_symbol(e, base.name, base.offset + operand.offset)
        if base.special or space not in _CHECKED:
            return self._checked(e, e.read(base, "u64"), space, operand.offset, alignment)
        root = self._roots.root(base.name)
        address = e.read(base, "u64")
        start = address if root == base.name else e.read(Register(root), "u64")
        shift = e.translation(start, address, operand.offset, alignment)
        return _with_offset(e, e.offset_pointer(shift, address), operand.offset)

    def symbol(self, e: Emitter, name: str, offset: int) -> tuple[Space, ir.Value]:
        """Return a name's space, and its address there as ``i64``."""
        context = self._context
        layout = context.layout
        if name in context.local_offset:
            place = context.local_offset[name] + offset
            return Space.LOCAL, e.builder.add(e.local_address, ir.Constant(I64, place))
        parameter = self._parameter(e, name, offset)
        if parameter is not None:
            return Space.PARAM, e.builder.ptrtoint(parameter, I64)
        variable = layout.variables.get(name)
        if variable is not None and variable.space is Space.SHARED:
            return Space.SHARED, ir.Constant(I64, self._shared_offset(variable) + offset)
        if variable is not None:
            address = self._global(e, layout.global_number[name])
            return variable.space, e.builder.add(address, ir.Constant(I64, offset))
        if name in layout.kernel_number:
            return Space.GLOBAL, ir.Constant(I64, abi.kernel_address(layout.kernel_number[name]))
        if name in layout.flat:
            return Space.GLOBAL, e.builder.ptrtoint(context.device_function(name), I64)
        e.unsupported(f"{name} is not defined in the module")

    def _of_symbol(self, e: Emitter, name: str, offset: int) -> ir.Value:
        parameter = self._parameter(e, name, offset)
        if parameter is not None:
            return parameter
        space, address = self.symbol(e, name, offset)
        return self._checked(e, address, space, 0, 1)

    def _checked(self, e: Emitter, address: ir.Value, space: Space, offset: int, alignment: int) -> ir.Value:
        b = e.builder
        aligned = e.is_aligned(address, offset, alignment)
        if space is Space.SHARED:
            # shared addresses have 32 bits and wrap around: a negative index plus an offset is right
            narrow = b.trunc(address, I32)
            if offset:
                narrow = b.add(narrow, ir.Constant(I32, offset))
            memory = e.shared_memory
            if aligned is not None:
                memory = b.select(aligned, memory, b.inttoptr(e.misaligned_address, POINTER))
            return e.offset_pointer(memory, b.zext(narrow, I64))
        if space is Space.PARAM:
            if aligned is not None:
                address = b.select(aligned, address, e.misaligned_address)
            return _with_offset(e, b.inttoptr(address, POINTER), offset)
        shift = e.translation(address, address, offset, 1 if space is Space.LOCAL else alignment)
        return _with_offset(e, e.offset_pointer(shift, address), offset)

    def _parameter(self, e: Emitter, name: str, offset: int) -> ir.Value | None:
        """Return the host pointer to a byte of a parameter, or of a variable for one."""
        start = self._context.parameter_offset.get(name)
        if start is not None:
            return e.parameter(start + offset)
        memory = self._context.parameter_memory(e, name)
        return memory if memory is None else _with_offset(e, memory, offset)

    def _shared_offset(self, variable: Variable) -> int:
        if self._context.layout.is_dynamic(variable):
            return abi.DYNAMIC_SHARED
        return self._context.layout.shared_offset[variable.name]

    def _global(self, e: Emitter, number: int) -> ir.Value:
        """Return the device address of a global variable, from the module's table."""
        entry = e.builder.gep(self._context.globals_table, [ir.Constant(I64, 8 * number)], source_etype=I8)
        address = e.builder.load(entry, typ=I64, align=8)
        self._context.metadata.constant(address)
        return address


def _with_offset(e: Emitter, pointer: ir.Value, offset: int) -> ir.Value:
    return e.builder.gep(pointer, [ir.Constant(I64, offset)], source_etype=I8) if offset else pointer
