"""Loading PTX, compiled or from the cache."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import pytest

from pycuda_guard.cpu import jit

PTX = """
.version 8.0
.target sm_80
.address_size 64
.visible .global .align 4 .u32 counter = 40;
.visible .const .align 8 .u64 place = generic(counter);

.visible .entry add(.param .u64 add_out, .param .u32 add_n)
{
    .reg .b32 %r<4>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [add_out];
    ld.param.u32 %r1, [add_n];
    cvta.to.global.u64 %rd2, %rd1;
    ld.const.u64 %rd3, [place];
    ld.global.u32 %r2, [%rd3];
    add.u32 %r3, %r1, %r2;
    st.global.u32 [%rd2], %r3;
    ret;
}
"""

SCRIPT = """
import sys
from pycuda_guard.cpu import jit
from pycuda_guard.cpu.memory import DeviceMemory
from pycuda_guard.cpu.runtime import get_runtime
memory = DeviceMemory(1 << 26, get_runtime())
module = jit.load_module(sys.stdin.buffer.read(), memory)
out = memory.allocate(4)
parameters = out.to_bytes(8, "little") + (2).to_bytes(4, "little")
assert get_runtime().launch(module.kernels["add"], (1, 1, 1), (1, 1, 1), 0, parameters) is None
print(int.from_bytes(memory.read(out, 4), "little"), "pycuda_guard.cpu.codegen.module" in sys.modules)
"""


def start(folder) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYCUDA_GUARD_CACHE_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def load(folder, ptx: str = PTX) -> list[str]:
    """Run the kernel in a process of its own; return its result, and whether PTX had to be lowered."""
    return start(folder).communicate(ptx, timeout=50)[0].split()


def test_a_kernel_of_ptx_runs(device):
    module = jit.load_module(PTX.encode() + b"\0\0", device.memory)
    assert module.globals["counter"][1] == 4
    out = device.bytes(bytes(4))
    assert (
        device.runtime.launch(module.kernels["add"], (1, 1, 1), (1, 1, 1), 0, struct.pack("<QI", out, 2))
        is None
    )
    assert struct.unpack("<I", device.memory.read(out, 4)) == (42,)
    module.unload()


def test_the_second_load_comes_from_the_cache(tmp_path):
    assert load(tmp_path) == ["42", "True"]
    assert load(tmp_path) == ["42", "False"]


def test_other_ptx_is_another_entry(tmp_path):
    load(tmp_path)
    assert load(tmp_path, PTX.replace("= 40", "= 41")) == ["43", "True"]
    assert len(os.listdir(tmp_path)) == 2


def test_a_damaged_entry_is_compiled_again(tmp_path):
    load(tmp_path)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:-100])
    assert load(tmp_path) == ["42", "True"]
    assert load(tmp_path) == ["42", "False"]


def test_without_a_folder_everything_works(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert load(tmp_path / "file") == ["42", "True"]


def test_processes_can_load_the_same_module_at_once(tmp_path):
    running = [start(tmp_path) for _ in range(3)]
    for each in running:
        each.stdin.write(PTX)
        each.stdin.close()
    assert [each.stdout.read().split()[0] for each in running] == ["42"] * 3
    assert [each.wait() for each in running] == [0] * 3
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((".visible .global", ".extern .global"), "initial value|counter"),
        (("generic(counter)", "generic(nothing)"), "address of nothing"),
        (("add.u32 %r3, %r1, %r2;", "add.u32 %r3, %r1 %r2;"), r"PTX line \d+"),
    ],
)
def test_wrong_ptx_is_invalid(device, change, message):
    with pytest.raises(jit.InvalidPtx, match=message):
        jit.load_module(PTX.replace(*change).encode(), device.memory)
