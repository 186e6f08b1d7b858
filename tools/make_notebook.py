"""Runs the notebooks anew on the CPU device and stores what their cells print and show.

``python tools/make_notebook.py`` rewrites the notebooks under notebooks/, each run in a Jupyter kernel and an
empty folder of its own; a test runs them again and compares.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[1]
NOTEBOOKS = CLONE / "notebooks"

#: what a notebook with outputs for colour terminals or one machine would store
_ENVIRONMENT = {
    "PYCUDA_GUARD_DEVICE": "cpu",
    "CUDA_VISIBLE_DEVICES": "-1",
    "COLUMNS": "100",
    "TERM": "dumb",
    "PYTHONPATH": str(CLONE),
}


def again(notebook: Path) -> dict[str, Any]:
    """Return a notebook as it is after its cells have run in a new kernel and an empty folder.

    Raises :class:`nbclient.exceptions.CellExecutionError` where a cell fails.
    """
    import nbclient
    import nbformat

    written = json.loads(notebook.read_text(encoding="utf-8"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    made = nbformat.reads(json.dumps(written), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(
            made,
            timeout=300,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        own = {"PATH": path, "IPYTHONDIR": str(Path(folder) / ".ipython")}
        client.execute(env={**environment, **_ENVIRONMENT, **own})
    cells = [_plain(cell) for cell in made.cells]
    # what else there is, of the machine's kernel, stays as it was
    return {**written, "cells": cells}


def _plain(cell: Any) -> dict[str, Any]:
    """Return a cell with its texts as lists of lines, as notebooks are stored."""
    found: dict[str, Any] = json.loads(json.dumps(cell))
    found["source"] = found["source"].splitlines(keepends=True)
    for output in found.get("outputs", ()):
        if "text" in output:
            output["text"] = output["text"].splitlines(keepends=True)
        for kind, text in output.get("data", {}).items():
            output["data"][kind] = text.splitlines(keepends=True)
    return found


def main() -> None:
    """Rewrite all notebooks."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        path.write_text(json.dumps(again(path), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path.relative_to(CLONE))


if __name__ == "__main__":
    main()
