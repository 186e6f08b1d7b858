"""What single instructions compute, as nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.sources import ParameterWord
from pycuda_guard.kernels.instrument.proofs.model import UNKNOWN
from pycuda_guard.kernels.instrument.proofs.operations import OPERATIONS
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Address, Register, Symbol

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.proofs.nodes import Nodes
    from pycuda_guard.kernels.instrument.proofs.paths import Place
    from pycuda_guard.kernels.ptx.ir import Instruction

_RELATIONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"})
_INTEGERS = frozenset(f"{letter}{8 * size}" for letter in "usb" for size in (1, 2, 4, 8))
_ODD = frozenset({"sat", "cc"})


def compute(nodes: Nodes, instruction: Instruction, place: Place) -> int:
    """Return the node of what an instruction computes."""
    opcode = instruction.opcode
    if not instruction.modifiers or not _ODD.isdisjoint(instruction.modifiers):
        return UNKNOWN
    if opcode == "ld":
        return _loaded(nodes, instruction)
    if opcode in ("popc", "clz"):
        return nodes.node("within", number=64)
    values = tuple(nodes.value(operand, place) for operand in instruction.operands[1:])
    kind = instruction.modifiers[-1]
    if opcode == "setp":
        return _compared(nodes, instruction, values)
    if kind == "pred":
        return nodes.node(f"{opcode}.pred", kind, values) if opcode in ("and", "or", "not") else UNKNOWN
    if opcode == "cvt":
        return _converted(nodes, instruction, values)
    return _arithmetic(nodes, instruction, values) if kind in _INTEGERS else UNKNOWN


def _arithmetic(nodes: Nodes, instruction: Instruction, values: tuple[int, ...]) -> int:
    opcode, kind = instruction.opcode, instruction.modifiers[-1]
    if opcode == "mov":
        return values[0]
    if opcode == "cvta":
        return nodes.node("cvta", "", values[:1])
    if opcode == "selp":
        return nodes.node("selp", "", values[:2])
    if opcode in ("mul", "mad"):
        return _multiplied(nodes, instruction, values)
    return nodes.node(opcode, kind, values) if opcode in OPERATIONS else UNKNOWN


def _multiplied(nodes: Nodes, instruction: Instruction, values: tuple[int, ...]) -> int:
    how = instruction.modifiers[0]
    kind = instruction.modifiers[-1]
    if how not in ("lo", "hi", "wide"):
        return UNKNOWN
    product = nodes.node(f"mul.{how}", kind, values[:2])
    if instruction.opcode == "mul":
        return product
    wide = f"{kind[0]}{16 * TYPE_SIZES[kind]}" if how == "wide" else kind
    return nodes.node("add", wide, (product, values[2]))


def _converted(nodes: Nodes, instruction: Instruction, values: tuple[int, ...]) -> int:
    kinds = [modifier for modifier in instruction.modifiers if modifier in TYPE_SIZES]
    target = instruction.operands[0]
    if len(kinds) != 2 or len(instruction.modifiers) != 2 or not _INTEGERS.issuperset(kinds):
        return UNKNOWN
    size = TYPE_SIZES[nodes.frame.flat.registers[target.name]] if isinstance(target, Register) else 0
    if size != max(TYPE_SIZES[kinds[0]], 2):
        return UNKNOWN  # what is in the rest of the register is another matter
    return nodes.node("cvt", ".".join(kinds), values)


def _compared(nodes: Nodes, instruction: Instruction, values: tuple[int, ...]) -> int:
    """Return a comparison, perhaps joined with a predicate."""
    relation, kind = instruction.modifiers[0], instruction.modifiers[-1]
    if relation not in _RELATIONS or kind not in _INTEGERS:
        return UNKNOWN
    found = nodes.node("setp", f"{relation}.{kind}", values[:2])
    if len(instruction.modifiers) == 2:
        return found
    how = instruction.modifiers[1]
    if len(instruction.modifiers) != 3 or len(values) != 3 or how not in ("and", "or"):
        return UNKNOWN
    return nodes.node(f"{how}.pred", "pred", (found, values[2]))


def _loaded(nodes: Nodes, instruction: Instruction) -> int:
    """Return the node of what a load brings: an argument, or a number of few bits."""
    target, address = instruction.operands[:2]
    kind = instruction.modifiers[-1]
    if kind not in _INTEGERS or not isinstance(target, Register) or not isinstance(address, Address):
        return UNKNOWN
    if "param" not in instruction.modifiers:
        return nodes.node("some", kind) if TYPE_SIZES[kind] < 4 else UNKNOWN
    if not isinstance(address.base, Symbol) or address.base.name not in nodes.layout:
        return UNKNOWN
    position, start, size = nodes.layout[address.base.name]
    offset = address.base.offset + address.offset
    root = nodes.frame.roots.get(ParameterWord(position, offset))
    if root is not None and TYPE_SIZES[kind] == 8:
        return nodes.node("root", number=root.position)
    if not 0 <= offset <= size - TYPE_SIZES[kind]:
        return UNKNOWN
    nodes.numbers[start + offset, TYPE_SIZES[kind]] = None
    return nodes.node("param", kind, number=start + offset)


def is_plain(instruction: Instruction) -> bool:
    """Tell whether an instruction is integer arithmetic that wraps around."""
    return len(instruction.modifiers) == 1 and instruction.modifiers[0] in _INTEGERS
