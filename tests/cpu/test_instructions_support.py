"""What the CPU device does not run is refused by name, never run wrongly; the table of support says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycuda_guard.cpu.codegen.instructions import SUPPORTED, limits
from pycuda_guard.cpu.codegen.instructions.limits import support_table
from pycuda_guard.cpu.codegen.module import lower_module
from pycuda_guard.kernels.ptx import parse
from pycuda_guard.kernels.ptx.opcodes import OPCODES

PAGE = Path(__file__).parents[2] / "docs" / "cpu-device.md"

REFUSED = [
    "add.rn.f32x2 %w, %w, %w;",
    "add.sat.s64 %w, %w, %w;",
    "mad.wide.cc.u32 %w, %x, %y, %w;",
    "mul.hi.ftz.u32 %x, %x, %y;",
    "fma.rn.satfinite.f32 %x, %x, %y, %x;",
    "sin.f64 %w, %w;",
    "ex2.approx.ftz.f64 %w, %w;",
    "cvt.rs.tf32.f32 %x, %y;",
    "cvt.rn.satfinite.e4m3x2.f32 %h, %x, %y;",
    "cvt.s32.f32 %x, %y;",
    "setp.lo.f32 %p, %x, %y;",
    "setp.equ.s32 %p, %x, %y;",
    "shfl.down.b32 %x, %x, 1, 31;",
    "vote.ballot.b32 %x, %p;",
    "redux.sync.add.f32 %x, %y, -1;",
    "atom.global.min.f32 %x, [%w], %y;",
    "atom.global.max.v2.f32 {%x, %y}, [%w], {%x, %y};",
    "cp.async.bulk.shared.global [%x], [%w], 16, [%x];",
    "mbarrier.expect_tx.shared.b64 [%x], 16;",
    "alloca.u64 %w, %w, 3;",
    "tex.1d.v4.f32.s32 {%x, %y, %x, %y}, [%w, {%x}];",
    "mma.sync.aligned.m8n8k4.row.col.f16.f16.f16.f16 {%x, %x, %x, %x}, {%y, %y}, {%y, %y}, {%x, %x, %x, %x};",
    "mma.sync.aligned.m16n8k32.row.col.s32.s4.s4.s32 {%x, %x, %x, %x}, {%y, %y}, {%y}, {%x, %x, %x, %x};",
    "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%x, %x}, {%y, %y, %y, %y}, {%y, %y}, {%x, %x};",
    "wmma.load.a.sync.aligned.row.m8n8k32.global.s4 {%x}, [%w], %y;",
    "ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {%x, %y}, [%w];",
    "wgmma.fence.sync.aligned;",
    "vadd.s32.s32.s32 %x, %x.h0, %y, %x;",
    "add.s32 %x, %x.h0, %y;",
    "lop3.b32 %x, %x, %y, %x, %y;",
]


def plan_of(instruction: str):
    text = f""".version 8.6
.target sm_90
.address_size 64
.visible .entry k()
{{
  .reg .b16 %h; .reg .b32 %x, %y; .reg .b64 %w; .reg .pred %p;
  {instruction}
  ret;
}}
"""
    (plan,) = lower_module(parse(text)).kernels
    return plan


@pytest.mark.parametrize("instruction", REFUSED, ids=lambda text: text.split()[0])
def test_refused_by_name_and_line(instruction):
    reason = plan_of(instruction).unsupported
    assert instruction.split()[0].rstrip(";") in reason
    assert "PTX line 7" in reason


def test_a_refused_kernel_leaves_the_others_of_its_module_alone():
    kernels = "".join(
        f".visible .entry {name}(.param .u64 p, .param .u32 q) {{ .reg .b32 %x; .reg .b64 %w; .reg .f64 %f; "
        f"shl.b32 %x, %x, %x; fma.rz.f64 %f, %f, %f, %f; {text} ret; }}\n"
        for name, text in (("first", "sin.f64 %f, %f;"), ("second", "min.u32 %x, %x, 3;"))
    )
    text = f".version 8.6\n.target sm_90\n.address_size 64\n{kernels}"
    first, second = lower_module(parse(text)).kernels
    assert "sin.f64" in first.unsupported
    assert not second.unsupported
    # a launch packs the arguments before it learns that the kernel cannot run
    assert first.parameters == second.parameters == [(0, 8), (8, 4)]


def test_the_same_kernel_without_it_is_taken():
    assert not plan_of("add.s64 %w, %w, %w;").unsupported


def test_every_opcode_of_the_isa_has_a_row():
    rows = {row.opcode: row for row in support_table()}
    assert rows.keys() >= OPCODES.keys()
    assert {name for name, row in rows.items() if row.supported} > SUPPORTED
    assert not rows["wgmma"].supported
    assert "libm" in rows["sin"].limits
    assert OPCODES.keys() >= SUPPORTED


def test_the_page_is_fresh():
    """If this fails: python -m pycuda_guard.cpu.codegen.instructions.limits docs/cpu-device.md"""
    text = PAGE.read_text()
    assert limits.BEGIN in text
    assert limits.END in text
    assert limits.rewritten(text) == text
