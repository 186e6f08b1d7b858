"""The table of opcodes, and what it says of single instructions."""

from __future__ import annotations

import pytest

from pycuda_guard.kernels.ptx import OPCODES, parse
from pycuda_guard.kernels.ptx.ir import Instruction, Register, Symbol
from pycuda_guard.kernels.ptx.opcodes import (
    Category,
    Role,
    called,
    definitions,
    fewest_operands,
    is_partial,
    operand_roles,
    suspends,
    uses,
    writes_carry,
)

HEADER = (
    ".version 9.0\n.target sm_90\n.address_size 64\n.func f() { .reg .pred p, q; .reg .b32 a, b, c, d, x;"
)


def instruction(text: str) -> Instruction:
    found = parse(f"{HEADER} {text} }}").functions["f"].body[-1]
    assert isinstance(found, Instruction)
    return found


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        ("add.s32 d, a, b;", "d", "a b"),
        ("@p add.s32 d, a, 1;", "d", "p a"),
        ("mov.u32 d, %tid.x;", "d", "%tid.x"),
        ("mov.b64 {d, x}, a;", "d x", "a"),
        ("mov.b64 {d, _}, a;", "d", "a"),
        ("mov.b64 d, {a, b};", "d", "a b"),
        ("setp.eq.and.s32 p|q, a, b, !q;", "p q", "a b q"),
        ("selp.b32 d, a, b, p;", "d", "a b p"),
        ("shfl.sync.down.b32 d|p, a, 1, 31, b;", "d p", "a b"),
        ("ld.global.v2.u32 {d, x}, [a+8];", "d x", "a"),
        ("ld.global.L2::cache_hint.u32 d, [a], b;", "d", "a b"),
        ("st.global.u32 [a], b;", "", "a b"),
        ("atom.global.cas.b32 d, [a], b, c;", "d", "a b c"),
        ("red.global.add.u32 [a], b;", "", "a b"),
        ("cp.async.ca.shared.global [a], [b], 16, c;", "", "a b c"),
        ("cp.async.wait_group 0;", "", ""),
        ("bar.sync a, 32;", "", "a"),
        ("bar.red.popc.u32 d, 0, !p;", "d", "p"),
        ("barrier.cta.red.and.aligned.pred p, a, 64, q;", "p", "a q"),
        ("bar.warp.sync a;", "", "a"),
        ("vote.sync.ballot.b32 d, !p, a;", "d", "p a"),
        ("match.sync.all.b32 d|p, a, b;", "d p", "a b"),
        ("wmma.load.a.sync.aligned.row.m16n16k16.f16 {d, x}, [a], b;", "d x", "a b"),
        ("wmma.store.d.sync.aligned.row.m16n16k16.f32 [a], {b, c}, d;", "", "a b c d"),
        ("wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {d}, {a}, {b}, {c};", "d", "a b c"),
        ("tex.2d.v4.f32.f32 {d, x}, [a, {b, c}];", "d x", "a b c"),
        ("sust.b.1d.b32.trap [a, {b}], {c};", "", "a b c"),
        ("mbarrier.init.shared.b64 [a], b;", "", "a b"),
        ("mbarrier.arrive.shared.b64 d, [a], b;", "d", "a b"),
        ("mbarrier.try_wait.shared.b64 p, [a], b;", "p", "a b"),
        ("brx.idx a, table;", "", "a"),
        ("bra DONE;", "", ""),
        ("call (r), f, (y, z);", "", ""),
        ("call (d), a, (b, c), proto;", "d", "a b c"),
        ("nosuchthing.b32 d, a, b;", "d", "a b"),
    ],
)
def test_definitions_and_uses(text, written, read):
    found = instruction(text)
    assert definitions(found) == tuple(written.split())
    assert tuple(register.name for register in uses(found)) == tuple(read.split())


def test_roles():
    assert operand_roles(instruction("call (r), f, (y), proto;")) == (
        Role.DESTINATION,
        Role.LABEL,
        Role.SOURCE,
        Role.LABEL,
    )
    assert operand_roles(instruction("st.u32 [a], b;")) == (Role.ADDRESS, Role.SOURCE)
    assert operand_roles(instruction("ret;")) == ()


def test_guarded_definitions_are_partial():
    assert is_partial(instruction("@p mov.b32 d, a;"))
    assert not is_partial(instruction("mov.b32 d, a;"))


def test_carry():
    assert writes_carry(instruction("add.cc.u32 d, a, b;"))
    assert not writes_carry(instruction("addc.u32 d, a, b;"))
    assert {name for name, row in OPCODES.items() if row.reads_carry} == {"addc", "subc", "madc"}


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("bar.sync 0;", True),
        ("barrier.sync 0;", True),
        ("bar.warp.sync -1;", True),
        ("bar.red.or.pred p, 0, q;", True),
        ("bar.arrive 1, 64;", False),
        ("barrier.cluster.arrive.aligned;", False),
        ("barrier.cluster.wait.aligned;", True),
        ("mbarrier.init.shared.b64 [a], 1;", False),
        ("mbarrier.try_wait.shared.b64 p, [a], b;", True),
        ("vote.sync.any.pred p, q, -1;", True),
        ("activemask.b32 d;", False),
        ("membar.gl;", False),
        ("nosuchthing;", False),
    ],
)
def test_suspends(text, waits):
    assert suspends(instruction(text)) is waits


def test_called():
    assert called(instruction("call (r), f, (y);")) == Symbol("f")
    assert called(instruction("call a, (y), proto;")) == Register("a")
    assert called(instruction("bra f;")) is None


def test_rows():
    assert OPCODES["ld"].reads_memory and not OPCODES["ld"].writes_memory
    assert OPCODES["st"].writes_memory and not OPCODES["st"].reads_memory
    assert OPCODES["atom"].reads_memory and OPCODES["atom"].writes_memory
    assert OPCODES["shfl"].category is Category.WARP
    assert not OPCODES["tcgen05"].supported
    assert all(name == row.name for name, row in OPCODES.items())


def test_all_opcodes_of_real_modules_are_known(real_ptx):
    module = parse(real_ptx)
    bodies = [function.body or [] for function in module.functions.values()]
    assert opcodes_in([statement for body in bodies for statement in body]) <= OPCODES.keys()


def opcodes_in(statements: list) -> set[str]:
    found = {each.opcode for each in statements if isinstance(each, Instruction)}
    return found.union(*(opcodes_in(each.body) for each in statements if hasattr(each, "body")))


@pytest.mark.parametrize(
    ("text", "fewest"),
    [
        ("setp.eq.s32 p, a, b;", 3),
        ("selp.b32 d, a, b, p;", 4),
        ("ld.global.L2::cache_hint.u32 d, [a], b;", 2),
        ("bar.red.popc.u32 d, a, p;", 3),
        ("membar.gl;", 0),
        ("cp.async.commit_group;", 0),
        ("call f;", 1),
        ("frobnicate.b32 d, a;", 0),
    ],
)
def test_how_few_operands_an_instruction_may_have(text, fewest):
    assert fewest_operands(instruction(text)) == fewest
