"""What crashes the interpreter in PyCUDA, and what it says under the guard."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

import pytest
from guard_processes import run_guard

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the programs need PyCUDA", allow_module_level=True)

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

ABORTED = -6


def run(program: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program, encoding="utf-8")
    arguments = ["--device", "cpu", "--json", "out.json", *options, "program.py"]
    return run_guard("run", *arguments, cwd=folder)


def found(folder: Path) -> list[tuple[str, str, int]]:
    """Return codes, severities and lines of the findings."""
    findings = json.loads((folder / "out.json").read_text(encoding="utf-8"))["findings"]
    return [(one["code"], one["severity"], one["location"]["line"]) for one in findings]


START = "import pycuda.autoinit\nimport pycuda.driver as cuda\nimport numpy as np\n"
CONTEXT = "context = cuda.Context.get_current()\na, b = cuda.mem_alloc(16), cuda.mem_alloc(16)\n"
REFUSED = {
    "peer copy without contexts": (
        CONTEXT + "cuda.memcpy_peer(a, b, 16)",
        "pass dest_context and src_context",
    ),
    "peer copy with one": (CONTEXT + "cuda.memcpy_peer(a, b, 16, src_context=context)", "pass dest_context"),
    "asynchronous": (CONTEXT + "cuda.memcpy_peer_async(a, b, 16)", "pass dest_context"),
    "registered memory": ("cuda.register_host_memory(np.zeros(4096))", "use pagelocked_empty()"),
}


@pytest.mark.parametrize(("call", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_call_that_crashes_raises_instead(call: str, hint: str, tmp_path: Path) -> None:
    program = f"{START}try:\n    exec({call!r})\nexcept cuda.LogicError as error:\n    print(error)\n"
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "it would crash the process (a bug of PyCUDA)" in done.stdout and hint in done.stdout


@pytest.mark.parametrize("name", ["peer copy without contexts", "registered memory"])
def test_it_does_not_work_without_the_guard(name: str, tmp_path: Path) -> None:
    # a crash; with NumPy 2.5, registering memory is a SystemError
    assert run(START + REFUSED[name][0], tmp_path, "--bare").returncode


def test_a_peer_copy_with_its_contexts_is_made(tmp_path: Path) -> None:
    call = "cuda.memcpy_peer(a, b, 16, context, context)\nprint('copied')"
    done = run(START + CONTEXT + call, tmp_path)
    assert (done.stdout, found(tmp_path)) == ("copied\n", [])


POOL = (
    START
    + "from pycuda.tools import DeviceMemoryPool\npool = DeviceMemoryPool()\nblock = pool.allocate(64)\n"
)
ABORTING = {
    "alive": POOL,
    "in a list": POOL.replace("block = pool.allocate(64)", "block = [pool.allocate(64)]"),
    "the held ones are given back": POOL + "pool.allocate(5000).free()\npool.free_held()\n",
}
ENDING_WELL = {
    "freed": POOL + "block.free()\n",
    "deleted": POOL + "del block\n",
    "another is held": POOL + "pool.allocate(5000).free()\n",
    "not holding": POOL + "pool.stop_holding()\n",
    "deleted at exit": POOL
    + "import atexit\n@atexit.register\ndef end():\n    global block\n    del block\n",
    "in a function": POOL.replace("block = ", "def work():\n    block = ") + "work()\n",
}


@pytest.mark.parametrize("program", ABORTING.values(), ids=ABORTING)
def test_a_pool_block_that_aborts_the_process_is_on_disk_before(program: str, tmp_path: Path) -> None:
    done = run(program, tmp_path)
    assert done.returncode == ABORTED
    assert found(tmp_path) == [("PG604", "error", 6)]
    assert done.stderr.index("error[PG604]") < done.stderr.index("terminate called")


@pytest.mark.parametrize("program", ENDING_WELL.values(), ids=ENDING_WELL)
def test_a_pool_block_that_does_not_is_right(program: str, tmp_path: Path) -> None:
    done = run(program, tmp_path)
    assert (done.returncode, found(tmp_path)) == (0, []), done.stderr


def test_the_programs_own_exception_comes_before_the_abort_that_follows(tmp_path: Path) -> None:
    program = """
import pycuda.driver as cuda
cuda.init()
context = cuda.Device(0).make_context()
raise ValueError("the program's own")
"""
    done = run(program, tmp_path)
    assert done.returncode == ABORTED
    assert found(tmp_path) == [("PG603", "warning", 4)]
    order = [
        done.stderr.index(text) for text in ("the program's own", "PG603", "context stack was not empty")
    ]
    assert order == sorted(order)


BLOCKING = (
    START
    + """
from pycuda.compiler import SourceModule
source = "__global__ void f(int *x) { *x = 1; } __global__ void wild(int *x) { *(x + (1L << 40)) = 1; }"
module = SourceModule(source)
good, bad = module.get_function("f"), module.get_function("wild")
a = cuda.mem_alloc(16)
good(a, block=(1, 1, 1))
bad.prepare("P").prepared_call((1, 1), (1, 1, 1), a)
good(a, block=(1, 1, 1))
"""
)


def test_blocking_changes_nothing_for_kernels_that_work(tmp_path: Path) -> None:
    program = BLOCKING.replace("bad.prepare", "good.prepare") + "print(cuda.from_device(a, 1, np.int32))"
    done = run(program, tmp_path, "--blocking")
    assert (done.stdout, done.returncode, found(tmp_path)) == ("[1]\n", 0, []), done.stderr


@pytest.mark.parametrize("options", [["--blocking"], []])
def test_blocking_names_the_launch_that_fails(options: list[str], tmp_path: Path) -> None:
    """Not looked into: an instrumented kernel does not fail."""
    done = run(BLOCKING + "cuda.Context.synchronize()\n", tmp_path, "--no-kernels", *options)
    assert "illegal memory access" in done.stderr.splitlines()[-1] or done.returncode == 1
    ((code, severity, line),) = [one for one in found(tmp_path) if one[1] == "error"]
    assert (code, severity) == ("PG405", "error")
    if options:
        assert line == BLOCKING.splitlines().index('bad.prepare("P").prepared_call((1, 1), (1, 1, 1), a)') + 1
        assert "one of" not in done.stderr
