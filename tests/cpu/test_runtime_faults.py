"""Faults of kernels end the launch, never Python; signals of others go where they went before."""

from __future__ import annotations

import faulthandler
import signal
import subprocess
import sys
import threading

import pytest

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.abi import FaultKind

LOAD = """
  %address = call i64 @parameter(ptr %block, i64 0)
  %pointer = call ptr @translate(ptr %block, i64 %address)
  store volatile i32 7, ptr %pointer
  ret void
"""

RECURSION = """
define i64 @deep(i64 %n) noinline optnone {
  %place = alloca [64 x i64]
  store volatile i64 %n, ptr %place
  %next = add i64 %n, 1
  %below = call i64 @deep(i64 %next)
  %mine = load volatile i64, ptr %place
  %sum = add i64 %below, %mine
  ret i64 %sum
}
"""


@pytest.fixture(scope="module")
def store(device):
    return device.kernel(LOAD)


def test_a_right_access_is_no_fault(device, store):
    address = device.bytes(bytes(4))
    assert device.launch(store, address) is None
    assert device.memory.read(address, 4) == b"\7\0\0\0"


@pytest.mark.parametrize(
    "address",
    [0, 8, 0x7F00_1234_5678, 1 << 63, (1 << 64) - 8, id(object())],
    ids=["null", "near null", "host", "middle", "last", "object of Python"],
)
def test_a_wild_address_is_illegal(device, store, address):
    fault = device.launch(store, address)
    assert fault.kind is FaultKind.ILLEGAL_ADDRESS
    assert not fault.known
    assert fault.address == 0


@pytest.mark.parametrize("window", [0, 2], ids=["device", "host"])
def test_an_address_without_memory_is_known(device, store, window):
    address = device.runtime.base + window * abi.WINDOW + abi.SCRATCH - 4096
    fault = device.launch(store, address)
    assert (fault.kind, fault.known, fault.address) == (FaultKind.ILLEGAL_ADDRESS, True, address)


def test_the_mirror_is_no_device_address(device, store):
    address = device.bytes(bytes(4))
    assert not device.launch(store, address | abi.WINDOW).known


def test_decommitted_memory_faults(device, store):
    address = device.memory.allocate(8 << 20)
    assert device.launch(store, address) is None
    device.memory.free(address)
    assert device.launch(store, address).address == address


def test_the_device_works_on_after_many_faults(device, store):
    for _ in range(300):
        assert device.launch(store, 0).kind is FaultKind.ILLEGAL_ADDRESS
    assert device.launch(store, device.bytes(bytes(4))) is None


def test_faults_in_other_python_threads(device, store):
    faults = []
    threads = [threading.Thread(target=lambda: faults.append(device.launch(store, 0))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [fault.kind for fault in faults] == [FaultKind.ILLEGAL_ADDRESS] * 8


def test_endless_recursion_is_a_stack_overflow(device):
    kernel = device.kernel("  %n = call i64 @deep(i64 0)\n  ret void", RECURSION)
    for _ in range(2):
        assert device.launch(kernel).kind is FaultKind.STACK_OVERFLOW


def test_an_illegal_instruction(device):
    kernel = device.kernel("  call void @llvm.trap()\n  unreachable")
    assert device.launch(kernel).kind is FaultKind.ILLEGAL_INSTRUCTION


def test_a_trap_knows_its_thread(device):
    offset = abi.block_offsets()["block_index"]
    body = f"""
  %x = getelementptr i8, ptr %block, i64 {offset}
  store i32 3, ptr %x
  %y = getelementptr i8, ptr %block, i64 {offset + 4}
  store i32 2, ptr %y
  %z = getelementptr i8, ptr %block, i64 {offset + 8}
  store i32 1, ptr %z
  call void @pg_trap(ptr %block, i32 13)
  ret void"""
    fault = device.launch(device.kernel(body), grid=(4, 3, 2), block=(4, 2, 2))
    assert (fault.kind, fault.block, fault.thread) == (FaultKind.TRAP, (3, 2, 1), (1, 1, 1))


def test_a_failed_assertion_is_printed_as_cuda_does(device, capfd):
    body = f"""
  %message = call i64 @parameter(ptr %block, i64 0)
  %file = call i64 @parameter(ptr %block, i64 1)
  %function = call i64 @parameter(ptr %block, i64 2)
  %x = getelementptr i8, ptr %block, i64 {abi.block_offsets()["block_index"]}
  call void @llvm.memset.p0.i64(ptr %x, i8 0, i64 12, i1 false)
  call void @pg_assert_fail(ptr %block, i32 1, i64 %message, i64 %file, i32 12, i64 %function)
  ret void"""
    kernel = device.kernel(body, "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
    strings = map(device.string, ("i < n", "kernel.cu", "void k(int)"))
    fault = device.launch(kernel, *strings, block=(2, 1, 1))
    assert (fault.kind, fault.message, fault.file) == (FaultKind.ASSERT, "i < n", "kernel.cu")
    assert (fault.line, fault.function, fault.thread) == (12, "void k(int)", (1, 0, 0))
    line = "kernel.cu:12: void k(int): block: [0,0,0], thread: [1,0,0] Assertion `i < n` failed.\n"
    assert capfd.readouterr().err == line


@pytest.mark.parametrize("ending", ["  ret void", "  call void @llvm.trap()\n  unreachable"])
def test_float_modes_are_the_default_inside_and_the_callers_outside(device, ending):
    control = "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)"
    body = """
  %address = call i64 @parameter(ptr %block, i64 0)
  %pointer = call ptr @translate(ptr %block, i64 %address)
  call void @llvm.x86.sse.stmxcsr(ptr %pointer)
  %place = alloca i32
  store i32 u0x9fc0, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
"""
    address = device.bytes(bytes(4))
    device.launch(device.kernel(body + ending, control), address)
    assert device.memory.read(address, 4) == (0x1F80).to_bytes(4, "little")
    smallest = float.fromhex("0x1p-1074")
    assert smallest * 1.0 != 0  # would be flushed to zero in the kernel's mode


def test_faulthandler_enabled_later_does_not_take_kernels_faults(device, store):
    was_enabled = faulthandler.is_enabled()
    try:
        for change in (faulthandler.enable, faulthandler.disable) * 4:
            change()
            assert device.launch(store, 0).kind is FaultKind.ILLEGAL_ADDRESS
    finally:
        if was_enabled:
            faulthandler.enable()


SETUP = """
import ctypes, faulthandler, os, signal
from pycuda_guard.cpu.runtime import get_runtime
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SETUP + script], capture_output=True, text=True, timeout=50)


CRASH = "ctypes.string_at(16)\n"
START = "get_runtime()\n"
ARM = "get_runtime().library.pg_arm()\n"
ENABLE = "faulthandler.enable()\n"
DISABLE = "faulthandler.disable()\n"


@pytest.mark.parametrize(
    ("script", "is_reported"),
    [
        (START, False),
        (START + ARM, False),
        (START + ENABLE, True),
        (ENABLE + START, True),
        (START + ENABLE + ARM, True),
        (ENABLE + START + DISABLE + ENABLE + ARM, True),
        (START + ENABLE + ARM + DISABLE, False),
        (ENABLE + START + DISABLE, False),
        (ENABLE + START + DISABLE + ARM, False),
        (START + (ENABLE + ARM + DISABLE) * 20 + ENABLE + ARM, True),
    ],
)
def test_a_crash_of_the_host_is_what_it_was(script, is_reported):
    result = run(script + CRASH)
    assert result.returncode == -signal.SIGSEGV
    assert ("Fatal Python error: Segmentation fault" in result.stderr) == is_reported


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"])
def test_a_signal_sent_by_a_process_is_what_it_was(name):
    assert run(START + f"os.kill(os.getpid(), signal.{name})").returncode == -getattr(signal, name)


def test_a_python_handler_still_gets_its_signal():
    script = "signal.signal(signal.SIGFPE, lambda *_: print('mine'))\n"
    result = run(script + START + "os.kill(os.getpid(), signal.SIGFPE)\nprint('on')")
    assert (result.returncode, result.stdout.split()) == (0, ["mine", "on"])


def test_a_handler_that_repairs_the_fault_lets_the_program_go_on():
    script = (
        START
        + """
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, 4096, 0, 0x22, -1, 0)
prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
protect = ctypes.cast(libc.mprotect, prototype)
@ctypes.CFUNCTYPE(None, ctypes.c_int)
def repair(number):
    protect(page, 4096, 3)
libc.signal(signal.SIGSEGV, repair)
get_runtime().library.pg_arm()
for _ in range(3):
    ctypes.memset(page, 5, 1)
    print(ctypes.string_at(page, 1))
    protect(page, 4096, 0)
"""
    )
    result = run(script)
    assert (result.returncode, result.stdout.split()) == (0, [r"b'\x05'"] * 3)


def test_a_child_forked_after_a_launch_launches_nothing():
    script = (
        START
        + """
from pycuda_guard.cpu import jit
from pycuda_guard.cpu.codegen.plan import KernelPlan, LoweredModule
from pycuda_guard.cpu.memory import DeviceMemory
from pycuda_guard.cpu.runtime import ForkedError
memory = DeviceMemory(1 << 26, get_runtime())
text = 'define void @"k.blocks"(ptr %b, i64 %f, i64 %l) { ret void }'
module = jit.LoadedModule(jit.compile_lowered(LoweredModule(text, [KernelPlan("k")], [], [])), memory)
for forked in ("before", "after"):
    if os.fork() == 0:
        try:
            print(forked, get_runtime().launch(module.kernels["k"], (1, 1, 1), (1, 1, 1), 0, b""), flush=True)
        except ForkedError as error:
            print(forked, error, error.hint, flush=True)
        os._exit(0)
    os.wait()
    get_runtime().launch(module.kernels["k"], (1, 1, 1), (1, 1, 1), 0, b"")
"""
    )
    before, after = run(script).stdout.splitlines()
    assert before == "before None"
    assert "forked child" in after and "spawn" in after


def test_too_little_address_space_is_said():
    script = """
import resource
from pycuda_guard.cpu.runtime import RegionError
resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
try:
    get_runtime()
except RegionError as error:
    print(error, error.hint)
"""
    output = run(script).stdout
    assert "4 TiB of addresses" in output
    assert "ulimit -v" in output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sys.modules['pycuda_guard.cpu._runtime'] = None", "missing or stale"),
        ("runtime.ABI = -1", "is stale"),
        ("sys.platform = 'win32'", "Linux on x86-64 only, this is win32"),
    ],
)
def test_a_runtime_that_cannot_work_says_why(change, message):
    script = f"""
import sys
from pycuda_guard.cpu import runtime
from pycuda_guard.errors import StartError
{change}
try:
    runtime.get_runtime()
except StartError as error:
    print(error)
"""
    assert message in run(script).stdout
