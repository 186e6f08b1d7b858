"""The projects under examples/ are right and clean; what their bugs give, the documentation shows."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pycuda")

ROOT = Path(__file__).resolve().parents[2]

#: the script of each project, and what it says without and with its bug
PROJECTS = {
    "image_filter/edges.py": ("7000 of 7000 pixels are right", "PG301"),
    "particles/collapse.py": ("step 5: radius 1.574, energy of motion 0.0040, right", "PG101"),
    "matrix_library/eigenvalue.py": ("503.04, and numpy says 503.04", "PG403"),
}

#: the end of the loop over the tiles of a product
LAST_BARRIER = "        __syncthreads();\n    }\n    if (row < rows"


def guard(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of Python in the clone, without the options of this run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env={**environment, "CUDA_VISIBLE_DEVICES": "-1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_project_is_listed() -> None:
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/*.py")}
    assert folders == {script.partition("/")[0] for script in PROJECTS}
    for page in ("docs/examples.md", "examples/README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert all(code in text for _, code in PROJECTS.values())
        assert all(script.partition("/")[0] in text for script in PROJECTS)


@pytest.mark.parametrize("script", PROJECTS)
def test_projects_are_right_and_clean(script: str, tmp_path: Path) -> None:
    file = tmp_path / "findings.json"
    done = guard(
        "pycuda_guard", "run", "--races", "--device", "cpu", "--json", file, ROOT / "examples" / script
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == PROJECTS[script][0]
    assert "wrong" not in done.stdout
    found = json.loads(file.read_text())["findings"]
    assert {finding["code"] for finding in found} <= {"PG104"}  # GPUArray.get() right after a kernel
    assert "Everything was checked." in done.stderr


@pytest.mark.parametrize("script", PROJECTS)
def test_bugs_are_values_and_not_branches(script: str) -> None:
    tree = ast.parse((ROOT / "examples" / script).read_text(encoding="utf-8"))
    switches = [
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "with_bug"
    ]
    tables = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    assert len(switches) == 1
    assert switches[0] in tables
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    block = page.partition(f"examples/{script} --with-bug\n")[2].partition("```")[0]
    assert f"[{PROJECTS[script][1]}]" in block


def test_a_missing_barrier_fails_the_tests_of_the_library(tmp_path: Path) -> None:
    """That the tests pass under the guard, the documentation shows; here is that they might not."""
    library = shutil.copytree(ROOT / "examples" / "matrix_library", tmp_path / "library")
    kernels = library / "matrices" / "kernels.py"
    source = kernels.read_text(encoding="utf-8")
    assert source.count(LAST_BARRIER) == 1
    kernels.write_text(source.replace(LAST_BARRIER, "    }\n    if (row < rows"), encoding="utf-8")
    options = (
        "--pycuda-guard",
        "--pycuda-guard-device=cpu",
        "--pycuda-guard-races",
        "-p",
        "no:cacheprovider",
    )
    done = guard("pytest", "-q", *options, "-k", "multiply", library)
    assert done.returncode == 1
    assert "error[PG502]" in done.stdout
