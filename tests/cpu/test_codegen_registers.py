"""What a register holds, whichever way a thread came, and which registers need no memory."""

from __future__ import annotations

import re

import numpy as np
import pytest
from codegen_support import PTX_HEADER, Kernels

from pycuda_guard.cpu.codegen import kernel
from pycuda_guard.cpu.codegen.module import lower_module
from pycuda_guard.kernels.ptx import parse

THREADS = 8

#: bodies that leave in %r2 a number made of %r1, the thread's index, and that number
WAYS = {
    "written under a guard": (
        "mov.u32 %r2, %r1; setp.lt.u32 %p1, %r1, 4; @%p1 add.u32 %r2, %r2, 100; add.u32 %r2, %r2, 1;",
        lambda i: i + 101 if i < 4 else i + 1,
    ),
    "read under a guard, then as it was": (
        "mul.lo.u32 %r2, %r1, 3; setp.lt.u32 %p1, %r1, 4; @%p1 mov.u32 %r3, %r2; @!%p1 mov.u32 %r3, 7;"
        "add.u32 %r2, %r2, %r3;",
        lambda i: 6 * i if i < 4 else 3 * i + 7,
    ),
    "written on one way of two": (
        "mov.u32 %r2, 5; setp.lt.u32 %p1, %r1, 4; @%p1 bra MEET; add.u32 %r2, %r1, 50; MEET:"
        "add.u32 %r2, %r2, 1;",
        lambda i: 6 if i < 4 else i + 51,
    ),
    "the same on both ways, made before": (
        "add.u32 %r3, %r1, 9; setp.lt.u32 %p1, %r1, 4; @%p1 bra ONE; mov.u32 %r2, 1; bra MEET; ONE:"
        "mov.u32 %r2, 2; MEET: add.u32 %r2, %r2, %r3;",
        lambda i: i + 11 if i < 4 else i + 10,
    ),
    "changed in a loop": (
        "mov.u32 %r2, 0; mov.u32 %r3, 0; LOOP: setp.ge.u32 %p1, %r3, %r1; @%p1 bra DONE;"
        "add.u32 %r2, %r2, %r3; add.u32 %r3, %r3, 1; bra LOOP; DONE: ",
        lambda i: i * (i - 1) // 2,
    ),
    "swapped in a loop": (
        "mov.u32 %r2, 1; mov.u32 %r4, 2; mov.u32 %r3, 0; LOOP: setp.ge.u32 %p1, %r3, %r1; @%p1 bra DONE;"
        "mov.u32 %r5, %r2; mov.u32 %r2, %r4; mov.u32 %r4, %r5; add.u32 %r3, %r3, 1; bra LOOP; DONE: ",
        lambda i: 2 if i % 2 else 1,
    ),
    "entered from further down": (
        "mov.u32 %r2, 1; setp.lt.u32 %p1, %r1, 4; @%p1 bra BELOW; MEET: add.u32 %r2, %r2, %r1; bra DONE;"
        "BELOW: mov.u32 %r2, 20; bra MEET; DONE: ",
        lambda i: i + 20 if i < 4 else i + 1,
    ),
    "read as another type": (
        "cvt.rn.f32.u32 %f1, %r1; add.f32 %f1, %f1, 0f3F800000; mov.b32 %r2, %f1; mov.b32 %f2, %r2;"
        "add.f32 %f2, %f2, %f1; cvt.rzi.u32.f32 %r2, %f2;",
        lambda i: 2 * (i + 1),
    ),
    "kept across a barrier": (
        "mul.lo.u32 %r2, %r1, 7; ld.global.u32 %r4, [%rd3]; setp.lt.u32 %p1, %r1, 4; bar.sync 0;"
        "@%p1 add.u32 %r2, %r2, %r4; @!%p1 mov.u32 %r2, %r4;",
        lambda i: 7 * i if i < 4 else 0,
    ),
    "shifted by constants": (
        "shl.b32 %r2, %r1, 4; shr.u32 %r3, %r2, 2; shl.b32 %r4, %r1, 32; shr.s32 %r5, %r4, 40;"
        "add.u32 %r2, %r3, %r4; add.u32 %r2, %r2, %r5;",
        lambda i: 4 * i,
    ),
}


def _ptx(body: str) -> str:
    return (
        f"{PTX_HEADER}.visible .entry k(.param .u64 out)\n{{\n"
        ".reg .pred %p<3>; .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .f32 %f<3>;\n"
        "ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4;\n"
        "add.s64 %rd3, %rd1, %rd2;\n"
        f"{body}\nst.global.u32 [%rd3], %r2; ret;\n}}\n"
    )


@pytest.mark.parametrize("longest", [0, 1000], ids=["called", "inlined"])
@pytest.mark.parametrize(("body", "expected"), WAYS.values(), ids=WAYS)
def test_holds_what_was_written_last(body, expected, longest, device, monkeypatch):
    monkeypatch.setattr(kernel, "MAX_INLINED", longest)
    out = np.zeros(THREADS, np.uint32)
    Kernels(device, _ptx(body)).run("k", out, block=THREADS)
    assert list(out) == [expected(i) for i in range(THREADS)]


@pytest.mark.parametrize(
    ("way", "in_memory"),
    [
        ("written under a guard", {"r2"}),
        ("the same on both ways, made before", {"r2"}),
        ("changed in a loop", {"r2", "r3"}),
        ("read as another type", set()),
    ],
)
def test_only_what_ways_change_is_in_memory(way, in_memory):
    text = lower_module(parse(_ptx(WAYS[way][0]))).ir
    assert set(re.findall(r'%"(\w+)" = alloca', text)) == in_memory
    assert set(re.findall(r'store i\d+ .*, i\d+\* %"(\w+)"', text)) == in_memory
