"""The host touches device memory: said before the process dies of it, exactly as it would have."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pycuda_guard.hooks.hostfault import HostFaultWatch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not HostFaultWatch.is_available, reason="the C extension is not built")

PROGRAM = """
import ctypes, faulthandler, threading
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

{before}
memory = cuda.mem_alloc(4000)
{after}

def touch():
    {touch}

print("before", flush=True)
{run}
"""


def run(
    folder: Path,
    touch: str,
    before: str = "",
    after: str = "",
    run: str = "touch()",
    options: tuple[str, ...] = (),
) -> tuple[int, str, list]:
    """Run a program under the guard; return how it ended, its stderr and its findings."""
    path = folder / "program.py"
    path.write_text(PROGRAM.format(touch=touch, before=before, after=after, run=run), encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pycuda_guard",
            "run",
            "--device",
            "cpu",
            "--json",
            "out.json",
            *options,
            str(path),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "before\n"
    return done.returncode, done.stderr, json.loads((folder / "out.json").read_text())["findings"]


@pytest.mark.parametrize(
    ("touch", "words"),
    [
        ("ctypes.c_int.from_address(int(memory) + 8).value", "the host reads device memory `memory`"),
        ("ctypes.memset(int(memory), 1, 4)", "the host writes device memory `memory`"),
        (
            "np.frombuffer((ctypes.c_char * 4000).from_address(int(memory)), np.float32).sum()",
            "the host reads",
        ),
    ],
)
def test_reported_with_its_line(touch: str, words: str, tmp_path: Path) -> None:
    status, errors, findings = run(tmp_path, touch)
    assert status == -signal.SIGSEGV
    assert [(finding["code"], finding["location"]["line"]) for finding in findings] == [("PG204", 12)]
    assert findings[0]["message"].startswith(words)
    assert "error[PG204]" in errors


def test_on_another_thread(tmp_path: Path) -> None:
    status, _, findings = run(
        tmp_path,
        "ctypes.c_int.from_address(int(memory)).value",
        run="thread = threading.Thread(target=touch); thread.start(); thread.join()",
    )
    assert status == -signal.SIGSEGV
    assert [finding["location"]["line"] for finding in findings] == [12]


LAUNCH = """
from pycuda.compiler import SourceModule
module = SourceModule("__global__ void set(int *x, long offset) { x[offset] = 1; }")
def launch(offset):
    module.get_function("set")(memory, np.int64(offset), block=(1, 1, 1), grid=(1, 1))
    cuda.Context.synchronize()
launch(0)
"""


def test_after_a_launch(tmp_path: Path) -> None:
    """Kernels have a signal handler of their own, which is now in front."""
    status, _, findings = run(tmp_path, "ctypes.c_int.from_address(int(memory)).value", after=LAUNCH)
    assert status == -signal.SIGSEGV
    assert [finding["code"] for finding in findings] == ["PG204"]


def test_a_kernels_wild_access_is_still_an_error_of_cuda(tmp_path: Path) -> None:
    wild = """
more = cuda.mem_alloc(4)  # puts the handler for host accesses in front
try:
    launch(1 << 36)
except cuda.Error as error:
    print("before", flush=True)
import os
os._exit(7)
"""
    status, _, findings = run(tmp_path, "pass", after=LAUNCH + wild, options=("--no-kernels",))
    assert status == 7
    assert "PG204" not in [finding["code"] for finding in findings]


@pytest.mark.parametrize("place", ["before", "after"])
def test_faulthandler_still_speaks(place: str, tmp_path: Path) -> None:
    enabling = (
        "faulthandler.enable()" if place == "before" else "faulthandler.enable(); more = cuda.mem_alloc(4)"
    )
    status, errors, findings = run(
        tmp_path, "ctypes.c_int.from_address(int(memory)).value", **{place: enabling}
    )
    assert status == -signal.SIGSEGV
    assert errors.index("error[PG204]") < errors.index("Fatal Python error: Segmentation fault")
    assert "line 12 in touch" in errors
    assert len(findings) == 1


@pytest.mark.parametrize(
    "touch",
    [
        "ctypes.c_int.from_address(16).value",
        "import os; os.kill(os.getpid(), 11)",
        "address = int(memory); memory.free(); ctypes.c_int.from_address(address).value",
    ],
)
def test_other_crashes_are_no_finding(touch: str, tmp_path: Path) -> None:
    status, errors, findings = run(tmp_path, touch, before="faulthandler.enable()")
    assert status == -signal.SIGSEGV
    assert findings == []
    assert "Fatal Python error: Segmentation fault" in errors


def test_a_report_that_never_comes_back_does_not_keep_the_process(tmp_path: Path) -> None:
    blocked = "import time; from pycuda_guard import session\n"
    blocked += "session.active()._engine.feed = lambda event: time.sleep(99)"
    status, _, findings = run(tmp_path, "ctypes.c_int.from_address(int(memory)).value", after=blocked)
    assert status == -signal.SIGSEGV
    assert findings == []
