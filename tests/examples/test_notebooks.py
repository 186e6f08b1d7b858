"""The notebooks run, and store what they print and show today."""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pycuda")
pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "make_notebook.py"

#: the notebooks, and the rules whose errors and warnings each shows
NOTEBOOKS = {
    "wrong_result": {"PG403", "PG401"},
    "streams": {"PG103", "PG101"},
    "grids": {"PG301", "PG302"},
    "post_mortem": {"PG204"},
}

#: times and addresses, and how many rules there are
CHANGING = re.compile(r"\d+\.\d{6}|0x[0-9a-f]{6,}|\(\d+ of \d+ rules on\)")


def path(name: str) -> Path:
    return ROOT / "notebooks" / f"{name}.ipynb"


def outputs(notebook: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the source of each cell, and what it has printed and shown."""
    return [
        ("".join(cell["source"]), CHANGING.sub("#", json.dumps(cell.get("outputs"), indent=1)))
        for cell in notebook["cells"]
    ]


def test_the_notebooks_are_listed() -> None:
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == set(NOTEBOOKS)
    page = (ROOT / "docs" / "jupyter.md").read_text(encoding="utf-8")
    assert all(f"notebooks/{name}.ipynb)" in page for name in NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_store_what_is_printed(name: str) -> None:
    spec = importlib.util.spec_from_file_location("make_notebook", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    written = json.loads(path(name).read_text(encoding="utf-8"))
    assert outputs(tool.again(path(name))) == outputs(written), "run tools/make_notebook.py"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_show_their_findings_and_no_place_of_this_machine(name: str) -> None:
    text = path(name).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:error|warning)\[(PG\d{3})\]", text)) == NOTEBOOKS[name]
    assert not [place for place in (ROOT, Path.home(), tempfile.gettempdir()) if str(place) in text]
    assert '"output_type": "error"' not in text
