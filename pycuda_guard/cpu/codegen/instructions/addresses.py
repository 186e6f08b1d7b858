"""Generic addresses and those of a space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen import spaces
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.instructions.values import extend
from pycuda_guard.cpu.codegen.types import width
from pycuda_guard.kernels.ptx.ir import Register, Space, Symbol

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction

#: what an instruction may call a space; blocks are clusters of their own
SPACES = {
    "global": Space.GLOBAL,
    "shared": Space.SHARED,
    "shared::cta": Space.SHARED,
    "shared::cluster": Space.SHARED,
    "local": Space.LOCAL,
    "const": Space.CONST,
    "param": Space.PARAM,
    "param::entry": Space.PARAM,
    "param::func": Space.PARAM,
}


def take_space(m: Modifiers) -> Space:
    """Take the space that an instruction names, or GENERIC."""
    return SPACES.get(m.one_of(*SPACES, default=""), Space.GENERIC)


@lowers("cvta", limits="no generic addresses of kernel parameters")
def convert_address(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cvta``: generic address of one in a space; ``cvta.to`` the other way round."""
    to_space, space = m.flag("to"), take_space(m)
    kind = m.type("u32", "u64", "b64")
    source = i.operands[1]
    address: ir.Value
    if isinstance(source, Symbol):
        space, address = e.symbol_address(source.name, source.offset)
    else:
        address = extend(e, e.read(source, kind), 64, False)
    result = (spaces.from_generic if to_space else spaces.to_generic)(e, address, space)
    e.write(i.operands[0], extend(e, result, width(kind), False), kind)


@lowers("isspacep", limits="constant memory counts as global, parameters as none")
def is_in_space(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``isspacep``: whether a generic address lies in a space."""
    space = take_space(m)
    source = i.operands[1]
    if not isinstance(source, Register):
        e.unsupported("address that is no register")
    e.write(i.operands[0], spaces.is_in_space(e, e.read(source, "u64"), space), "pred")


@lowers("mapa")
def map_address(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mapa``: the address in another block of the cluster; every block is alone in its cluster."""
    take_space(m)
    kind = m.type("u32", "u64")
    e.write(i.operands[0], e.read(i.operands[1], kind), kind)


@lowers("getctarank")
def rank_of_block(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``getctarank``: 0, as every block is alone in its cluster."""
    take_space(m)
    kind = m.type("u32", "u64")
    value = e.read(i.operands[1], kind)
    e.write(i.operands[0], e.builder.and_(extend(e, value, 32, False), value.type(0)), "u32")
