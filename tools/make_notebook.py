"""Runs the cells of the example notebook in an IPython shell and writes them with what they print.

``python tools/make_notebook.py`` writes notebooks/wrong_type.ipynb; a test runs the cells again.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "wrong_type.ipynb"

#: markdown where it begins with a space, else code
CELLS = (
    " # A result that is wrong, and why\n\n"
    "The guard is loaded before PyCUDA is imported. On a machine without a GPU the kernels run on the CPU.",
    "%load_ext pycuda_guard",
    """import numpy as np
import pycuda.autoinit
from pycuda import gpuarray
from pycuda.compiler import SourceModule

source = \"\"\"
__global__ void scale(float *x, float factor, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= factor;
}
\"\"\"
scale = SourceModule(source).get_function("scale")""",
    " Twice the numbers 0, 0.25, 0.5, 0.75, 1. Nothing is raised, and the numbers are wrong:",
    """x = gpuarray.to_gpu(np.linspace(0, 1, 5))
scale(x, np.float32(2), np.int32(5), block=(32, 1, 1))
print(x.get())""",
    " The array has another dtype than the kernel's pointer. With `float32`:",
    """x = gpuarray.to_gpu(np.linspace(0, 1, 5, dtype=np.float32))
scale(x, np.float32(2), np.int32(5), block=(32, 1, 1))
print(x.get())""",
    " What can only be known at the end, such as memory that piles up, is said at the end:",
    "import pycuda_guard\n\nfindings = pycuda_guard.finish()",
)


def run(cells: tuple[str, ...] = CELLS) -> list[dict[str, Any]]:
    """Run ``cells`` in a new shell of this process and return them as a notebook has them."""
    from IPython.core.interactiveshell import InteractiveShell

    os.environ["PYCUDA_GUARD_DEVICE"] = "cpu"
    shell = InteractiveShell.instance(colors="nocolor")
    streams = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    before, (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), streams.values()
    try:
        return [_run_cell(shell, number, cell, streams) for number, cell in enumerate(cells)]
    finally:
        sys.stdout, sys.stderr = before


def _run_cell(shell: Any, number: int, source: str, streams: dict[str, io.StringIO]) -> dict[str, Any]:
    cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": _lines(source.lstrip())}
    if source.startswith(" "):
        return {"cell_type": "markdown", **cell}
    result = shell.run_cell(source, store_history=True)
    outputs = []
    for name, stream in streams.items():
        if text := stream.getvalue():
            outputs.append({"output_type": "stream", "name": name, "text": _lines(text)})
        stream.seek(0)
        stream.truncate()
    result.raise_error()
    return {"cell_type": "code", "execution_count": result.execution_count, "outputs": outputs, **cell}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Write the notebook."""
    notebook = {
        "cells": run(),
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    NOTEBOOK.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
