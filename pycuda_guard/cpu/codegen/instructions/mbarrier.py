"""Barriers that are objects in shared memory: ``mbarrier``.

The 64 bits of one are the number of arrivals that its phase still waits for, the number that a phase begins
with, and the number of the phase. Copies are done at once here, so that none are ever under way, and no
barrier has to count bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.abi import Suspension
from pycuda_guard.cpu.codegen.instructions.addresses import take_space
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers, resumes, suspends
from pycuda_guard.cpu.codegen.instructions.values import extend, integer, replace_word
from pycuda_guard.cpu.codegen.types import I64
from pycuda_guard.kernels.ptx.ir import Space

if TYPE_CHECKING:
    from llvmlite import ir

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_COUNT_BITS = 20
_COUNT = (1 << _COUNT_BITS) - 1
_PHASE = 2 * _COUNT_BITS


def _place(e: Emitter, m: Modifiers, operand: Operand) -> ir.Value:
    space = take_space(m)
    m.flag("acquire", "release", "relaxed", "cta", "cluster")
    m.type("b64")
    return e.pointer(operand, space, 8)


def _parts(e: Emitter, word: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Return pending and expected arrivals and the phase (``i64``)."""
    b = e.builder
    pending = b.and_(word, integer(64, _COUNT))
    expected = b.and_(b.lshr(word, integer(64, _COUNT_BITS)), integer(64, _COUNT))
    return pending, expected, b.lshr(word, integer(64, _PHASE))


def _word(e: Emitter, pending: ir.Value, expected: ir.Value, phase: ir.Value) -> ir.Value:
    b = e.builder
    counts = b.or_(pending, b.shl(expected, integer(64, _COUNT_BITS)))
    return b.or_(counts, b.shl(phase, integer(64, _PHASE)))


def arrive(e: Emitter, place: ir.Value, count: ir.Value, drops: bool = False) -> ir.Value:
    """Count arrivals (``i64``); with the last a new phase begins. Return the object's bits before."""
    b = e.builder

    def after(old: ir.Value) -> ir.Value:
        pending, expected, phase = _parts(e, old)
        pending = b.sub(pending, count)
        expected = b.sub(expected, count) if drops else expected
        is_last = b.icmp_signed("<=", pending, integer(64, 0))
        pending = b.select(is_last, expected, pending)
        phase = b.select(is_last, b.add(phase, integer(64, 1)), phase)
        return _word(e, pending, expected, phase)

    return replace_word(e, place, "acq_rel", after, 64)


@lowers("mbarrier", limits="no counts of bytes (expect_tx, complete_tx)")
def change(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mbarrier.init``, ``inval``, ``arrive``, ``arrive_drop``, ``pending_count``."""
    m.flag("noComplete")
    action = m.one_of("init", "inval", "arrive", "arrive_drop", "pending_count")
    if action == "pending_count":
        m.type("b64")
        pending, _, _ = _parts(e, e.read(i.operands[1], "b64"))
        return e.write(i.operands[0], extend(e, pending, 32, False), "u32")
    if action == "inval":
        _place(e, m, i.operands[0])
        return None
    if action == "init":
        place = _place(e, m, i.operands[0])
        count = extend(e, e.read(i.operands[1], "u32"), 64, False)
        return e.store(_word(e, count, count, integer(64, 0)), place, Space.SHARED, volatile=True)
    target, address, *counts = i.operands
    one = integer(32, 1)
    count = extend(e, e.read(counts[0], "u32") if counts else one, 64, False)
    old = arrive(e, _place(e, m, address), count, action == "arrive_drop")
    return e.write(target, old, "b64")


@suspends("mbarrier")
def let_others_go_on(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """``test_wait``, ``try_wait``: a thread that asks waits for others, who have to run for that."""
    m.flag(*i.modifiers)
    return Suspension.SPIN


@resumes("mbarrier")
def test(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``test_wait``, ``try_wait``: whether the phase of a state, or that of a parity, is over."""
    b = e.builder
    m.one_of("test_wait", "try_wait")
    by_parity = m.flag("parity")
    place = _place(e, m, i.operands[1])
    now = _parts(e, e.load(place, I64, Space.SHARED, volatile=True))[2]
    if by_parity:
        given = extend(e, e.read(i.operands[2], "u32"), 64, False)
        now = b.and_(now, integer(64, 1))
    else:
        given = _parts(e, e.read(i.operands[2], "b64"))[2]
    e.write(i.operands[0], b.icmp_unsigned("!=", now, given), "pred")
