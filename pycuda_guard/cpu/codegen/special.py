"""Special registers, and the values every thread has from its caller."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.codegen.types import I32, I64, POINTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter

WARP_SIZE = 32
_AXES = "xyz"


@dataclass(frozen=True, slots=True)
class Thread:
    """Arguments that every function of generated code has: the block and which thread of it runs.

    ``block`` points to ``struct pg_block``; ``local`` (``i64``) is the device address of the thread's free
    local memory: variables of the function that runs are there. The others are ``i32``, triples in the
    order x, y, z.
    """

    block: ir.Value
    local: ir.Value
    index: tuple[ir.Value, ir.Value, ir.Value]
    linear: ir.Value
    block_index: tuple[ir.Value, ir.Value, ir.Value]
    block_dimensions: tuple[ir.Value, ir.Value, ir.Value]

    def arguments(self) -> list[ir.Value]:
        """Return them as the leading arguments of a call."""
        return [self.block, self.local, *self.index, self.linear, *self.block_index, *self.block_dimensions]


#: types of ``Thread.arguments()``
THREAD_TYPES = (POINTER, I64, *(I32,) * 10)


def thread_of(arguments: list[ir.Value]) -> Thread:
    """Return the Thread that the leading arguments of a generated function describe."""
    block, local, x, y, z, linear, *rest = arguments[: len(THREAD_TYPES)]
    return Thread(block, local, (x, y, z), linear, (rest[0], rest[1], rest[2]), (rest[3], rest[4], rest[5]))


def float_of_bits(kind: str, bits: int) -> float:
    """Return the number that an ``f32`` or ``f64`` bit pattern stands for."""
    return float(
        struct.unpack("<f", struct.pack("<I", bits))[0]
        if kind == "f32"
        else struct.unpack("<d", struct.pack("<Q", bits))[0]
    )


def read(e: Emitter, name: str) -> ir.Value:
    """Return a special register as an integer of its width; Unsupported for one the device lacks."""
    stem, _, axis = name.lstrip("%").partition(".")
    if axis and axis in _AXES and stem in _TRIPLES:
        return _TRIPLES[stem](e, _AXES.index(axis))
    if stem in _TRIPLES and axis == "w":
        return ir.Constant(I32, 0 if stem.endswith("id") and not stem.startswith("n") else 1)
    if stem in _SINGLES and not axis:
        return _SINGLES[stem](e)
    e.unsupported(f"special register {name}")


def _number(value: int) -> Callable[[Emitter], ir.Value]:
    return lambda e: ir.Constant(I32, value)


def _numbers(value: int) -> Callable[[Emitter, int], ir.Value]:
    return lambda e, axis: ir.Constant(I32, value)


def _lane_mask(e: Emitter, *, below: bool, itself: bool) -> ir.Value:
    """Return the mask of the lanes below (or above) this one, with it or without."""
    b = e.builder
    one = b.shl(ir.Constant(I32, 1), e.lane)
    less = b.sub(one, ir.Constant(I32, 1))
    with_itself = b.or_(less, one)
    if below:
        return with_itself if itself else less
    return b.not_(less if itself else with_itself)


def _cycles(e: Emitter) -> ir.Value:
    return e.call(e.declare("llvm.readcyclecounter", I64, []), [])


def _total_shared(e: Emitter) -> ir.Value:
    return e.builder.add(e.context.static_shared_size(), e.block_field("dynamic_shared"))


_TRIPLES: dict[str, Callable[[Emitter, int], ir.Value]] = {
    "tid": lambda e, axis: e.thread.index[axis],
    "ntid": lambda e, axis: e.thread.block_dimensions[axis],
    "ctaid": lambda e, axis: e.thread.block_index[axis],
    "nctaid": lambda e, axis: e.block_field("grid", axis),
    # without clusters every block is a cluster of its own
    "clusterid": lambda e, axis: e.thread.block_index[axis],
    "nclusterid": lambda e, axis: e.block_field("grid", axis),
    "cluster_ctaid": _numbers(0),
    "cluster_nctaid": _numbers(1),
}

_SINGLES: dict[str, Callable[[Emitter], ir.Value]] = {
    "laneid": lambda e: e.lane,
    "warpid": lambda e: e.builder.lshr(e.thread_linear, ir.Constant(I32, 5)),
    "nwarpid": _number(64),  # of a multiprocessor, not of the block
    "smid": _number(0),
    "nsmid": _number(1),
    "gridid": lambda e: ir.Constant(I64, 0),
    "WARP_SZ": _number(WARP_SIZE),
    "lanemask_eq": lambda e: e.builder.shl(ir.Constant(I32, 1), e.lane),
    "lanemask_lt": lambda e: _lane_mask(e, below=True, itself=False),
    "lanemask_le": lambda e: _lane_mask(e, below=True, itself=True),
    "lanemask_gt": lambda e: _lane_mask(e, below=False, itself=False),
    "lanemask_ge": lambda e: _lane_mask(e, below=False, itself=True),
    "clock": lambda e: e.builder.trunc(_cycles(e), I32),
    "clock_hi": lambda e: e.builder.trunc(e.builder.lshr(_cycles(e), ir.Constant(I64, 32)), I32),
    "clock64": _cycles,
    "globaltimer": lambda e: e.call(e.declare("pg_globaltimer", I64, []), []),
    "globaltimer_lo": lambda e: e.builder.trunc(e.call(e.declare("pg_globaltimer", I64, []), []), I32),
    "globaltimer_hi": lambda e: e.builder.trunc(
        e.builder.lshr(e.call(e.declare("pg_globaltimer", I64, []), []), ir.Constant(I64, 32)), I32
    ),
    "dynamic_smem_size": lambda e: e.block_field("dynamic_shared"),
    "total_smem_size": _total_shared,
    "reserved_smem_offset_begin": _number(0),
    "reserved_smem_offset_end": _number(0),
    "reserved_smem_offset_cap": _number(0),
    "is_explicit_cluster": lambda e: ir.Constant(ir.IntType(1), 0),
    "cluster_ctarank": _number(0),
    "cluster_nctarank": _number(1),
}
