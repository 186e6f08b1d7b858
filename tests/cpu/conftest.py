"""The CPU device for tests: its runtime, memory, a cache of their own, kernels written in LLVM IR."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from own_addresses import FIRST, release

pytest.importorskip("llvmlite", reason="the CPU device needs llvmlite")

from pycuda_guard.cpu import abi, jit
from pycuda_guard.cpu.codegen.plan import KernelPlan, LoweredModule
from pycuda_guard.cpu.memory import DeviceMemory
from pycuda_guard.cpu.runtime import get_runtime

#: what hand-written kernels start with: parameter 0 as i64, and a translation like that of generated code
PRELUDE = f"""
declare void @pg_trap(ptr, i32)
declare void @pg_assert_fail(ptr, i32, i64, i64, i32, i64)
declare i32 @pg_vprintf(i64, i64)
declare i64 @pg_malloc(i64)
declare void @pg_free(i64)
declare void @llvm.trap()

define internal i64 @parameter(ptr %block, i64 %index) alwaysinline {{
  %at = load i64, ptr %block
  %buffer = inttoptr i64 %at to ptr
  %place = getelementptr i64, ptr %buffer, i64 %index
  %value = load i64, ptr %place
  ret i64 %value
}}

define internal ptr @translate(ptr %block, i64 %address) alwaysinline null_pointer_is_valid {{
  %field = getelementptr i8, ptr %block, i64 {abi.block_offsets()["shared"]}
  %shared = load i64, ptr %field
  %base = and i64 %shared, {-abi.REGION}
  %bits = and i64 %address, {abi.REGION_MASK - (1 << 64)}
  %valid = icmp eq i64 %bits, %base
  %mirror = or i64 %address, {abi.WINDOW}
  %target = select i1 %valid, i64 %mirror, i64 {1 << 62}
  %pointer = inttoptr i64 %target to ptr
  ret ptr %pointer
}}
"""


@dataclass
class Device:
    """The runtime with memory, and ways to run a kernel on it."""

    runtime: object
    memory: DeviceMemory

    def kernel(self, body: str, more: str = "", **plan: object):
        """Return a kernel from the LLVM text of its function's body; ``%block`` is the block."""
        text = (
            f'{PRELUDE}\n{more}\ndefine void @"k.blocks"(ptr %block, i64 %first, i64 %last) '
            f"null_pointer_is_valid {{\n{body}\n}}\n"
        )
        plan.setdefault("parameter_bytes", 64)
        lowered = LoweredModule(text, [KernelPlan("k", **plan)], [], [])
        return jit.LoadedModule(jit.compile_lowered(lowered), self.memory).kernels["k"]

    def launch(self, kernel, *parameters: int, grid=(1, 1, 1), block=(1, 1, 1)):
        """Launch a kernel with 64-bit parameters; return the Fault or None."""
        packed = struct.pack(f"<{len(parameters)}Q", *(value % (1 << 64) for value in parameters))
        fault = self.runtime.launch(kernel, grid, block, 0, packed)
        self.runtime.flush()
        return fault

    def bytes(self, data: bytes) -> int:
        """Return the device address of a copy of ``data``."""
        address = self.memory.allocate(len(data), "global")
        self.memory.write(address, data)
        return address

    def string(self, text: str) -> int:
        """Return the device address of a NUL-terminated copy of ``text``."""
        return self.bytes(text.encode() + b"\0")


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """Keep the user's cache of kernels out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("kernels")
        patch.setenv("PYCUDA_GUARD_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def device():
    """The runtime with 256 MiB of memory, whose addresses no other module's allocator shares."""
    memory = DeviceMemory(256 << 20, get_runtime(), FIRST)
    yield Device(get_runtime(), memory)
    release(memory)
