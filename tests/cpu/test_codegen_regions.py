"""How PTX is cut into regions, what is kept across cuts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from codegen_support import PTX_HEADER, Kernels

from pycuda_guard.cpu.abi import Suspension
from pycuda_guard.cpu.codegen.module import lower_module
from pycuda_guard.kernels.ptx import parse


def kernel(body: str, parameters: str = ".param .u64 out", more: str = "") -> str:
    declarations = ".reg .pred %p<9>; .reg .b32 %r<20>; .reg .b64 %rd<20>; .reg .f32 %f<9>;"
    return f"{PTX_HEADER}{more}.visible .entry k({parameters})\n{{\n{declarations}\n{body}\n}}\n"


START = (
    "ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;\n"
)


def lower(ptx: str):
    (plan,) = lower_module(parse(ptx)).kernels
    return plan


def test_a_kernel_without_suspension_is_one_region():
    plan = lower(kernel(START + "st.global.u32 [%rd3], %r1; ret;"))
    assert plan.suspensions == []
    assert plan.frame_slots == 0
    assert plan.parameters == [(0, 8)]


def test_indices_and_pointers_are_computed_again_after_a_barrier():
    plan = lower(kernel(START + "bar.sync 0; st.global.u32 [%rd3], %r1; ret;"))
    assert plan.suspensions == [Suspension.NONE, Suspension.BARRIER]
    assert plan.frame_slots == 0


def test_loaded_values_are_kept_across_a_barrier():
    plan = lower(kernel(START + "ld.global.u32 %r2, [%rd3]; bar.sync 0; st.global.u32 [%rd3], %r2; ret;"))
    assert plan.frame_slots == 1


def test_a_register_set_on_one_path_only_is_not_computed_again(device):
    body = (
        START
        + """
        mov.u32 %r3, 0;
        mov.u32 %r4, 7;
        LOOP:
        setp.ne.u32 %p1, %r3, 0;
        @%p1 bra SKIP;
        add.u32 %r4, %r3, 100;
        SKIP:
        bar.sync 0;
        add.u32 %r3, %r3, 1;
        setp.lt.u32 %p2, %r3, 3;
        @%p2 bra LOOP;
        st.global.u32 [%rd3], %r4;
        ret;"""
    )
    out = np.zeros(8, np.uint32)
    Kernels(device, kernel(body)).run("k", out, block=8)
    assert (out == 100).all()


def test_the_test_at_the_top_of_a_loop_is_asked_each_time(device):
    body = (
        START
        + """
        mov.u32 %r3, 0;
        add.u32 %r2, %r1, 5;
        LOOP:
        setp.ge.u32 %p1, %r3, %r2;
        @%p1 bra DONE;
        add.u32 %r3, %r3, 1;
        st.global.u32 [%rd3], %r3;
        bra.uni LOOP;
        DONE: ret;"""
    )
    out = np.zeros(70, np.uint32)
    Kernels(device, kernel(body)).run("k", out, block=70)
    assert np.array_equal(out, np.arange(5, 75))


def test_branch_through_a_table(device):
    body = (
        START
        + """
        TABLE: .branchtargets A, B, C;
        rem.u32 %r2, %r1, 3;
        brx.idx %r2, TABLE;
        A: mov.u32 %r3, 10; bra END;
        B: mov.u32 %r3, 20; bra END;
        C: mov.u32 %r3, 30;
        END: st.global.u32 [%rd3], %r3;
        ret;"""
    )
    out = np.zeros(7, np.uint32)
    Kernels(device, kernel(body)).run("k", out, block=7)
    assert list(out) == [10, 20, 30, 10, 20, 30, 10]


def test_guarded_instructions_and_barriers(device):
    body = (
        START
        + """
        setp.lt.u32 %p1, %r1, 3;
        mov.u32 %r2, 1;
        @%p1 add.u32 %r2, %r2, 41;
        @%p1 bar.sync 1, 32;
        @!%p1 add.u32 %r2, %r2, 7;
        st.global.u32 [%rd3], %r2;
        ret;"""
    ).replace("setp.lt.u32 %p1, %r1, 3", "setp.lt.u32 %p1, %r1, 32")
    out = np.zeros(40, np.uint32)
    Kernels(device, kernel(body)).run("k", out, block=40)
    assert list(out) == [42] * 32 + [8] * 8


@pytest.mark.parametrize(
    ("step", "suspensions"),
    [("mov.u32 %r4, %ntid.x;", [Suspension.NONE, Suspension.YIELD]), ("mov.u32 %r4, 1;", [])],
)
def test_threads_take_turns_in_grid_stride_loops_only(step, suspensions):
    loop = """
        LOOP:
        mul.wide.u32 %rd4, %r1, 4;
        add.s64 %rd5, %rd1, %rd4;
        st.global.u32 [%rd5], %r1;
        add.u32 %r1, %r1, %r4;
        setp.lt.u32 %p1, %r1, 100;
        @%p1 bra LOOP;
        ret;"""
    assert lower(kernel(START + step + loop)).suspensions == suspensions


SUSPENDING = """
.func (.param .b32 result) wait(.param .b32 n)
{
    .reg .b32 %r<3>;
    ld.param.u32 %r1, [n];
    bar.sync 0;
    CALL
    add.u32 %r2, %r1, 5;
    st.param.u32 [result], %r2;
    ret;
}
"""
CALL = "{ .param .b32 a; .param .b32 b; st.param.b32 [b], %r1; call (a), wait, (b); ld.param.b32 %r1, [a]; }"


def test_functions_with_barriers_are_inlined_with_their_parameters(device):
    body = START + CALL + CALL + "st.global.u32 [%rd3], %r1; ret;"
    kernels = Kernels(device, kernel(body, more=SUSPENDING.replace("CALL", "")))
    out = np.zeros(64, np.uint32)
    kernels.run("k", out, block=64)
    assert np.array_equal(out, np.arange(64) + 10)
    assert kernels.plan("k").suspensions == [Suspension.NONE, Suspension.BARRIER, Suspension.BARRIER]


def test_recursion_with_barriers_is_refused_by_name():
    plan = lower(kernel(START + CALL + "ret;", more=SUSPENDING.replace("CALL", CALL)))
    assert "recursion through wait" in plan.unsupported


def test_unsupported_instructions_are_named_with_their_line():
    source = kernel(START + "tex.1d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [out, {%r1}];\nret;")
    line = next(number for number, text in enumerate(source.splitlines(), 1) if "tex." in text)
    plan = lower(source)
    assert "tex.1d.v4.f32.s32" in plan.unsupported
    assert f"PTX line {line}" in plan.unsupported


def test_other_kernels_of_a_module_with_an_unsupported_one_run(device):
    bad = kernel("redux.sync.add.f32 %f1, %f2, -1; ret;").replace("entry k(", "entry bad(")
    good = kernel(START + "st.global.u32 [%rd3], %r1; ret;").replace(PTX_HEADER, "")
    kernels = Kernels(device, bad + good)
    out = np.zeros(4, np.uint32)
    kernels.run("k", out, block=4)
    assert list(out) == [0, 1, 2, 3]
    assert "redux.sync" in kernels.plan("bad").unsupported


def test_shared_addresses_wrap_around_at_32_bits(device):
    body = (
        START
        + """
        .shared .align 4 .b8 s[16];
        mov.u32 %r2, s;
        add.u32 %r3, %r2, -400;
        st.shared.u32 [%r3+400], %r1;
        ld.shared.u32 %r4, [s];
        st.global.u32 [%rd3], %r4;
        ret;"""
    )
    out = np.full(1, 9, np.uint32)
    Kernels(device, kernel(body)).run("k", out, block=1)
    assert out[0] == 0


@pytest.mark.parametrize(("extra", "expected"), [(".maxntid 128, 2, 1\n", 256), ("", None)])
def test_limit_on_threads(extra, expected):
    source = kernel("ret;").replace("\n{\n", f"\n{extra}{{\n", 1)
    assert lower(source).max_threads == expected
