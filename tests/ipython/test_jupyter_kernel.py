"""Findings of cells in a real Jupyter kernel, as a notebook gets and stores them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pycuda")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[2]

CUDA = """\
import asyncio
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule
memory = cuda.mem_alloc(400)
def overrun():
    try:
        cuda.memcpy_htod(memory, np.zeros(100))
    except cuda.LogicError:
        print("caught")
"""

KERNEL = '''\
past = SourceModule("""
__global__ void past(float *x)
{
    x[threadIdx.x + 1] = 1;
}
""").get_function("past")
past(memory, block=(100, 1, 1))
cuda.Context.synchronize()
'''

CELLS = {
    "loading": "%load_ext pycuda_guard",
    "cuda": CUDA,
    "caught": "overrun()",
    "kernel": KERNEL,
    "raising": "cuda.memcpy_htod(memory, np.zeros(101))",
    "awaiting": "await asyncio.sleep(0)\noverrun()",
    "right": "cuda.memcpy_htod(memory, np.zeros(100, np.float32))",
    "magic": "%%guard\noverrun()\n6 * 7",
    "silenced": "%%guard\ncuda.memset_d8(memory, 0, 401)  # pycuda-guard: ignore[PG201] on purpose",
    "silent": "%%guard\n1",
    "end": "import pycuda_guard\n_ = pycuda_guard.finish()",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Return what a notebook shows under each of its cells."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS.values()])
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    client = nbclient.NotebookClient(
        notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    own = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder), "PYCUDA_GUARD_DEVICE": "cpu"}
    client.execute(env={**environment, **own})
    nbformat.validate(notebook)
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def stream(outputs: list[Any], name: str) -> str:
    """Return what a cell has printed there."""
    return "".join(one.text for one in outputs if one.output_type == "stream" and one.name == name)


def test_findings_stand_under_their_cell(outputs: dict[str, list[Any]]) -> None:
    assert outputs["loading"] == outputs["cuda"] == outputs["right"] == []
    assert outputs["caught"][0].text == "caught\n"  # what the cell prints comes first
    caught = stream(outputs["caught"], "stderr")
    assert caught.startswith("error[PG201] copy-out-of-bounds: copy of 800 bytes")
    assert "--> In[2]:9   cuda.memcpy_htod(memory, np.zeros(100))" in caught
    kernel = stream(outputs["kernel"], "stderr")
    assert "error[PG202]" in kernel
    assert "--> In[4]:7   past(memory, block=(100, 1, 1))" in kernel
    assert re.search(r"kernel past: +In\[4\]:4  x\[threadIdx.x \+ 1\] = 1;", kernel)
    assert "ipykernel_" not in caught + kernel  # the name of a file that the user has never seen
    awaiting = stream(outputs["awaiting"], "stderr")
    assert stream(outputs["awaiting"], "stdout") == "caught\n" and "error[PG201]" in awaiting


def test_a_cell_that_fails_shows_its_error_and_the_finding(outputs: dict[str, list[Any]]) -> None:
    (error,) = (one for one in outputs["raising"] if one.output_type == "error")
    assert error.ename == "LogicError" and "cuMemcpyHtoD failed" in error.evalue
    assert not any("hooks" in line for line in error.traceback)
    assert "error[PG201]" in stream(outputs["raising"], "stderr")


def test_the_magic_shows_a_rich_output(outputs: dict[str, list[Any]]) -> None:
    kinds = [one.output_type for one in outputs["magic"]]
    assert kinds == ["stream", "execute_result", "display_data"]
    assert outputs["magic"][1].data["text/plain"] == "42"
    shown = outputs["magic"][2].data
    assert "1 error in this cell" in shown["text/plain"] and "<details open" in shown["text/html"]
    assert "In[2]:9" in shown["text/html"] and "error[PG201]" not in stream(outputs["magic"], "stderr")
    silenced = next(one for one in outputs["silenced"] if one.output_type == "display_data").data
    assert "suppressed (on purpose): error[PG201] In[9]:2" in silenced["text/html"]
    (result, nothing) = outputs["silent"]
    assert result.data["text/plain"] == "1"
    assert "nothing found in this cell" in nothing.data["text/html"]


def test_the_end_says_what_was_checked(outputs: dict[str, list[Any]]) -> None:
    said = stream(outputs["end"], "stderr")
    assert "pycuda-guard: 3 errors, 1 note, 1 suppressed on the CPU device" in said
    assert "Not checked: races inside kernels (--races)." in said
