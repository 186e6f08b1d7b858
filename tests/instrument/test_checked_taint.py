"""Which registers a static slice takes for possibly uninitialized, and what it says of them."""

from __future__ import annotations

import pytest

from pycuda_guard.kernels.instrument.taint import State, find_taint
from pycuda_guard.kernels.ptx import flatten, parse
from pycuda_guard.kernels.ptx.ir import Instruction

HEAD = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a) {
.reg .b64 %rd<4>; .reg .b32 %r<9>; .reg .f32 %f<9>; .reg .b16 %h<9>; .reg .pred %p<5>;
ld.param.u64 %rd0, [a];
ld.global.b32 %r0, [%rd0];
"""


def taint_of(text: str):
    """Return the taint of a kernel in which ``%r0``, or all of a first load, is loaded."""
    module = parse(f"{HEAD}{text} ret; }}")
    flat = flatten(module.functions["k"], module)
    loads = {
        at: State.COPIED
        for at, entry in enumerate(flat.body)
        if isinstance(entry, Instruction) and entry.opcode == "ld" and "global" in entry.modifiers
    }
    return find_taint(flat, loads)


@pytest.mark.parametrize(
    ("text", "name", "state"),
    [
        ("mov.b32 %r1, %r0;", "%r1", State.COPIED),
        ("cvt.u16.u32 %h1, %r0;", "%h1", State.COPIED),
        ("mov.b32 {%h1, %h2}, %r0;", "%h2", State.COPIED),
        ("shl.b32 %r1, %r0, 1;", "%r1", State.SHIFTED),
        ("shl.b32 %r1, %r0, 16;", "%r1", State.COPIED),
        ("shl.b32 %r1, %r0, 1; or.b32 %r2, %r1, 3;", "%r2", State.COPIED),
        ("add.s32 %r1, %r0, 1;", "%r1", State.COMPUTED),
        ("cvt.rn.f32.s32 %f1, %r0;", "%f1", State.COMPUTED),
        ("setp.lt.s32 %p1, %r0, 1; selp.b32 %r1, 2, 3, %p1;", "%r1", State.COMPUTED),
        ("setp.lt.s32 %p1, %r0, 1; @%p1 mov.b32 %r1, 3;", "%r1", State.COMPUTED),
        ("mov.b32 %r1, %r0; L: add.s32 %r1, %r1, 2; bra L;", "%r1", State.COPIED | State.COMPUTED),
        ("mov.b32 %r1, 5;", "%r1", State(0)),
        ("st.local.b32 [%rd1], %r0; ld.local.b32 %r1, [%rd1];", "%r1", State(0)),
        ("atom.global.add.u32 %r1, [%rd0], %r0;", "%r1", State(0)),
        ("vote.sync.any.pred %p1, %p2, -1;", "%p1", State(0)),
    ],
)
def test_states(text, name, state):
    assert taint_of(text).states.get(name, State(0)) == state


def test_registers_between_which_bits_travel_share_a_group():
    taint = taint_of(
        "add.s32 %r1, %r0, 1; ld.global.b32 %r2, [%rd0+4]; mov.b32 %r3, %r2;"
        "setp.eq.s32 %p1, %r1, 0; @%p1 mov.b32 %r4, 7;"
    )
    assert taint.group("%r0") == taint.group("%r1") == taint.group("%r4")
    assert taint.group("%r2") == taint.group("%r3") != taint.group("%r0")
