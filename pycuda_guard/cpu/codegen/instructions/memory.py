"""Loads and stores in every space; hints to caches are taken and ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.codegen.instructions.addresses import take_space
from pycuda_guard.cpu.codegen.instructions.mbarrier import arrive
from pycuda_guard.cpu.codegen.instructions.moves import read_bits
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers
from pycuda_guard.cpu.codegen.types import I8, I32, I64, bits_type, width
from pycuda_guard.kernels.ptx.ir import Address, Space, Symbol, Vector

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

#: cache operators; eviction priorities and prefetch sizes begin with ``L1::`` and the like
_HINT_NAMES = frozenset({"ca", "cg", "cs", "lu", "cv", "wb", "wt", "unified", "weak"})
_SCOPES = ("cta", "cluster", "gpu", "sys")


def take_hints(m: Modifiers) -> None:
    """Take cache hints and scopes, which mean nothing to one coherent memory."""
    m.drop("L1::", "L2::", "level::")
    m.flag(*_HINT_NAMES, *_SCOPES)


class _Access:
    """What ``ld`` and ``st`` say alike."""

    def __init__(self, e: Emitter, m: Modifiers) -> None:
        self.space = take_space(m)
        self.ordering = m.one_of("relaxed", "acquire", "release", "mmio", default="")
        self.volatile = m.flag("volatile") or bool(self.ordering)
        m.one_of("v2", "v4", "v8", default="")
        take_hints(m)
        m.flag("nc")
        self.kind = m.type()
        self.size = width(self.kind) // 8
        if self.space is Space.PARAM:
            self.volatile = False

    def places(self, e: Emitter, operand: Operand, count: int) -> list[ir.Value]:
        """Return a host pointer for each of ``count`` elements."""
        first = e.pointer(operand, self.space, self.size * count)
        offsets = (ir.Constant(I64, self.size * index) for index in range(count))
        return [
            e.builder.gep(first, [offset], source_etype=I8) if offset.constant else first
            for offset in offsets
        ]


def _elements(operand: Operand) -> tuple[Operand, ...]:
    return operand.elements if isinstance(operand, Vector) else (operand,)


@lowers("ld", "ldu", limits="cache hints have no effect")
def load(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``ld``, ``ldu``: one to eight numbers; narrow ones are extended by their type's sign."""
    is_constant = "nc" in i.modifiers or i.opcode == "ldu"
    access = _Access(e, m)
    invariant = (
        is_constant or access.space is Space.CONST or _is_kernel_parameter(e, i)
    ) and not access.volatile
    targets = _elements(i.operands[0])
    kind = bits_type(access.kind)
    values = [
        e.load(place, kind, access.space, volatile=access.volatile, invariant=invariant)
        for place in access.places(e, i.operands[1], len(targets))
    ]
    if access.ordering == "acquire":
        e.builder.fence("acquire")
    for target, value in zip(targets, values, strict=True):
        e.write(target, value, access.kind)


def _is_kernel_parameter(e: Emitter, i: Instruction) -> bool:
    """Whether this reads a parameter of the running kernel, which nobody writes."""
    address, function = i.operands[1], e.context.flat.function
    return (
        function.entry
        and isinstance(address, Address)
        and isinstance(address.base, Symbol)
        and any(parameter.name == address.base.name for parameter in function.parameters)
    )


@lowers("st", limits="cache hints have no effect")
def store(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``st``: one to eight numbers."""
    access = _Access(e, m)
    sources = _elements(i.operands[1])
    values = [read_bits(e, source, access.kind) for source in sources]
    places = access.places(e, i.operands[0], len(sources))
    if access.ordering == "release":
        e.builder.fence("release")
    for value, place in zip(values, places, strict=True):
        e.store(value, place, access.space, volatile=access.volatile)


@lowers("alloca")
def take_local_memory(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``alloca``, which is given the register of :mod:`pycuda_guard.cpu.codegen.stack`.

    The address of more than is left faults.
    """
    m.type("u64")
    targets, top, size, *rest = i.operands
    alignment = getattr(rest[0], "value", 0) if rest else 8
    if alignment < 1 or alignment & (alignment - 1):
        e.unsupported("alignment that is no power of two")
    b = e.builder
    up = b.add(e.read(top, "u64"), ir.Constant(I64, alignment - 1))
    start = b.and_(up, ir.Constant(I64, -alignment))
    nbytes = e.read(size, "u64")
    end = _end_of_local_memory(e)
    room = b.sub(end, start)
    fits = b.and_(b.icmp_unsigned("<=", start, end), b.icmp_unsigned("<=", nbytes, room))
    poison = ir.Constant(I64, abi.POISON)
    for target, value in zip(_elements(targets), (start, b.add(start, nbytes)), strict=True):
        e.write(target, b.select(fits, value, poison), "u64")


def _end_of_local_memory(e: Emitter) -> ir.Value:
    """Return the device address (``i64``) where the thread's local memory ends."""
    b = e.builder
    following = b.add(e.thread_linear, ir.Constant(I32, 1))
    stride = b.zext(e.block_field("local_stride"), I64)
    return b.add(e.block_field("local"), b.mul(b.zext(following, I64), stride))


@lowers("prefetch", "prefetchu", "applypriority", "discard", limits="has no effect")
def hint(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """Hints about future accesses: nothing to do."""
    take_space(m)
    take_hints(m)
    m.flag("L1", "L2", "tensormap")


@lowers("cp", limits="copies at once; no bulk and no tensor forms")
def copy_asynchronously(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async``: copied at once, so that there is nothing to wait for; missing source bytes are zeros."""
    if not m.flag("async"):
        e.unsupported("other than cp.async")
    if m.flag("commit_group", "wait_group", "wait_all"):
        return
    if m.flag("mbarrier"):
        return _arrive(e, i, m)
    m.flag("shared", "shared::cta", "global", "ca", "cg")
    take_hints(m)
    m.finish()
    target, source, size, *rest = i.operands
    nbytes = getattr(size, "value", 0)
    if nbytes not in (4, 8, 16):
        e.unsupported("copy size other than 4, 8 or 16 bytes")
    _copy(e, target, source, nbytes, rest[0] if rest else None)


def _arrive(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``cp.async.mbarrier.arrive``: the copies are done; with ``.noinc`` that is an arrival."""
    m.one_of("arrive")
    counts = m.flag("noinc")
    space = take_space(m)
    m.type("b64")
    place = e.pointer(i.operands[0], space, 8)
    if counts:
        arrive(e, place, ir.Constant(I64, 1))


def _copy(e: Emitter, target: Operand, source: Operand, nbytes: int, limit: Operand | None) -> None:
    """Copy ``nbytes`` bytes of which the first ``limit`` come from the source."""
    b = e.builder
    places = e.pointer(target, Space.SHARED, nbytes)
    if limit is None:
        origin = e.pointer(source, Space.GLOBAL, nbytes)
        for offset in range(0, nbytes, 4):
            at = ir.Constant(I64, offset)
            word = e.load(b.gep(origin, [at], source_etype=I8), bits_type("b32"), Space.GLOBAL)
            e.store(word, b.gep(places, [at], source_etype=I8), Space.SHARED)
        return
    count = e.read(limit, "u32")
    for offset in range(nbytes):
        at = ir.Constant(I64, offset)
        place = b.gep(places, [at], source_etype=I8)
        e.store(ir.Constant(I8, 0), place, Space.SHARED)
        with b.if_then(b.icmp_unsigned(">", count, ir.Constant(count.type, offset))):
            origin = e.pointer(source, Space.GLOBAL, nbytes)
            byte = e.load(b.gep(origin, [at], source_etype=I8), I8, Space.GLOBAL)
            e.store(byte, place, Space.SHARED)
