"""What the documentation says is what the program prints and what its tables hold."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import console
import pytest

import pycuda_guard
from pycuda_guard import platforms, project
from pycuda_guard.config import settings

CLONE = Path(__file__).resolve().parents[2]
BLOCKS = [(page, block) for page in console.pages() for block in console.blocks(page)]


@pytest.mark.parametrize(
    ("page", "block"), BLOCKS, ids=[f"{page.stem}: {console.command(block)}" for page, block in BLOCKS]
)
def test_pages_show_what_is_printed(page: Path, block: str) -> None:
    assert console.shown(block) == block, "run python tests/docs/console.py"


def quoted(page: str, start: str) -> str:
    """Return the block of a page that begins with these words."""
    text = (CLONE / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"^```\n({re.escape(start)}.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, start
    return found[1]


def test_the_cell_on_the_page_about_notebooks_is_in_a_notebook() -> None:
    notebook = json.loads((CLONE / "notebooks" / "wrong_result.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    texts = ["".join(output.get("text", [])) for output in outputs]
    block = quoted("jupyter.md", "warning[PG403]")
    assert any(text.startswith(block) for text in texts)


def config(folder: Path, *arguments: str) -> str:
    """Return what the command prints there, with the name of the folder that the page has."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    done = subprocess.run(
        [sys.executable, "-m", "pycuda_guard", "config", *arguments],
        cwd=folder,
        env={**environment, "PYCUDA_GUARD_QUIET": "1", "PYTHONPATH": str(CLONE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.replace(str(folder), "/home/me/app")


def test_the_page_about_the_configuration_shows_what_is_printed(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.pycuda_guard]\ndevice = "cpu"\n', encoding="utf-8")
    command, *rows = quoted("configuration.md", "$ pycuda-guard config").splitlines()
    printed = [line.split() for line in config(tmp_path, *command.split()[3:]).splitlines()]
    assert rows.pop() == "…"
    assert [row for row in map(str.split, rows) if row not in printed] == []
    project.write_text('[tool.pycuda_guard]\nfail_on = "error"\n', encoding="utf-8")
    assert config(tmp_path) == quoted("configuration.md", "pycuda-guard: /home/me")


def test_rule_table_of_the_readme_is_fresh() -> None:
    text = (CLONE / "README.md").read_text(encoding="utf-8")
    between = re.search(r"<!-- rules: made .*? -->\n(.*?)\n<!-- rules: end -->", text, re.DOTALL)
    index = (CLONE / "docs" / "rules" / "index.md").read_text(encoding="utf-8")
    rows = [row.replace("](PG", "](docs/rules/PG") for row in index.splitlines() if row.startswith("|")]
    assert between is not None
    assert between[1].splitlines() == rows


def test_platform_table_is_fresh() -> None:
    text = (CLONE / "docs" / "installation.md").read_text(encoding="utf-8")
    between = re.search(r"<!-- platforms: made .*? -->\n(.*?)<!-- platforms: end -->", text, re.DOTALL)
    assert between is not None
    assert between[1].strip() == platforms.table()


def test_the_whole_interface_is_documented() -> None:
    text = (CLONE / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.\. auto(?:function|class):: (\w+)$", text, re.MULTILINE)) == set(
        pycuda_guard.__all__
    )


def test_the_comparison_has_the_figures_of_the_benchmarks() -> None:
    measured = (CLONE / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    (means,) = re.findall(r"^\| geometric mean \|.*$", measured, re.MULTILINE)
    _, _, newest = measured.partition("On the H200, ")
    guarded, races = re.findall(
        r"^\| (?:bounds, initialization and coverage|with `--races`) \|.* \*\*([\d.]+)\*\* \|$",
        newest,
        re.MULTILINE,
    )
    memcheck, initcheck = [cell.strip() for number, cell in enumerate(means.split("|")) if number in (7, 8)]
    shown = (CLONE / "docs" / "comparison.md").read_text(encoding="utf-8")
    cost = shown.partition("## What they cost")[2]
    assert re.findall(r"^\| .* \| ([\d.]+) \|$", cost, re.MULTILINE) == [guarded, races, memcheck, initcheck]


def fenced(language: str) -> list[tuple[str, str]]:
    """Return the blocks of the documentation in a language, each with the name of its page."""
    block = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(page.name, text) for page in console.pages() for text in block.findall(page.read_text("utf-8"))]


def test_what_the_pages_configure_can_be_configured(tmp_path: Path) -> None:
    blocks = [text for _, text in fenced("toml") if "[tool.pycuda_guard" in text]
    assert len(blocks) >= 3
    for number, text in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")
        found = settings({}, {}, project.layers(folder))
        assert any(one.origin.startswith("pyproject.toml:") for one in found), text


def test_what_is_python_on_the_pages_is_python() -> None:
    for page, text in fenced("python"):
        try:
            ast.parse(text)
        except SyntaxError as error:
            pytest.fail(f"{page}: {error}\n{text}")
