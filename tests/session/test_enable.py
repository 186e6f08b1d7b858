"""``enable()``, ``guard()``, ``finish()`` and ``disable()`` in real programs on the CPU device."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: a context, an allocation of 100 floats, and a function that copies twice as much as it holds
CUDA = """
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

memory = cuda.mem_alloc(400)

def overrun():
    try:
        cuda.memcpy_htod(memory, np.zeros(100))
    except cuda.LogicError:
        print("caught")
"""


def python(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that guards itself."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def codes(path: Path) -> list[tuple[str, str]]:
    """Return code and severity of the findings in a JSON report."""
    found = json.loads(path.read_text(encoding="utf-8"))["findings"]
    return [(finding["code"], finding["severity"]) for finding in found]


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; before = set(sys.modules); import pycuda_guard; "
         "print(*sorted(set(sys.modules) - before))"],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) <= {"__future__", "pycuda_guard"}


def test_enable_reports_at_once_and_at_exit(tmp_path: Path) -> None:
    done = python(
        f"""
import pycuda_guard
pycuda_guard.enable(device="cpu", json="out.json")
pycuda_guard.enable()
{CUDA}
overrun()
import sys
print("so far:", "PG201" in open("out.json").read(), file=sys.stderr)
""",
        tmp_path,
    )
    assert done.returncode == 0
    assert done.stdout == "caught\n"
    assert done.stderr.index("error[PG201]") < done.stderr.index("so far: True")
    assert "\npycuda-guard: 1 error on the CPU device (" in done.stderr
    assert codes(tmp_path / "out.json") == [("PG201", "error")]


def test_the_end_of_the_run_comes_before_autoinit_pops_its_context(tmp_path: Path) -> None:
    done = python(
        f"""
import atexit, sys
import pycuda_guard
atexit.register(lambda: print("first registered", file=sys.stderr))
pycuda_guard.enable(device="cpu")
{CUDA}
def at_exit():
    print("context:", cuda.Context.get_current() is not None, file=sys.stderr)
    overrun()
atexit.register(at_exit)
from pycuda_guard import session
running = session.active()
finish, session.session.Session.finish = running.finish, lambda self, process: print(
    "context at the end:", cuda.Context.get_current() is not None, len(finish()), process, file=sys.stderr)
""",
        tmp_path,
    )
    lines = done.stderr.splitlines()
    assert lines[0] == "context: True"
    assert lines[-2:] == ["context at the end: True 1 exits", "first registered"]


def test_an_error_that_ends_the_script_or_a_thread_is_not_handled(tmp_path: Path) -> None:
    program = f"""
import sys, threading
import pycuda_guard
pycuda_guard.enable(device="cpu", json=sys.argv[1], quiet=True)
{CUDA}
from pycuda.compiler import SourceModule
def launch():
    context = cuda.Device(0).make_context()
    try:
        kernel = SourceModule("__global__ void k(int x) {{}}").get_function("k")
        kernel(np.int32(1), block=(4096, 1, 1), grid=(1, 1))
    finally:
        context.pop()
"""
    endings = {
        "escaped.json": "launch()",
        "chained.json": "try: launch()\nexcept cuda.Error as e: raise ValueError('other')",
        "thread.json": "thread = threading.Thread(target=launch); thread.start(); thread.join()",
        "handled.json": "try: launch()\nexcept cuda.Error: pass",
        "exit.json": "try: launch()\nexcept cuda.Error: sys.exit()",
    }
    for name, ending in endings.items():
        done = python(program + ending, tmp_path, name)
        assert "pycuda_guard" not in done.stderr, name  # no frames of the guard in the traceback
        handled = name in ("handled.json", "exit.json")
        assert codes(tmp_path / name) == [("PG404", "note" if handled else "error")], name


def test_too_late_for_the_cpu_device(tmp_path: Path) -> None:
    done = python(
        """
import pycuda_guard
from pycuda_guard import cpu
cpu.load()
import pycuda.driver
import sys
sys.modules["pycuda_guard.cpu.load"]._loaded = None  # as if pycuda.driver had found a GPU's driver
try:
    pycuda_guard.enable(device="cpu")
except Exception as error:
    print(type(error).__name__, error, "/", error.hint)
""",
        tmp_path,
    )
    assert done.stdout.startswith(
        "StartError the CPU device can't be chosen any more: pycuda.driver is already"
    )
    assert "before importing pycuda" in done.stdout


def test_blocks_have_findings_of_their_own(tmp_path: Path) -> None:
    done = python(
        f"""
import pycuda_guard
with pycuda_guard.guard(device="cpu", quiet=True) as first:
{textwrap.indent(CUDA, "    ")}
    overrun()
with pycuda_guard.guard() as second:
    cuda.memcpy_htod(memory, np.zeros(100, np.float32))
pycuda_guard.enable(quiet=True)
memory = cuda.mem_alloc(400)  # what was made before is not known any more
with pycuda_guard.guard() as third:
    overrun()
with pycuda_guard.guard() as fourth:
    pass
try:
    with pycuda_guard.guard() as fifth:
        overrun()
        raise KeyError
except KeyError:
    pass
for block in (first, second, third, fourth, fifth):
    print([finding.code for finding in block.findings if finding.severity.rank])
print(len(pycuda_guard.finish()) > 0, pycuda_guard.finish())
""",
        tmp_path,
    )
    printed = [line for line in done.stdout.splitlines() if line != "caught"]
    assert printed == ["['PG201']", "[]", "['PG201']", "[]", "['PG201']", "True []"], done.stderr


def test_disable_prints_nothing_more_and_unwraps(tmp_path: Path) -> None:
    done = python(
        f"""
import pycuda_guard
pycuda_guard.enable(device="cpu")
{CUDA}
overrun()
pycuda_guard.disable()
pycuda_guard.disable()
import sys
print("disabled", file=sys.stderr)
overrun()
""",
        tmp_path,
    )
    assert done.stderr.count("error[PG201]") == 1
    assert done.stderr.splitlines()[-1] == "disabled"


@pytest.mark.parametrize("how", ["os.kill(os.getpid(), 9)", "os._exit(0)", "os.abort()"])
def test_json_survives_a_death(how: str, tmp_path: Path) -> None:
    done = python(
        f"""
import os
import pycuda_guard
pycuda_guard.enable(device="cpu", json="out.json")
{CUDA}
overrun()
{how}
""",
        tmp_path,
    )
    assert codes(tmp_path / "out.json") == [("PG201", "error")]
    assert "error[PG201]" in done.stderr


def test_children_leave_the_report_to_the_parent(tmp_path: Path) -> None:
    done = python(
        f"""
import os, sys
import pycuda_guard
pycuda_guard.enable(device="cpu", json="out.json")
{CUDA}
overrun()
sys.stdout.flush()
child = os.fork()
if child == 0:
    print("in the child", flush=True)
    sys.exit(0)
print("child ended with", os.waitpid(child, 0)[1])
""",
        tmp_path,
    )
    assert done.stdout.splitlines() == ["caught", "in the child", "child ended with 0"]
    assert done.stderr.count("error[PG201]") == 1
    assert done.stderr.count(" rules on)") == 1
    assert "child processes" not in done.stderr
    assert codes(tmp_path / "out.json") == [("PG201", "error")]


def test_a_child_of_a_guarded_run_ends_with_its_own_status(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        f"""{CUDA}
import os, sys
overrun()
child = os.fork()
if child == 0:
    sys.exit(0)
print("child ended with", os.waitpid(child, 0)[1])
""",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "child ended with 0"
    assert done.stderr.count(" rules on)") == 1


def test_started_workers_leave_the_report_to_the_parent(tmp_path: Path) -> None:
    done = python(
        """
import multiprocessing
import pycuda_guard
if __name__ == "__main__":
    pycuda_guard.enable(device="cpu", json="out.json", quiet=True)
    pycuda_guard.guard
def work(n):
    with pycuda_guard.guard(device="cpu", json="out.json", quiet=True):
        return open("out.json").read()
if __name__ == "__main__":
    open("out.json", "w").write("the parent's")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(work, [1]))
""",
        tmp_path,
    )
    assert done.stdout == """["the parent's"]\n""", done.stderr


def test_an_interrupt_inside_a_hook_reaches_the_program(tmp_path: Path) -> None:
    done = python(
        f"""
import pycuda_guard, signal, sys
pycuda_guard.enable(device="cpu")
{CUDA}
class Interrupting:
    def write(self, text):
        signal.raise_signal(signal.SIGINT)
    def flush(self): pass
from pycuda_guard import session
session.active()._output.screen._stream = Interrupting()
try:
    overrun()
except KeyboardInterrupt:
    print("interrupted")
session.active()._output.screen._stream = sys.stderr
cuda.memcpy_htod(memory, np.zeros(101, np.float32))
""",
        tmp_path,
    )
    assert done.stdout == "interrupted\n"
    assert "404 bytes" in done.stderr
