"""Findings of cells, in a real IPython shell on the CPU device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pycuda")
pytest.importorskip("IPython")

ROOT = Path(__file__).resolve().parents[2]

#: runs each cell and marks where its output begins
SHELL = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell

sys.stderr = sys.stdout
shell = InteractiveShell.instance(colors="nocolor")
for number, cell in enumerate(sys.argv[1:], 1):
    print(f"=== {number}")
    shell.run_cell(cell, store_history=True)
"""

CUDA = """\
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
memory = cuda.mem_alloc(400)
def overrun():
    cuda.memcpy_htod(memory, np.zeros(100))
"""

LOOP = """\
for _ in range(3):
    try:
        overrun()
    except cuda.LogicError:
        print("caught")
"""

COVERAGE = """\
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule
fill = SourceModule(
    "__global__ void fill(int *x, int n)"
    "{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] = i; }"
).get_function("fill")
def copied(blocks):
    x, found = cuda.mem_alloc(4000), np.empty(1000, np.int32)
    fill(x, np.int32(1000), block=(256, 1, 1), grid=(blocks, 1))
    cuda.Context.synchronize()
    cuda.memcpy_dtoh(found, x)
"""


def run(folder: Path, *cells: str) -> list[str]:
    """Run cells in a shell of a new process; return what each of them has printed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYCUDA_GUARD_")},
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder),
        "PYCUDA_GUARD_DEVICE": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", SHELL, *cells],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return [part.partition("\n")[2].strip() for part in done.stdout.split("=== ")[1:]]


def test_each_cell_says_what_was_found_in_it(tmp_path: Path) -> None:
    printed = run(
        tmp_path,
        "%load_ext pycuda_guard",
        CUDA,
        LOOP,
        "overrun()",
        "cuda.memcpy_htod(memory, np.zeros(100, np.float32))",
        "try:\n    cuda.mem_alloc(1 << 60)\nexcept cuda.MemoryError:\n    pass",
        "cuda.mem_alloc(1 << 59)",
        "event, stream = cuda.Event(), cuda.Stream()\nstream.wait_for_event(event)",
        "import pycuda_guard\nfindings = pycuda_guard.finish()\nprint(len(findings))",
        "overrun()",
    )
    loaded, cuda, loop, raised, right, handled, memory, waited, finished, after = printed
    assert loaded == cuda == right == waited == ""
    assert loop.startswith("caught\ncaught\ncaught\nerror[PG201] copy-out-of-bounds:")
    assert loop.count("PG201") == 2 and "(3 times)" in loop  # the second one is the command that explains
    assert "--> In[2]:6   cuda.memcpy_htod(memory, np.zeros(100))" in loop
    assert "allocated here: In[2]:4" in loop
    assert raised.index("LogicError: cuMemcpyHtoD failed") < raised.index("error[PG201]")
    assert "times)" not in raised
    assert handled.startswith("note[PG209] In[6]:2 out-of-memory:") and len(handled.splitlines()) == 1
    assert "error[PG209]" in memory and "--> In[7]:1" in memory
    assert all("hooks" not in text for text in printed)  # no frames of the guard in the tracebacks
    lines = finished.splitlines()
    assert lines[0].startswith("error[PG201] In[2]:6: 4 times in all")
    assert lines[1].startswith("warning[PG107]") and "In[8]:2" in lines[2]
    assert "\npycuda-guard: 2 errors, 1 warning, 1 note on the CPU device (" in finished
    assert lines[-1] == "4"
    assert "LogicError" in after and "PG201" not in after


def test_enable_in_a_cell_and_leaving_again(tmp_path: Path) -> None:
    printed = run(
        tmp_path,
        "import pycuda_guard\nbefore = get_ipython().showtraceback\npycuda_guard.enable(quiet=True)",
        CUDA + "overrun()",
        "cuda.memcpy_dtoh_async(np.empty(100, np.float32), memory, cuda.Stream())",
        "pycuda_guard.disable()",
        "print(get_ipython().showtraceback == before)",
        "overrun()",
        "%load_ext pycuda_guard",
        "memory = cuda.mem_alloc(400); overrun()",
        "%unload_ext pycuda_guard",
        "overrun()",
    )
    enabled, wrong, note, disabled, restored, unguarded, loaded, wrong_again, unloaded, after = printed
    assert "error[PG201]" in wrong
    assert enabled == note == disabled == unloaded == ""
    assert restored == "True"
    assert "PG201" not in unguarded + after and unguarded.count("LogicError:") == 1
    assert loaded.startswith("note[PG902]")
    assert "error[PG201]" in wrong_again and wrong_again.count("LogicError:") == 1


def test_a_notebook_that_has_loaded_the_cpu_device_itself(tmp_path: Path) -> None:
    load = "from pycuda_guard import cpu\ncpu.load()\n"
    printed = run(tmp_path, load + "import pycuda.driver", "%load_ext pycuda_guard", CUDA, "overrun()")
    assert "error[PG201]" in printed[3]


def test_what_is_asked_for_and_cannot_be_had_is_said(tmp_path: Path) -> None:
    ask = "import os\nos.environ['PYCUDA_GUARD_DEVICE'] = 'gpu'"
    printed = run(tmp_path, "from pycuda_guard import cpu\ncpu.load()", ask, "%load_ext pycuda_guard")
    assert "StartError: the CPU device is in use in this process" in printed[2]


def test_elements_that_nobody_wrote_belong_to_the_cell_that_reads_them(tmp_path: Path) -> None:
    printed = run(
        tmp_path, "%load_ext pycuda_guard", COVERAGE, "copied(3)", "copied(4)", "%%guard\ncopied(2)"
    )
    short, whole, guarded = printed[2:]
    assert "error[PG301]" in short and "elements 768 to 999" in short
    assert whole == ""
    assert "1 error in this cell" in guarded and "[PG301]" in guarded
