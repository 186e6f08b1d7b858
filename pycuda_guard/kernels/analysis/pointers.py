"""Which pointer parameters a kernel loads further pointers from (``float **rows``).

A small forward analysis over the whole function, without control flow: each register holds the
union of the origins that any of its definitions gives it. Only sure cases count, so an address
into which anything else flows, as in ``base + offsets[i]``, follows no parameter.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.kernels.ptx.ir import Address, Instruction, Register, Symbol, Vector
from pycuda_guard.kernels.ptx.opcodes import definitions, uses

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Operand


class Kind(Enum):
    """How a value comes from a parameter."""

    PARAMETER = "parameter"  # the parameter itself, or an address computed from it
    LOADED = "loaded"  # 64 bits loaded through it, or an address computed from them
    OTHER = "other"  # from memory, a symbol or a call that says nothing of a parameter


class Origin(NamedTuple):
    """Where a value comes from: ``position`` is that of the kernel parameter."""

    kind: Kind
    position: int = -1


_OTHER = Origin(Kind.OTHER)
_WIDE = frozenset({"u64", "s64", "b64"})
_NOT_GLOBAL = frozenset({"shared", "local", "param", "const"})
#: opcodes whose result is an address if an operand is one
_ADDRESS_ARITHMETIC = frozenset({"mov", "cvta", "add", "sub", "mad", "selp"})


def followed_parameters(function: FlatFunction) -> tuple[int, ...]:
    """Return the positions of parameters through which the kernel loads pointers that it then uses.

    Where the analysis is not sure, a position is left out. Linear in the size of the function for
    each turn; turns end when nothing changes, at most as many as origins have steps to travel.
    """
    positions = {
        parameter.name: position
        for position, parameter in enumerate(function.function.parameters)
        if parameter.type in _WIDE and not parameter.dims
    }
    instructions = [entry for entry in function.body if isinstance(entry, Instruction)]
    origins: dict[str, frozenset[Origin]] = {}
    changed = True
    while changed:
        changed = False
        for instruction in instructions:
            found = _result(instruction, positions, origins)
            for name in definitions(instruction) if found else ():
                known = origins.get(name, frozenset())
                if not found <= known:
                    origins[name] = known | found
                    changed = True
    followed = set()
    for instruction in instructions:
        for operand in instruction.operands:
            if isinstance(operand, Address) and isinstance(operand.base, Register):
                bases = origins.get(operand.base.name, frozenset())
                if len(bases) == 1 and _NOT_GLOBAL.isdisjoint(instruction.modifiers):
                    followed |= {origin.position for origin in bases if origin.kind is Kind.LOADED}
    return tuple(sorted(followed))


def _result(
    instruction: Instruction, positions: dict[str, int], origins: dict[str, frozenset[Origin]]
) -> frozenset[Origin]:
    """Return the origins of what an instruction writes; none for plain numbers."""
    none: frozenset[Origin] = frozenset()
    if instruction.opcode in ("ld", "ldu") and len(instruction.operands) > 1:
        return _loaded(instruction, positions, origins)
    if instruction.opcode in ("atom", "call"):
        return frozenset({_OTHER})
    if instruction.opcode not in _ADDRESS_ARITHMETIC:
        return none
    if any(isinstance(operand, Symbol) for operand in instruction.operands):
        return frozenset({_OTHER})
    return none.union(*(origins.get(register.name, none) for register in uses(instruction)))


def _loaded(
    instruction: Instruction, positions: dict[str, int], origins: dict[str, frozenset[Origin]]
) -> frozenset[Origin]:
    if _WIDE.isdisjoint(instruction.modifiers):
        return frozenset()
    target, source = instruction.operands[:2]
    if not isinstance(source, Address):
        return frozenset({_OTHER})
    if isinstance(source.base, Symbol):
        position = positions.get(source.base.name)
        whole = position is not None and not source.offset and not isinstance(target, Vector)
        return frozenset({Origin(Kind.PARAMETER, position) if whole and position is not None else _OTHER})
    bases = _origins_of(source.base, origins)
    if len(bases) == 1:
        (base,) = bases
        if base.kind is Kind.PARAMETER and _NOT_GLOBAL.isdisjoint(instruction.modifiers):
            return frozenset({Origin(Kind.LOADED, base.position)})
    # what the origins are is not known yet, or it is not one parameter
    return frozenset({_OTHER}) if bases else frozenset()


def _origins_of(operand: Operand, origins: dict[str, frozenset[Origin]]) -> frozenset[Origin]:
    return origins.get(operand.name, frozenset()) if isinstance(operand, Register) else frozenset()
