"""An address that is no multiple of what is accessed there ends the kernel, and no other access does."""

from __future__ import annotations

import numpy as np
import pytest
from codegen_support import PTX_HEADER, Kernels

from pycuda_guard.cpu.abi import FaultKind

WMMA = ".sync.aligned"
REST = ", ".join(f"%m{number}" for number in range(6))
#: name → bytes that the address must be a multiple of, what comes before the access, and the access.
#: %p is the array (a multiple of 512), %n the offset that the kernel is given, %a = %p + %n, %s = tile + %n
ACCESSES = {
    "load": (4, "", "ld.global.u32 %r1, [%a];"),
    "load of 16 bits": (2, "", "ld.global.u16 %h1, [%a];"),
    "load beside": (4, "", "ld.global.u32 %r1, [%a+8];"),
    "load of 64 bits": (8, "", "ld.global.f64 %d1, [%a];"),
    "store": (4, "", "st.global.u32 [%a], 7;"),
    "generic load": (4, "", "ld.u32 %r1, [%a];"),
    "volatile load": (4, "", "ld.volatile.global.u32 %r1, [%a];"),
    "load of a pair": (8, "", "ld.global.v2.u32 {%r1, %r2}, [%a];"),
    "load of four": (16, "", "ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%a];"),
    "store of four": (16, "", "st.global.v4.u32 [%a], {%r1, %r1, %r1, %r1};"),
    "store of four bytes": (4, "", "st.global.v4.u8 [%a], {%h1, %h1, %h1, %h1};"),
    "atomic": (4, "", "atom.global.add.u32 %r1, [%a], 1;"),
    "atomic of 64 bits": (8, "", "atom.global.cas.b64 %a, [%a], 0, 1;"),
    "reduction": (4, "", "red.global.add.f32 [%a], 0f3F800000;"),
    "through a pointer in memory": (
        4,
        "st.global.u64 [%p], %a; ld.volatile.global.u64 %a, [%p];",
        "ld.global.u32 %r1, [%a];",
    ),
    "after a barrier": (4, "bar.sync 0;", "st.global.u32 [%a], 7;"),
    "in a loop": (
        4,
        "mov.u32 %r1, 0; $again: add.s64 %a, %a, %n; add.s32 %r1, %r1, 1;",
        "ld.global.u32 %r2, [%a]; setp.lt.s32 %q, %r1, 6; @%q bra $again;",
    ),
    "with a guard that holds": (4, "setp.ge.s64 %q, %n, 0;", "@%q st.global.u32 [%a], 7;"),
    "constant": (4, "mov.u64 %a, table; add.s64 %a, %a, %n;", "ld.const.u32 %r1, [%a];"),
    "variable": (8, "mov.u64 %a, cells; add.s64 %a, %a, %n;", "st.global.u64 [%a], 7;"),
    "shared load": (4, "", "ld.shared.u32 %r1, [%s];"),
    "shared store of four": (16, "", "st.shared.v4.u32 [%s+32], {%r1, %r1, %r1, %r1};"),
    "shared atomic": (4, "", "atom.shared.add.u32 %r1, [%s], 1;"),
    "generic load of shared memory": (
        4,
        "cvta.shared.u64 %a, tile; add.s64 %a, %a, %n;",
        "ld.u32 %r1, [%a];",
    ),
    "shared load after a barrier": (2, "bar.sync 0;", "ld.shared.u16 %h1, [%s+2];"),
    "parameter": (4, "mov.u64 %a, name_block; add.s64 %a, %a, %n;", "ld.param.u32 %r1, [%a];"),
    "asynchronous copy": (16, "", "cp.async.cg.shared.global [tile], [%a], 16;"),
    "asynchronous copy to": (8, "", "cp.async.ca.shared.global [%s], [%p], 8;"),
    "barrier object": (8, "", "mbarrier.init.shared.b64 [%s], 1;"),
    "row of a matrix": (16, "", "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%s];"),
    "matrix": (4, "", f"wmma.load.a{WMMA}.row.m16n16k16.global.f16 {{%r1, %r2, {REST}}}, [%a], 8;"),
    "matrix of words by rows": (
        8,
        "",
        f"wmma.load.c{WMMA}.row.m16n16k16.global.f32 {{%r1, %r2, {REST}}}, [%a], 4;",
    ),
    "matrix of words by columns": (
        4,
        "",
        f"wmma.store.d{WMMA}.col.m16n16k16.global.f32 [%a], {{%r1, %r2, {REST}}}, 4;",
    ),
    "row of a matrix to": (16, "", "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%s], {%r1};"),
}
#: these have no alignment, or one that does not depend on the offset
OTHERS = {
    "load of a byte": ("", "ld.global.u8 %h1, [%a];"),
    "shared store of a byte": ("", "st.shared.u8 [%s], 7;"),
    "guard that does not hold": ("setp.lt.s64 %q, %n, 0;", "@%q st.global.u32 [%a], 7;"),
    "prefetch": ("", "prefetch.global.L2 [%a];"),
    "local memory": ("mov.u64 %a, own; add.s64 %a, %a, %n;", "st.local.u32 [%a], 7;"),
    "matrix of bytes that lie apart": (
        "",
        f"wmma.load.b{WMMA}.row.m16n16k16.global.s8 {{%r1, %r2}}, [%a], 16;",
    ),
    "two odd numbers that make an even one": (
        "add.s64 %a, %a, %n; shl.b64 %n, %n, 1; add.s64 %a, %a, %n;",
        "ld.global.u32 %r1, [%a];",
    ),
}
REGISTERS = """
  .reg .b64 %p, %n, %a; .reg .b32 %s, %r<3>; .reg .b16 %h<2>; .reg .f32 %f<5>; .reg .f64 %d<2>; .reg .pred %q;
  .reg .b32 %m<6>;
  .shared .align 16 .b8 tile[512]; .local .align 16 .b8 own[64];
"""
START = """
  ld.param.u64 %p, [name_array]; ld.param.u64 %n, [name_offset]; add.s64 %a, %p, %n;
  cvt.u32.u64 %r1, %n; mov.u32 %s, tile; add.s32 %s, %s, %r1; mov.u16 %h1, 0;
  mov.f32 %f1, 0f00000000; mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;
  mov.f64 %d1, 0d0000000000000000; mov.u32 %r2, 0;
  mov.b32 %m0, 0; mov.b32 %m1, 0; mov.b32 %m2, 0; mov.b32 %m3, 0; mov.b32 %m4, 0; mov.b32 %m5, 0;
"""
#: nothing of what was loaded may be left out
FINISH = """
  st.global.v2.u32 [%p+256], {%r1, %r2}; st.global.u16 [%p+264], %h1; st.global.f64 [%p+272], %d1;
  st.global.v4.f32 [%p+288], {%f1, %f2, %f3, %f4}; st.global.u64 [%p+304], %a;
"""


def identifier(name: str) -> str:
    return name.replace(" ", "_")


def kernel(name: str, before: str, access: str) -> str:
    """Return a kernel that does the access."""
    parameters = ".param .u64 name_array, .param .u64 name_offset, .param .align 16 .b8 name_block[64]"
    text = f"({parameters})\n{{{REGISTERS}{START}  {before}\n  {access}{FINISH}  ret;\n}}\n"
    return f".visible .entry {identifier(name)}" + text.replace("name_", f"{identifier(name)}_")


@pytest.fixture(scope="module")
def kernels(device):
    header = PTX_HEADER.replace("sm_80", "sm_90")
    text = [header, ".const .align 16 .b8 table[64];\n.global .align 16 .b8 cells[64];\n"]
    text += [kernel(name, before, access) for name, (_, before, access) in ACCESSES.items()]
    text += [kernel(name, before, access) for name, (before, access) in OTHERS.items()]
    return Kernels(device, "".join(text))


def outcome(kernels: Kernels, name: str, offset: int, threads: int = 32):
    array = np.zeros(512, np.uint8)
    return kernels.launch(
        identifier(name), array, np.int64(offset), np.zeros(64, np.uint8).tobytes(), block=threads
    )


@pytest.mark.parametrize("name", ACCESSES)
def test_an_address_must_be_a_multiple_of_the_size(kernels, name):
    alignment = ACCESSES[name][0]
    for offset in (0, alignment, 2 * alignment):
        assert outcome(kernels, name, offset) is None
    for offset in {1, alignment // 2, alignment + 1, 2 * alignment - 1}:
        fault = outcome(kernels, name, offset)
        assert (fault.kind, fault.known) == (FaultKind.MISALIGNED_ADDRESS, False), offset


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_right_at_an_odd_offset_goes_on(kernels, name):
    for offset in (1, 3, 5):
        assert outcome(kernels, name, offset) is None


def test_a_misaligned_address_outside_of_all_memory_is_misaligned(kernels, device):
    for offset, kind in ((-2, FaultKind.MISALIGNED_ADDRESS), (-4, FaultKind.ILLEGAL_ADDRESS)):
        wild = np.int64(0).tobytes() + np.int64(offset).tobytes() + bytes(64)
        found = device.runtime.launch(kernels.module.kernels["load"], (1, 1, 1), (1, 1, 1), 0, wild)
        assert found.kind is kind


def test_one_thread_of_many_is_enough(device):
    kernels = Kernels(
        device,
        PTX_HEADER
        + """
.visible .entry pick(.param .u64 data, .param .u64 offsets) {
  .reg .b64 %p, %o, %t; .reg .b32 %r<2>;
  ld.param.u64 %p, [data]; ld.param.u64 %o, [offsets];
  mov.u32 %r1, %tid.x; mul.wide.u32 %t, %r1, 8; add.s64 %o, %o, %t;
  ld.global.u64 %t, [%o]; add.s64 %p, %p, %t; st.global.u32 [%p], %r1; ret;
}""",
    )
    offsets = 4 * np.random.default_rng(7).permutation(256)
    assert kernels.launch("pick", np.zeros(256, np.int32), offsets, block=256) is None
    offsets[200] += 2
    fault = kernels.launch("pick", np.zeros(256, np.int32), offsets, block=256)
    assert fault.kind is FaultKind.MISALIGNED_ADDRESS
