"""The loops around a region: over the threads of a block, over some of them, and over blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.abi import State
from pycuda_guard.cpu.codegen.context import prepare
from pycuda_guard.cpu.codegen.special import Thread
from pycuda_guard.cpu.codegen.types import I8, I32, I64, POINTER, VOID

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.context import ModuleContext

    Triple = tuple[ir.Value, ir.Value, ir.Value]

_OFFSETS = abi.block_offsets()
_BLOCK_BYTES = max(_OFFSETS.values()) + 8
#: CUDA's limits: threads of a block along each axis, blocks of a grid along each axis
_MOST_THREADS = (1025, 1025, 65)
_MOST_BLOCKS = (1 << 31, 1 << 16, 1 << 16)


def over_blocks(module: ModuleContext, name: str, region: ir.Function) -> None:
    """Define ``name(block, first, last)``: run blocks ``first`` to ``last - 1``, whole."""
    function = _define(module, name, ir.FunctionType(VOID, [POINTER, I64, I64]))
    block, first, last = function.args
    frame = _Frame(module, function, block)
    b = frame.builder
    grid = [b.zext(frame.field("grid", axis, (1, _MOST_BLOCKS[axis])), I64) for axis in range(2)]
    before = b.block
    loop = function.append_basic_block("block")
    done = function.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    number = b.phi(I64, "number")
    number.add_incoming(first, before)
    row = b.udiv(number, grid[0])
    index = (
        b.trunc(b.urem(number, grid[0]), I32),
        b.trunc(b.urem(row, grid[1]), I32),
        b.trunc(b.udiv(row, grid[1]), I32),
    )
    frame.all_threads(index, lambda thread: b.call(region, thread.arguments()))
    following = b.add(number, ir.Constant(I64, 1), flags=("nuw", "nsw"))
    number.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, last), loop, done)
    b.position_at_end(done)
    b.ret_void()


def over_all_threads(module: ModuleContext, name: str, region: ir.Function, outcomes: set[int]) -> None:
    """Define ``name(block) -> i32``: run a region for all threads; return where all go on, or MIXED."""
    function = _define(module, name, ir.FunctionType(I32, [POINTER]))
    frame = _Frame(module, function, function.args[0])
    b = frame.builder
    if len(outcomes) == 1:
        frame.all_threads(frame.block_index(), lambda thread: b.call(region, thread.arguments()))
        b.ret(ir.Constant(I32, next(iter(outcomes))))
        return
    every = b.alloca(I32)
    some = b.alloca(I32)
    b.store(ir.Constant(I32, -1), every)
    b.store(ir.Constant(I32, 0), some)
    states = frame.pointer_field("state")

    def run(thread: Thread) -> None:
        state = b.call(region, thread.arguments())
        frame.store_state(states, thread.linear, state)
        b.store(b.and_(b.load(every, typ=I32), state), every)
        b.store(b.or_(b.load(some, typ=I32), state), some)

    frame.all_threads(frame.block_index(), run)
    common = b.load(every, typ=I32)
    same = b.icmp_unsigned("==", common, b.load(some, typ=I32))
    b.ret(b.select(same, common, ir.Constant(I32, int(State.MIXED))))


def over_some_threads(module: ModuleContext, name: str, region: ir.Function) -> None:
    """Define ``name(block, low, high)``: run a region for threads ``low`` to ``high - 1``.

    Their states then say where each goes on.
    """
    function = _define(module, name, ir.FunctionType(VOID, [POINTER, I32, I32]))
    block, low, high = function.args
    frame = _Frame(module, function, block)
    b = frame.builder
    states = frame.pointer_field("state")
    block_index = frame.block_index()
    width, height = frame.dimensions[:2]
    row = b.udiv(low, width)
    start = (b.urem(low, width), b.urem(row, height), b.udiv(row, height))
    before = b.block
    loop = function.append_basic_block("thread")
    done = function.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    linear = b.phi(I32, "linear")
    x, y, z = (b.phi(I32) for _ in range(3))
    linear.add_incoming(low, before)
    for phi, value in zip((x, y, z), start, strict=True):
        phi.add_incoming(value, before)
    state = b.call(region, frame.thread(block_index, (x, y, z), linear).arguments())
    frame.store_state(states, linear, state)
    one, zero = ir.Constant(I32, 1), ir.Constant(I32, 0)
    next_x = b.add(x, one)
    row_ends = b.icmp_unsigned("==", next_x, width)
    next_y = b.add(y, b.zext(row_ends, I32))
    plane_ends = b.icmp_unsigned("==", next_y, height)
    following = b.add(linear, one)
    linear.add_incoming(following, b.block)
    x.add_incoming(b.select(row_ends, zero, next_x), b.block)
    y.add_incoming(b.select(plane_ends, zero, next_y), b.block)
    z.add_incoming(b.add(z, b.zext(plane_ends, I32)), b.block)
    b.cbranch(b.icmp_signed("<", following, high), loop, done)
    b.position_at_end(done)
    b.ret_void()


class _Frame:
    """What the loops read of ``struct pg_block``."""

    def __init__(self, module: ModuleContext, function: ir.Function, block: ir.Value) -> None:
        self._metadata = module.metadata
        self._function = function
        self._block = block
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.dimensions = self._triple(
            "block", ((1, _MOST_THREADS[0]), (1, _MOST_THREADS[1]), (1, _MOST_THREADS[2]))
        )
        self._local = self._load("local", 0, I64)
        self._stride = self.builder.zext(self._load("local_stride", 0, I32), I64)

    def field(self, name: str, axis: int, limits: tuple[int, int]) -> ir.Value:
        """Return one element of an ``i32`` field, known to be in ``[low, high)``."""
        value = self._load(name, axis, I32)
        self._metadata.range(value, *limits)
        return value

    def pointer_field(self, name: str) -> ir.Value:
        """Return a field that holds a host address as a pointer."""
        return self._load(name, 0, POINTER)

    def block_index(self) -> Triple:
        """Return the index of the block that runs."""
        return self._triple("block_index", tuple((0, most) for most in _MOST_BLOCKS))

    def thread(self, block_index: Triple, index: Triple, linear: ir.Value) -> Thread:
        """Return the arguments of one thread."""
        b = self.builder
        local = b.add(self._local, b.mul(b.zext(linear, I64), self._stride))
        return Thread(self._block, local, index, linear, block_index, self.dimensions)

    def store_state(self, states: ir.Value, linear: ir.Value, state: ir.Value) -> None:
        """Store where a thread goes on."""
        b = self.builder
        place = b.mul(b.zext(linear, I64), ir.Constant(I64, 4))
        store = b.store(state, b.gep(states, [place], source_etype=I8), align=4)
        self._metadata.frame(store)

    def all_threads(self, block_index: Triple, run: Callable[[Thread], object]) -> None:
        """Emit ``run`` in loops over z, y and x, the last one declared parallel."""
        b = self.builder
        width, height, depth = self.dimensions

        def rows(z: ir.Value) -> None:
            def row(y: ir.Value) -> None:
                start = b.mul(
                    b.add(b.mul(z, height, flags=_NO_WRAP), y, flags=_NO_WRAP), width, flags=_NO_WRAP
                )

                def column(x: ir.Value) -> None:
                    run(self.thread(block_index, (x, y, z), b.add(start, x, flags=_NO_WRAP)))

                self._count(width, column, parallel=True)

            self._count(height, row)

        self._count(depth, rows)

    def _count(self, end: ir.Value, emit: Callable[[ir.Value], None], parallel: bool = False) -> None:
        """Emit a loop from 0 to ``end``, which is at least 1."""
        b = self.builder
        before = b.block
        loop = self._function.append_basic_block("loop")
        done = self._function.append_basic_block("done")
        b.branch(loop)
        b.position_at_end(loop)
        index = b.phi(I32)
        index.add_incoming(ir.Constant(I32, 0), before)
        emit(index)
        following = b.add(index, ir.Constant(I32, 1), flags=_NO_WRAP)
        index.add_incoming(following, b.block)
        branch = b.cbranch(b.icmp_unsigned("<", following, end), loop, done)
        if parallel:
            self._metadata.parallel_loop(branch)
        b.position_at_end(done)

    def _triple(self, name: str, limits: tuple[tuple[int, int], ...]) -> Triple:
        x, y, z = (self.field(name, axis, limits[axis]) for axis in range(3))
        return x, y, z

    def _load(self, name: str, axis: int, kind: ir.Type) -> ir.Value:
        place = ir.Constant(I64, _OFFSETS[name] + 4 * axis)
        value = self.builder.load(
            self.builder.gep(self._block, [place], source_etype=I8), typ=kind, align=4 if kind is I32 else 8
        )
        self._metadata.field(value, name)
        return value


_NO_WRAP = ("nuw", "nsw")


def _define(module: ModuleContext, name: str, kind: ir.FunctionType) -> ir.Function:
    function = ir.Function(module.module, kind, name)
    prepare(function)
    block = function.args[0]
    block.add_attribute("noalias")
    block.attributes.dereferenceable = _BLOCK_BYTES
    return function
