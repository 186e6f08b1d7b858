"""Pages that are protected, and everybody else who handles SIGSEGV, runs threads or forks."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from guard_processes import run_guard

from pycuda_guard.hooks.touch import TouchWatch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not TouchWatch.is_available, reason="pages can't be protected here")

PROGRAM = """
import ctypes, faulthandler, os, signal, threading
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
N = 1 << 16
x_gpu = cuda.to_device(np.arange(N, dtype=np.float32))
x = cuda.pagelocked_zeros(N, np.float32)
stream = cuda.Stream()
def down():
    cuda.memcpy_dtoh_async(x, x_gpu, stream)
def touch():
    return x[:10].sum()
def launch():
    from pycuda.compiler import SourceModule
    module = SourceModule("__global__ void set(float *x) { x[threadIdx.x] = 1; }")
    module.get_function("set")(x_gpu, block=(32, 1, 1), stream=stream)
"""
TOUCH = 13
TOLD = [(TOUCH, "PG101")]


def run(folder: Path, program: str) -> tuple[int, str, str, list]:
    """Run a program under the guard; return how it ended, its output, and the errors."""
    path = folder / "program.py"
    path.write_text(PROGRAM + program, encoding="utf-8")
    done = run_guard("run", "--device", "cpu", "--json", "out.json", path, cwd=folder, timeout=60)
    found = json.loads((folder / "out.json").read_text())["findings"]
    told = [(f["location"]["line"], f["code"]) for f in found if f["severity"] == "error"]
    return done.returncode, done.stdout, done.stderr, told


HANDLERS = {
    "none": "",
    "faulthandler": "faulthandler.enable()",
    "faulthandler that is off again": "faulthandler.enable(); faulthandler.disable()",
    "the program's own in Python": "signal.signal(signal.SIGSEGV, lambda *_: os.write(1, b'mine'))",
    "ignored": "signal.signal(signal.SIGSEGV, signal.SIG_IGN)",
    "that of the kernels": "launch()",
    "both": "faulthandler.enable(); launch()",
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_handlers_that_were_there_before(handler: str, tmp_path: Path) -> None:
    program = f"{handler}\nfor _ in range(3):\n    down(); touch(); stream.synchronize()\nprint(touch())"
    status, printed, errors, told = run(tmp_path, program)
    assert (status, printed) == (1, f"{printed.split()[-1]}\n")
    assert told == TOLD
    assert "Fatal Python error" not in errors


def test_each_arming_comes_to_the_front(tmp_path: Path) -> None:
    program = (
        "down(); stream.synchronize(); faulthandler.enable(); launch(); down(); touch(); stream.synchronize()"
    )
    status, _, errors, told = run(tmp_path, program)
    assert (status, told) == (1, TOLD)
    assert "Fatal Python error" not in errors


@pytest.mark.parametrize("then", ["", "launch(); down()", "stream.synchronize(); down()"])
def test_other_crashes_go_on_to_faulthandler(then: str, tmp_path: Path) -> None:
    program = f"faulthandler.enable()\ndown()\n{then}\nctypes.c_int.from_address(16).value"
    status, _, errors, told = run(tmp_path, program)
    assert (status, told) == (-signal.SIGSEGV, [])
    assert "Fatal Python error: Segmentation fault" in errors


def test_other_crashes_go_on_to_the_programs_own_handler(tmp_path: Path) -> None:
    program = """
action = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: os._exit(7))
ctypes.CDLL(None).signal(signal.SIGSEGV, action)
down()
touch()
ctypes.c_int.from_address(16).value
"""
    status, _, _, told = run(tmp_path, program)
    assert (status, told) == (7, TOLD)


def test_touches_on_many_threads_at_once(tmp_path: Path) -> None:
    program = """
def work():
    start.wait()
    seen.append(x.sum())
for _ in range(5):
    start, seen = threading.Barrier(4), []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads: thread.start()
    down()
    for thread in threads: thread.join()
    stream.synchronize()
    assert len(seen) == 4
print("done")
"""
    status, printed, errors, told = run(tmp_path, program)
    assert (status, printed) == (1, "done\n"), errors
    assert {code for _, code in told} == {"PG101"}


def test_a_thread_without_python_is_nobodys_business(tmp_path: Path) -> None:
    program = """
libc = ctypes.CDLL(None)
stream.synchronize()
down()
thread = ctypes.c_ulong()
text = ctypes.c_void_p(x.ctypes.data + 4096)
libc.pthread_create(ctypes.byref(thread), None, libc.strlen, text)
libc.pthread_join(thread, None)
stream.synchronize()
print("done")
"""
    status, printed, errors, told = run(tmp_path, program)
    assert (status, printed, told) == (0, "done\n", []), errors


def test_what_such_a_thread_has_freed_is_watched_again(tmp_path: Path) -> None:
    program = """
libc = ctypes.CDLL(None)
down()
thread = ctypes.c_ulong()
libc.pthread_create(ctypes.byref(thread), None, libc.strlen, ctypes.c_void_p(x.ctypes.data))
libc.pthread_join(thread, None)
y = cuda.pagelocked_zeros(N, np.float32)
cuda.memcpy_dtoh_async(y, x_gpu, stream)
touch()
"""
    status, _, _, told = run(tmp_path, program)
    assert (status, told) == (1, TOLD)


def test_a_touch_while_the_guard_is_at_work(tmp_path: Path) -> None:
    """The report must wait for another thread's event, not for ever."""
    program = """
def launches():
    for _ in range(200):
        cuda.memcpy_dtod(x_gpu, x_gpu_2, 64)
x_gpu_2 = cuda.mem_alloc(64)
context = cuda.Context.get_current()
def worker():
    context.push(); launches(); context.pop()
thread = threading.Thread(target=worker)
thread.start()
for _ in range(50):
    down(); touch(); stream.synchronize()
thread.join()
print("done")
"""
    status, printed, errors, told = run(tmp_path, program)
    assert (status, printed, told) == (1, "done\n", TOLD), errors


@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
def test_a_forked_child_may_touch_all(how: str, tmp_path: Path) -> None:
    child = {
        "os.fork": """
pid = os.fork()
if not pid:
    touch(); os._exit(5)
status = os.waitpid(pid, 0)[1] >> 8
""",
        "multiprocessing": """
import multiprocessing
def work():
    touch(); os._exit(5)
process = multiprocessing.get_context("fork").Process(target=work)
process.start(); process.join(); status = process.exitcode
""",
    }
    program = f"faulthandler.enable()\ndown()\n{child[how]}\nprint(status)\ntouch()"
    status, printed, errors, told = run(tmp_path, program)
    assert (status, printed, told) == (1, "5\n", TOLD), errors


def test_a_process_started_afresh_is_not_disturbed(tmp_path: Path) -> None:
    program = "import subprocess\ndown()\nsubprocess.run(['true'], check=True)\nstream.synchronize()\ntouch()"
    status, _, errors, told = run(tmp_path, program)
    assert (status, told) == (0, []), errors


def test_nothing_is_protected_when_the_guard_is_gone(tmp_path: Path) -> None:
    program = "import pycuda_guard\ndown()\npycuda_guard.disable()\ntouch()\nprint('done')"
    status, printed, errors, told = run(tmp_path, program)
    assert (status, printed, told) == (0, "done\n", []), errors


def test_a_system_call_fails_as_documented(tmp_path: Path) -> None:
    program = """
down()
try:
    os.write(os.pipe()[1], x[:100])
except OSError as error:
    print(error.strerror)
stream.synchronize()
os.write(os.pipe()[1], x[:100])
"""
    status, printed, _, told = run(tmp_path, program)
    assert (status, printed, told) == (0, "Bad address\n", [])
