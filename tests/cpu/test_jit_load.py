"""Loading modules: from LLVM text to a kernel that runs, through the same path as PTX."""

from __future__ import annotations

import ctypes
import gc
import resource
import struct
import subprocess
import sys
import weakref

import pytest

from pycuda_guard.cpu import jit
from pycuda_guard.cpu.codegen.plan import KernelPlan, LoweredModule
from pycuda_guard.cpu.linker import LinkError, LoadedObject, undefined_symbols
from pycuda_guard.cpu.memory import UNIT
from pycuda_guard.cpu.objects import CompilationError, compile_ir
from pycuda_guard.errors import GuardError
from pycuda_guard.kernels.ptx.ir import Immediate, Space, SymbolValue, Variable

TEXT = """
@pg.globals = global [2 x i64] zeroinitializer
@pg.functions = global [1 x ptr] [ptr @twice]
declare float @sinf(float)
define i64 @twice(i64 %x) { %r = add i64 %x, %x
  ret i64 %r }
define void @"k.blocks"(ptr %block, i64 %first, i64 %final) {
  %table = getelementptr i64, ptr @pg.globals, i64 1
  %address = load i64, ptr %table
  %mirror = or i64 %address, 1099511627776
  %place = inttoptr i64 %mirror to ptr
  %at = load i64, ptr %block
  %buffer = inttoptr i64 %at to ptr
  %value = load i64, ptr %buffer
  %second = getelementptr i8, ptr %buffer, i64 8
  %more = load i64, ptr %second
  %sum = add i64 %value, %more
  store i64 %sum, ptr %place
  ret void
}
"""


def lowered() -> LoweredModule:
    plan = KernelPlan("k", parameters=[(0, 8), (8, 8)], parameter_bytes=16)
    variables = [
        Variable(
            "pointers",
            Space.GLOBAL,
            "u64",
            dims=(2,),
            initializer=(SymbolValue("result"), SymbolValue("twice")),
        ),
        Variable("result", Space.GLOBAL, "u64", initializer=Immediate("int", 41)),
    ]
    return LoweredModule(TEXT, [plan], variables, ["twice"])


@pytest.fixture(scope="module")
def compiled():
    return jit.compile_lowered(lowered())


def word(device, address: int, index: int = 0) -> int:
    return struct.unpack("<Q", device.memory.read(address + 8 * index, 8))[0]


def test_variables_hold_their_initial_values_and_addresses(device, compiled):
    module = jit.LoadedModule(compiled, device.memory)
    result, nbytes = module.globals["result"]
    assert nbytes == 8
    assert word(device, result) == 41
    pointers, _ = module.globals["pointers"]
    assert word(device, pointers) == result
    assert word(device, pointers, 1) != 0
    module.unload()


@pytest.mark.parametrize(
    ("parameters", "expected"), [((5, 6), 11), ((5,), 5), ((), 0), ((1, 2, 3, 4), 3)], ids=str
)
def test_parameters_are_cut_or_padded_with_zeros(device, compiled, parameters, expected):
    module = jit.LoadedModule(compiled, device.memory)
    assert device.launch(module.kernels["k"], *parameters) is None
    assert word(device, module.globals["result"][0]) == expected
    module.unload()


def test_large_parameter_buffers(device):
    body = """
  %address = call i64 @parameter(ptr %block, i64 0)
  %final = call i64 @parameter(ptr %block, i64 3999)
  %pointer = call ptr @translate(ptr %block, i64 %address)
  store i64 %final, ptr %pointer
  ret void"""
    kernel = device.kernel(body, parameter_bytes=32_000)
    address = device.bytes(bytes(8))
    assert device.launch(kernel, address, *range(1, 4000)) is None
    assert word(device, address) == 3999
    assert device.launch(kernel, address) is None
    assert word(device, address) == 0


def test_what_the_cache_keeps_loads_the_same(device, compiled):
    data, content = compiled.pack()
    again = jit.Compiled.unpack(data, content)
    assert again.plans == compiled.plans
    assert again.variables == compiled.variables
    assert (again.image, again.functions) == (compiled.image, compiled.functions)


def test_two_copies_of_a_module_are_independent(device, compiled):
    first, second = (jit.LoadedModule(compiled, device.memory) for _ in range(2))
    assert device.launch(first.kernels["k"], 1, 1) is None
    assert word(device, first.globals["result"][0]) == 2
    assert word(device, second.globals["result"][0]) == 41
    first.unload()
    second.unload()


def test_unloading_frees_the_variables_and_the_code(device, compiled):
    used = device.memory.used
    module = jit.LoadedModule(compiled, device.memory)
    assert device.memory.used > used
    kernel = module.kernels["k"]
    code = weakref.ref(kernel._owner)
    module.unload()
    assert device.memory.used == used
    assert code() is not None  # the kernel is still referenced
    del kernel
    gc.collect()
    assert code() is None


def test_a_module_that_cannot_be_loaded_leaves_nothing_behind(device):
    used = device.memory.used
    module = lowered()
    module.globals[1] = Variable("result", Space.GLOBAL, "u64", dims=(1 << 40,))
    compiled = jit.compile_lowered(module)
    with pytest.raises(Exception, match="bytes wanted"):
        jit.LoadedModule(compiled, device.memory)
    assert device.memory.used == used


def test_kernels_that_cannot_run_need_no_code(device):
    plan = KernelPlan("bad", unsupported="wgmma: not on this device")
    compiled = jit.compile_lowered(LoweredModule("", [plan], [], []))
    module = jit.LoadedModule(compiled, device.memory)
    with pytest.raises(GuardError, match="kernel bad cannot run: wgmma"):
        device.launch(module.kernels["bad"])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"\x7fELF\2\1\1", "cubin"),
        (b"\x50\xed\x55\xba\1\0", "fatbin"),
        (b"BC\xc0\xde", "bitcode"),
        (b"", "not PTX"),
        (b"int main() {}", "not PTX"),
        (b".version 8.0\n.target sm_90\n.address_size 64\n)(\0", "PTX line 4"),
    ],
)
def test_what_is_no_ptx_is_refused(device, image, message):
    with pytest.raises(jit.InvalidPtx, match=message):
        jit.load_module(image, device.memory)


@pytest.mark.parametrize(
    "text",
    [
        "this is not LLVM",
        "define i32 @f() { ret void }",
        "define i32 @f() {\na:\n  %x = add i32 %y, 1\n  %y = add i32 1, 1\n  ret i32 %x\n}",
    ],
)
def test_wrong_code_is_an_error_and_no_abort(text):
    with pytest.raises(CompilationError, match="LLVM refuses"):
        compile_ir(text)


@pytest.mark.parametrize("name", ["pg_malloc", "sinf", "memset", "__udivti3", "__truncdfhf2"])
def test_functions_outside_are_found(device, name):
    assert device.runtime.symbol(name)


def test_functions_that_do_not_exist_are_named(device):
    text = """
declare void @nowhere()
define void @"k.blocks"(ptr %block, i64 %first, i64 %final) {
  call void @nowhere()
  ret void
}"""
    compiled = jit.compile_lowered(LoweredModule(text, [KernelPlan("k")], [], []))
    assert undefined_symbols(compiled.image) == ["nowhere"]
    with pytest.raises(LinkError, match="nowhere"):
        jit.LoadedModule(compiled, device.memory)


def test_the_interpreter_ends_cleanly_with_code_loaded():
    script = """
import os
from pycuda_guard.cpu import jit
from pycuda_guard.cpu.codegen.plan import KernelPlan, LoweredModule
from pycuda_guard.cpu.memory import DeviceMemory
from pycuda_guard.cpu.runtime import get_runtime
memory = DeviceMemory(1 << 26, get_runtime())
text = 'define void @"k.blocks"(ptr %b, i64 %f, i64 %l) { ret void }'
module = jit.LoadedModule(jit.compile_lowered(LoweredModule(text, [KernelPlan("k")], [], [])), memory)
print(get_runtime().launch(module.kernels["k"], (4, 1, 1), (32, 1, 1), 0, b""))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (result.returncode, result.stdout, result.stderr) == (0, "None\n", "")


def test_modules_that_are_loaded_and_unloaded_leave_nothing(device, compiled):
    def resident_bytes() -> int:
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def load_and_unload(times: int) -> None:
        for _ in range(times):
            module = jit.LoadedModule(compiled, device.memory)
            assert device.launch(module.kernels["k"], 1, 1) is None
            module.unload()

    load_and_unload(200)
    before = resident_bytes()
    load_and_unload(2000)
    # the variables' memory has moved on to a unit of the device that is touched for the first time
    assert resident_bytes() - before <= UNIT + 2000 * 100


def test_code_is_linked_at_all_its_kinds_of_places(compiled):
    text = """
@table = internal constant [2 x ptr] [ptr @once, ptr @twice]
@count = internal global i64 5
@apart = internal global [3 x i64] zeroinitializer
declare double @cos(double)
define i64 @once(i64 %x) noinline { ret i64 %x }
define i64 @twice(i64 %x) noinline { %r = call i64 @once(i64 %x)
  %s = add i64 %r, %x
  ret i64 %s }
define double @outside() { %r = call double @cos(double 0.0)
  %s = fadd double %r, 0x3FB999999999999A
  ret double %s }
define i64 @inside(i64 %i) {
  %place = getelementptr ptr, ptr @table, i64 %i
  %function = load ptr, ptr %place
  %old = load volatile i64, ptr @count
  %new = call i64 %function(i64 %old)
  store volatile i64 %new, ptr @count
  store volatile i64 %new, ptr getelementptr (i64, ptr @apart, i64 2)
  %again = load volatile i64, ptr getelementptr (i64, ptr @apart, i64 2)
  ret i64 %again
}"""
    loaded = LoadedObject(compile_ir(text), ["outside", "inside"])
    assert ctypes.CFUNCTYPE(ctypes.c_double)(loaded.addresses["outside"])() == 1.1
    inside = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.addresses["inside"])
    assert [inside(1), inside(1), inside(0)] == [10, 20, 20]
    with pytest.raises(LinkError, match="does not define nothing"):
        LoadedObject(compile_ir(text), ["nothing"])


def test_code_cannot_be_written(device, compiled):
    module = jit.LoadedModule(compiled, device.memory)
    address = module.kernels["k"]._owner.addresses["k.blocks"]
    with open("/proc/self/maps") as file:
        for line in file:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= address < end:
                assert line.split()[1] == "r-xp"
                break
        else:
            raise AssertionError("the code is nowhere")
    module.unload()


def test_what_llvmlite_keeps_for_all_threads_is_complete_once_modules_can_be_lowered():
    program = (
        "import pycuda_guard.cpu.codegen.module\n"
        "from llvmlite.ir.values import _escape_string\n"
        "print(len(_escape_string.__defaults__[0]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "256"
