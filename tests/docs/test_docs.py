"""What the documentation says is what the program prints and what its tables hold."""

from __future__ import annotations

import re
from pathlib import Path

import console
import pytest

import pycuda_guard
from pycuda_guard import platforms

CLONE = Path(__file__).resolve().parents[2]
BLOCKS = [(page, block) for page in console.pages() for block in console.blocks(page)]


@pytest.mark.parametrize(
    ("page", "block"), BLOCKS, ids=[f"{page.stem}: {console.command(block)}" for page, block in BLOCKS]
)
def test_pages_show_what_is_printed(page: Path, block: str) -> None:
    assert console.shown(block) == block, "run python tests/docs/console.py"


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
    (races,) = re.findall(
        r"geometric mean \|\n\|[-|]+\n\| guarded \|.* \*\*([\d.]+)\*\* \|$", measured, re.MULTILINE
    )
    guarded, memcheck, initcheck = [
        cell.strip(" *") for number, cell in enumerate(means.split("|")) if number in (4, 7, 8)
    ]
    shown = (CLONE / "docs" / "comparison.md").read_text(encoding="utf-8")
    cost = shown.partition("## What they cost")[2]
    assert re.findall(r"^\| .* \| ([\d.]+) \|$", cost, re.MULTILINE) == [guarded, races, memcheck, initcheck]
