"""Runs the notebooks anew on the CPU device and stores what their cells print and show.

``python tools/make_notebook.py`` rewrites the notebooks under notebooks/, each run in a process and an
empty folder of its own; a test runs them again and compares.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[1]
NOTEBOOKS = CLONE / "notebooks"

#: what a notebook with outputs for colour terminals or one machine would store
_ENVIRONMENT = {"PYCUDA_GUARD_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": "-1", "COLUMNS": "100", "TERM": "dumb"}


def again(notebook: Path) -> dict[str, Any]:
    """Return a notebook as it is after its cells have run in a new process and an empty folder.

    Raises :class:`subprocess.CalledProcessError` where a cell fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, Path(__file__).resolve(), notebook.resolve()],
            cwd=folder,
            env={
                **environment,
                **_ENVIRONMENT,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
                "PYTHONPATH": str(CLONE),
                "IPYTHONDIR": str(Path(folder) / ".ipython"),
            },
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(notebook: dict[str, Any]) -> None:
    """Run the code cells in a new shell of this process, and put what they print and show into them."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance(colors="nocolor")
    streams = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    before, (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), streams.values()
    try:
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                with capture_output(stdout=False, stderr=False) as shown:
                    result = shell.run_cell("".join(cell["source"]), store_history=True)
                cell["execution_count"] = result.execution_count
                cell["outputs"] = [*_printed(streams), *map(_displayed, shown.outputs)]
                result.raise_error()
    finally:
        sys.stdout, sys.stderr = before


def _printed(streams: dict[str, io.StringIO]) -> list[dict[str, Any]]:
    """Return what has been printed, as a notebook has it, and forget it."""
    outputs = []
    for name, stream in streams.items():
        if text := stream.getvalue():
            outputs.append({"output_type": "stream", "name": name, "text": text.splitlines(keepends=True)})
        stream.seek(0)
        stream.truncate()
    return outputs


def _displayed(output: Any) -> dict[str, Any]:
    """Return something rich, as a notebook has it."""
    data = {kind: text.splitlines(keepends=True) for kind, text in output.data.items()}
    return {"output_type": "display_data", "data": data, "metadata": output.metadata or {}}


def main() -> None:
    """Print the notebook that is named after it has run, or rewrite all of them."""
    if len(sys.argv) > 1:
        notebook = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        run(notebook)
        print(json.dumps(notebook))
        return
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        path.write_text(json.dumps(again(path), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path.relative_to(CLONE))


if __name__ == "__main__":
    main()
