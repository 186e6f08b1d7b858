"""Which kernels may be in order with others that run beside them."""

from __future__ import annotations

import pytest

from pycuda_guard.kernels.analysis.ordering import orders_others
from pycuda_guard.kernels.ptx import flatten, parse

TEXT = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 x, .param .u64 y, .param .u32 n)
{
    .reg .pred %%p; .reg .b32 %%r<20>; .reg .b64 %%rd<9>; .reg .f32 %%f<9>; .reg .f64 %%fd<9>;
    .shared .align 4 .b8 own[4];
    ld.param.u64 %%rd1, [x];
    ld.param.u64 %%rd2, [y];
    ld.param.u32 %%r9, [n];
    ld.global.u32 %%r1, [%%rd1];
    ld.global.u64 %%rd3, [%%rd2];
AGAIN:
    %s
    @%%p bra AGAIN;
    ret;
}
"""
ORDERING = {
    "lock": "atom.global.cas.b32 %r2, [%rd1], 0, 1;",
    "lock by registers": "mov.u32 %r3, 0; mov.u32 %r4, 1; atom.global.cas.b32 %r2, [%rd1], %r3, %r4;",
    "lock with a name": "atom.cas.b32 %r2, [%rd1], 0, %r9;",
    "exchange": "atom.global.exch.b32 %r2, [%rd1], 0;",
    "what is put in front of a list": "atom.global.cas.b32 %r2, [%rd1], %r1, %r9; mov.u32 %r1, %r2;",
    "what was loaded": "ld.global.u32 %r3, [%rd2]; atom.global.cas.b32 %r2, [%rd1], %r1, %r3;",
    "sum that fences": "add.s32 %r3, %r1, 1; atom.global.cas.b32 %r2, [%rd1], %r1, %r3; membar.gl;",
    "sum that releases": "add.s32 %r3, %r1, 1; atom.release.gpu.global.cas.b32 %r2, [%rd1], %r1, %r3;",
    "the same again": "atom.global.cas.b32 %r2, [%rd1], %r1, %r1;",
    "flag": "ld.volatile.global.u32 %r2, [%rd1];",
    "two swaps": """add.s32 %r3, %r1, 1; atom.global.cas.b32 %r2, [%rd1], %r1, %r3;
        atom.global.cas.b32 %r4, [%rd2], 0, 1;""",
}
OTHERS = {
    "plain": "st.global.u32 [%rd1], %r1;",
    "atomic": "atom.global.add.u32 %r2, [%rd1], 1;",
    "fence of the block": "membar.cta;",
    "lock in shared memory": "atom.shared.cas.b32 %r2, [own], 0, 1;",
    "sum": "add.s32 %r3, %r1, 1; atom.global.cas.b32 %r2, [%rd1], %r1, %r3; mov.u32 %r1, %r2;",
    "sum of what was kept": """mov.u32 %r5, %r1; add.s32 %r3, %r1, 1;
        atom.global.cas.b32 %r1, [%rd1], %r5, %r3; setp.ne.s32 %p, %r5, %r1;""",
    "sum of doubles": """mov.b64 %fd1, %rd3; add.f64 %fd2, %fd1, 0d3FF0000000000000; mov.b64 %rd4, %fd2;
        atom.cas.b64 %rd5, [%rd2], %rd3, %rd4; setp.ne.s64 %p, %rd3, %rd5; mov.u64 %rd3, %rd5;""",
    "largest": """mov.b32 %f1, %r1; max.f32 %f2, %f1, 0f3F800000; mov.b32 %r3, %f2;
        atom.global.cas.b32 %r2, [%rd1], %r1, %r3; mov.u32 %r1, %r2;""",
}


def _orders(code: str) -> bool:
    module = parse(TEXT % code)
    return orders_others(flatten(module.functions["k"], module))


@pytest.mark.parametrize("code", ORDERING.values(), ids=ORDERING)
def test_locks_fences_and_flags_may_order(code: str) -> None:
    assert _orders(code)


@pytest.mark.parametrize("code", OTHERS.values(), ids=OTHERS)
def test_updates_order_nothing(code: str) -> None:
    assert not _orders(code)
