"""The loops around a region: over the threads of a block, over some of them, and over blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.abi import State
from pycuda_guard.cpu.codegen import fields
from pycuda_guard.cpu.codegen.context import prepare
from pycuda_guard.cpu.codegen.special import Thread
from pycuda_guard.cpu.codegen.types import I1, I8, I32, I64, POINTER, VOID

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.context import ModuleContext
    from pycuda_guard.cpu.codegen.fields import Invariants

    Triple = tuple[ir.Value, ir.Value, ir.Value]


@dataclass(frozen=True, slots=True)
class Region:
    """A region's LLVM function, and what it may return.

    ``guard`` says for a thread whether it passes the test at the start of the kernel, if there is one.
    """

    function: ir.Function
    invariants: Invariants
    outcomes: set[int]
    guard: ir.Function | None


def over_blocks(module: ModuleContext, name: str, region: Region) -> None:
    """Define ``name(block, first, last)``: run blocks ``first`` to ``last - 1``, whole."""
    function = _define(module, name, ir.FunctionType(VOID, [POINTER, I64, I64]))
    _, first, last = function.args
    frame = _Frame(module, function, region)
    b = frame.builder
    grid = [b.zext(frame.field("grid", axis), I64) for axis in range(2)]
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
    frame.all_threads(index)
    following = b.add(number, ir.Constant(I64, 1), flags=("nuw", "nsw"))
    number.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, last), loop, done)
    b.position_at_end(done)
    b.ret_void()


def over_all_threads(module: ModuleContext, name: str, region: Region) -> None:
    """Define ``name(block) -> i32``: run a region for all threads; return where all go on, or MIXED."""
    function = _define(module, name, ir.FunctionType(I32, [POINTER]))
    frame = _Frame(module, function, region)
    b = frame.builder
    if len(region.outcomes) == 1:
        frame.all_threads(frame.block_index())
        b.ret(ir.Constant(I32, next(iter(region.outcomes))))
        return
    every = b.alloca(I32)
    some = b.alloca(I32)
    b.store(ir.Constant(I32, -1), every)
    b.store(ir.Constant(I32, 0), some)
    states = frame.pointer_field("state")

    def after(thread: Thread, state: ir.Value) -> None:
        frame.store_state(states, thread.linear, state)
        b.store(b.and_(b.load(every, typ=I32), state), every)
        b.store(b.or_(b.load(some, typ=I32), state), some)

    frame.all_threads(frame.block_index(), after)
    common = b.load(every, typ=I32)
    same = b.icmp_unsigned("==", common, b.load(some, typ=I32))
    b.ret(b.select(same, common, ir.Constant(I32, int(State.MIXED))))


def over_some_threads(module: ModuleContext, name: str, region: Region) -> None:
    """Define ``name(block, low, high)``: run a region for threads ``low`` to ``high - 1``.

    Their states then say where each goes on.
    """
    function = _define(module, name, ir.FunctionType(VOID, [POINTER, I32, I32]))
    _, low, high = function.args
    frame = _Frame(module, function, region)
    b = frame.builder
    states = frame.pointer_field("state")
    block_index = frame.block_index()
    width, height = frame.dimensions[:2]
    row = b.udiv(low, width)
    start = (b.urem(low, width), b.urem(row, height), b.udiv(row, height))
    before = b.block
    loop = function.append_basic_block("row")
    done = function.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    linear = b.phi(I32, "linear")
    x, y, z = (b.phi(I32) for _ in range(3))
    linear.add_incoming(low, before)
    for phi, value in zip((x, y, z), start, strict=True):
        phi.add_incoming(value, before)
    to_end, wanted = b.sub(width, x), b.sub(high, linear)
    count = b.select(b.icmp_unsigned("<", to_end, wanted), to_end, wanted)

    def column(i: ir.Value) -> None:
        index = (b.add(x, i, flags=_NO_WRAP), y, z)
        number = b.add(linear, i, flags=_NO_WRAP)
        frame.store_state(states, number, frame.run(frame.thread(block_index, index, number)))

    frame.count(count, column, parallel=True)
    one, zero = ir.Constant(I32, 1), ir.Constant(I32, 0)
    next_y = b.add(y, one)
    plane_ends = b.icmp_unsigned("==", next_y, height)
    following = b.add(linear, count)
    linear.add_incoming(following, b.block)
    x.add_incoming(zero, b.block)
    y.add_incoming(b.select(plane_ends, zero, next_y), b.block)
    z.add_incoming(b.add(z, b.zext(plane_ends, I32)), b.block)
    b.cbranch(b.icmp_signed("<", following, high), loop, done)
    b.position_at_end(done)
    b.ret_void()


class _Frame:
    """What the loops read of ``struct pg_block``."""

    def __init__(self, module: ModuleContext, function: ir.Function, region: Region) -> None:
        self._region = region
        self._metadata = module.metadata
        self._function = function
        self._block = function.args[0]
        b = self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.dimensions = self._triple("block")
        self._invariants = region.invariants.read(b, self._metadata, self._block)
        known = dict(zip(region.invariants.keys, self._invariants, strict=True))
        self._every = b.alloca(I32)  # whether all threads of the row pass
        self._local = known["field", "local", 0]
        self._stride = b.zext(known["field", "local_stride", 0], I64)

    def field(self, name: str, index: int) -> ir.Value:
        """Return an element of a field of the block."""
        return fields.read_field(self.builder, self._metadata, self._block, name, index)

    def pointer_field(self, name: str) -> ir.Value:
        """Return a field that holds a host address as a pointer."""
        return fields.read_pointer(self.builder, self._metadata, self._block, name)

    def block_index(self) -> Triple:
        """Return the index of the block that runs."""
        return self._triple("block_index")

    def run(self, thread: Thread, passes: bool = False) -> ir.Value:
        """Emit a call of the region; ``passes``: the thread is known to pass the guard."""
        arguments = [*thread.arguments(), *self._invariants, ir.Constant(I1, passes)]
        return self.builder.call(self._region.function, arguments)

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

    def all_threads(
        self, block_index: Triple, after: Callable[[Thread, ir.Value], None] | None = None
    ) -> None:
        """Emit the region, and then ``after`` with its outcome, for all threads of the block."""
        b = self.builder
        width, height, depth = self.dimensions

        def plane(z: ir.Value) -> None:
            def row(y: ir.Value) -> None:
                before = b.mul(z, height, flags=_NO_WRAP)
                start = b.mul(b.add(before, y, flags=_NO_WRAP), width, flags=_NO_WRAP)

                def thread(x: ir.Value) -> Thread:
                    return self.thread(block_index, (x, y, z), b.add(start, x, flags=_NO_WRAP))

                self._row(thread, after or (lambda thread, state: None))

            self.count(height, row)

        self.count(depth, plane)

    def _row(self, thread: Callable[[ir.Value], Thread], after: Callable[[Thread, ir.Value], None]) -> None:
        """Emit the loop over x: one without the guard for a row that passes it as a whole, and one with."""
        b = self.builder
        width = self.dimensions[0]

        def run(passes: bool) -> None:
            def column(x: ir.Value) -> None:
                one = thread(x)
                after(one, self.run(one, passes))

            self.count(width, column, parallel=True)

        if self._region.guard is None:
            run(False)
            return
        b.store(ir.Constant(I32, 1), self._every)

        def test(x: ir.Value) -> None:
            passed = b.call(self._region.guard, [*thread(x).arguments(), *self._invariants])
            b.store(b.and_(b.load(self._every, typ=I32), b.zext(passed, I32)), self._every)

        self.count(width, test, parallel=True)
        whole = b.icmp_unsigned("!=", b.load(self._every, typ=I32), ir.Constant(I32, 0))
        with b.if_else(whole) as (inside, border):
            with inside:
                run(True)
            with border:
                run(False)

    def count(self, end: ir.Value, emit: Callable[[ir.Value], None], parallel: bool = False) -> None:
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

    def _triple(self, name: str) -> Triple:
        return self.field(name, 0), self.field(name, 1), self.field(name, 2)


_NO_WRAP = ("nuw", "nsw")


def _define(module: ModuleContext, name: str, kind: ir.FunctionType) -> ir.Function:
    function = ir.Function(module.module, kind, name)
    prepare(function)
    block = function.args[0]
    block.add_attribute("noalias")
    block.attributes.dereferenceable = fields.BLOCK_BYTES
    return function
