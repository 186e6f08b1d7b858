"""Generic addresses and those of a state space (``i64``), made of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.codegen.types import I1, I64
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter


def to_generic(e: Emitter, address: ir.Value, space: Space) -> ir.Value:
    """``cvta``: generic address (``i64``) of an address (``i64``) of a space."""
    if space is Space.SHARED:
        return e.builder.add(address, e.block_field("shared"))
    if space is Space.PARAM:
        e.unsupported("generic address of a parameter")
    return address


def from_generic(e: Emitter, address: ir.Value, space: Space) -> ir.Value:
    """``cvta.to``: address (``i64``) in a space of a generic address (``i64``)."""
    if space is Space.SHARED:
        return e.builder.sub(address, e.block_field("shared"))
    if space is Space.PARAM:
        e.unsupported("parameter address of a generic address")
    return address


def is_in_space(e: Emitter, address: ir.Value, space: Space) -> ir.Value:
    """``isspacep``: whether (``i1``) a generic address (``i64``) lies in a space."""
    builder = e.builder
    shared = builder.icmp_unsigned(
        "<", builder.sub(address, e.block_field("shared")), ir.Constant(I64, abi.SHARED_WINDOW)
    )
    if space is Space.SHARED:
        return shared
    stride = builder.zext(e.block_field("local_stride"), I64)
    extent = builder.mul(stride, builder.zext(e.threads, I64))
    local = builder.icmp_unsigned("<", builder.sub(address, e.block_field("local")), extent)
    if space is Space.LOCAL:
        return local
    if space is Space.GLOBAL:
        return builder.not_(builder.or_(shared, local))
    return ir.Constant(I1, 0)
